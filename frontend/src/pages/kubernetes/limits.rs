//! An environment's namespaces, what each of them may use, and what pods must keep to.

use drover_api::{
    ClusterNamespace, EnvironmentCluster, NamespaceLimits, NewNamespace, Permission, PodSecurity,
    UpdateEnvironmentCluster,
};
use indexmap::IndexMap;
use leptos::prelude::*;

use super::{Kube, all, use_kube};
use crate::{
    api,
    components::*,
    i18n::{fill, kubernetes, t},
    icons::{Glyph, Icon},
    remote::Remote,
    session::use_session,
};

/// The page.
#[component]
pub fn KubernetesLimits() -> impl IntoView {
    let words = kubernetes();
    let kube = use_kube();
    view! {
        <Page title=words.limits_title sub=words.limits_text narrow=true crumbs=vec![(kube.env.path("kubernetes"), words.resources.to_owned())]>
            <Loaded remote=kube.cluster let:cluster>
                {
                    // Forms are made anew when what they show was changed, and only then.
                    let shown = Memo::new(move |_| cluster.with(|one| (one.whole_cluster, one.namespaces.clone(), one.pod_security, one.limits.clone())));
                    move || {
                        let (whole, namespaces, security, limits) = shown.get();
                        view! {
                            <Namespaces kube=kube whole=whole namespaces=namespaces />
                            <Limits kube=kube limits=limits />
                            <Security kube=kube security=security />
                        }
                    }
                }
            </Loaded>
        </Page>
    }
}

fn update(kube: Kube, update: UpdateEnvironmentCluster) -> api::Request {
    api::patch(kube.env.api("kubernetes"), &update)
}

#[component]
fn Namespaces(kube: Kube, whole: bool, namespaces: Vec<String>) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let may = Signal::derive(move || kube.env.may(Permission::ManageHosts));
    let submit = move |()| {
        let new = NewNamespace { name: name.get_untracked().trim().to_owned() };
        let request = api::post(kube.env.api("kubernetes/namespaces"), &new);
        form.submit(
            move || request.done(),
            move |()| {
                use_toasts().success(fill(words.namespace_made, &[("name", &new.name)]));
                name.set(String::new());
                kube.cluster.reload();
            },
        );
    };
    let remove = move |name: String| {
        let path = kube.env.api(&format!("kubernetes/namespaces/{}", api::encode(&name)));
        Confirm::new(fill(words.delete_title, &[("name", &name)]), words.delete_namespace_text)
            .names(vec![name.clone()])
            .type_name(&name)
            .ask(t().common.delete, move || {
                let request = api::delete(path.clone());
                async move {
                    request.done().await?;
                    kube.cluster.reload();
                    Ok(())
                }
            });
    };
    let row = move |name: String| {
        let href = kube.object_page("namespaces", None, &name);
        let gone = name.clone();
        view! {
            <li>
                <Icon glyph=Glyph::Environment />
                <a class="grow break" href=href>{name}</a>
                {move || may.get().then(|| {
                    let name = gone.clone();
                    view! { <IconButton glyph=Glyph::Trash small=true label=t().common.delete on_click=move |_| remove(name.clone()) /> }
                })}
            </li>
        }
    };
    let is_admin = use_session().is_admin();
    view! {
        <Card title=words.namespaces>
            <div class="stack">
                {whole.then(|| view! { <p class="muted">{words.whole_text}</p> })}
                <ul class="line-list line-list-scroll">{namespaces.clone().into_iter().map(row).collect_view()}</ul>
                {move || may.get().then(|| view! {
                    <FormView form=form on_submit=submit>
                        <TextField label=words.new_namespace value=name form=form name="name" help=words.name_help mono=true />
                        <FormActions form=form label=words.make_namespace look=Look::Secondary disabled=Signal::derive(move || name.with(|name| name.trim().is_empty())) />
                    </FormView>
                })}
                {(is_admin && !whole).then(|| view! { <Assign kube=kube namespaces=namespaces.clone() /> })}
            </div>
        </Card>
    }
    .into_any()
}

/// For administrators: which of the cluster's namespaces belong to the environment.
#[component]
fn Assign(kube: Kube, namespaces: Vec<String>) -> impl IntoView {
    let words = kubernetes();
    let open = RwSignal::new(false);
    let chosen = RwSignal::new(namespaces);
    let form = Form::new();
    let cluster = untrack(|| kube.cluster.get().map(|one: EnvironmentCluster| one.cluster_id));
    let environment = kube.env.name();
    let submit = move |()| {
        let change = UpdateEnvironmentCluster {
            namespaces: Some(chosen.get_untracked()),
            ..Default::default()
        };
        let request = update(kube, change);
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                use_toasts().success(t().common.saved);
                kube.cluster.reload();
            },
        );
    };
    let body = move || {
        let environment = environment.clone();
        let all = Remote::new(move || {
            all::<ClusterNamespace>(api::get(format!(
                "kubernetes/clusters/{}/namespaces",
                cluster.unwrap_or_default()
            )))
        });
        view! {
            <FormView form=form on_submit=submit>
                <p class="muted">{words.assign_text}</p>
                <Loaded remote=all let:all>
                    {
                        let environment = environment.clone();
                        move || {
                            let free = all.get().into_iter().filter(|one| !one.system && one.environment.as_ref().is_none_or(|name| *name == environment));
                            view! { <super::share::Chooser free=free.collect() chosen=chosen /> }
                        }
                    }
                </Loaded>
                <FormActions form=form label=t().common.save on_cancel=move |()| open.set(false) />
            </FormView>
        }
    };
    view! {
        <div><Button label=words.assign icon=Glyph::Edit on_click=move |_| open.set(true) /></div>
        <Dialog open=open title=words.assign>{body.clone()}</Dialog>
    }
}

/// The limits that have a field: their name in Kubernetes.
const QUOTA: [&str; 6] =
    ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods", "requests.storage"];

#[component]
fn Limits(kube: Kube, limits: NamespaceLimits) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let may = Signal::derive(move || kube.env.may(Permission::ManageHosts));
    let of = |map: &IndexMap<String, String>, key: &str| {
        RwSignal::new(map.get(key).cloned().unwrap_or_default())
    };
    let quota = QUOTA.map(|key| (key, of(&limits.quota, key)));
    let each = ["cpu", "memory"]
        .map(|key| (key, of(&limits.default_request, key), of(&limits.default_limit, key)));
    let before = StoredValue::new(limits);
    let submit = move |()| {
        let mut wanted = before.get_value();
        let put = |map: &mut IndexMap<String, String>, key: &str, value: RwSignal<String>| {
            let value = value.get_untracked().trim().to_owned();
            match value.is_empty() {
                true => _ = map.shift_remove(key),
                false => _ = map.insert(key.to_owned(), value),
            }
        };
        for (key, value) in quota {
            put(&mut wanted.quota, key, value);
        }
        for (key, request, limit) in each {
            put(&mut wanted.default_request, key, request);
            put(&mut wanted.default_limit, key, limit);
        }
        let change = UpdateEnvironmentCluster { limits: Some(wanted), ..Default::default() };
        let request = update(kube, change);
        form.submit(
            move || request.done(),
            move |()| {
                use_toasts().success(t().common.saved);
                kube.cluster.reload();
            },
        );
    };
    let label = |key: &str| match key {
        "requests.cpu" => fill(words.asks_for, &[("what", words.cpu)]),
        "requests.memory" => fill(words.asks_for, &[("what", words.memory)]),
        "limits.cpu" => fill(words.limit_of, &[("what", words.cpu)]),
        "limits.memory" => fill(words.limit_of, &[("what", words.memory)]),
        "pods" => words.pods.to_owned(),
        _ => words.storage.to_owned(),
    };
    let disabled = Signal::derive(move || !may.get());
    view! {
        <Card title=words.quota>
            <FormView form=form on_submit=submit>
                <p class="muted">{words.quota_text}</p>
                <div class="form-row">
                    {quota.map(|(key, value)| view! {
                        <TextField label=label(key) value=value disabled=disabled mono=true optional=true />
                    }).collect_view()}
                </div>
                <h3>{words.container_defaults}</h3>
                <p class="muted">{words.container_defaults_text}</p>
                <div class="form-row">
                    {each.map(|(key, request, limit)| {
                        let what = if key == "cpu" { words.cpu } else { words.memory };
                        view! {
                            <TextField label=fill(words.asks_for, &[("what", what)]) value=request disabled=disabled mono=true optional=true />
                            <TextField label=fill(words.limit_of, &[("what", what)]) value=limit disabled=disabled mono=true optional=true />
                        }
                    }).collect_view()}
                </div>
                <FormProblem form=form />
                {move || may.get().then(|| view! {
                    <div class="form-actions"><Button label=t().common.save look=Look::Primary submit=true busy=form.busy() /></div>
                })}
            </FormView>
        </Card>
    }
    .into_any()
}

#[component]
fn Security(kube: Kube, security: PodSecurity) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let chosen = RwSignal::new(match security {
        PodSecurity::Baseline => "baseline".to_owned(),
        PodSecurity::Privileged => "privileged".to_owned(),
    });
    let may = Signal::derive(move || kube.env.may(Permission::ManageEnvironment));
    let submit = move |()| {
        let security = match chosen.get_untracked().as_str() {
            "privileged" => PodSecurity::Privileged,
            _ => PodSecurity::Baseline,
        };
        let change =
            UpdateEnvironmentCluster { pod_security: Some(security), ..Default::default() };
        let request = update(kube, change);
        form.submit(
            move || request.done(),
            move |()| {
                use_toasts().success(t().common.saved);
                kube.cluster.reload();
            },
        );
    };
    let options = [
        ("baseline", words.baseline, words.baseline_help),
        ("privileged", words.privileged, words.privileged_help),
    ]
    .map(|(key, label, help)| (key.to_owned(), label.to_owned(), help.to_owned()));
    let now = if security == PodSecurity::Baseline { words.baseline } else { words.privileged };
    let options = StoredValue::new(Vec::from(options));
    view! {
        <Card title=words.pod_security>
            {move || match may.get() {
                true => view! {
                    <FormView form=form on_submit=submit>
                        <Choices label=words.pod_security value=chosen options=options.get_value() />
                        <FormActions form=form label=t().common.save />
                    </FormView>
                }
                .into_any(),
                false => view! { <p>{now}</p> }.into_any(),
            }}
        </Card>
    }
    .into_any()
}
