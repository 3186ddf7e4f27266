//! Making objects: by form for the everyday kinds, by YAML for all.

use drover_api::{Applied, NewNamespace};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_query_map};

use super::{
    Kube,
    forms::{Fields, KINDS, documents},
    manifest,
    types::may,
    use_kube,
    write::{Outcome, Writing},
    yaml::{headers, schemas_of},
};
use crate::{
    api,
    components::*,
    i18n::{fill, kubernetes, t},
    icons::Glyph,
    states::Tone,
};

/// A text to begin with, for a type that has no form.
fn skeleton(kube: Kube, type_id: &str, namespace: &str) -> String {
    let Some(of) = untrack(|| kube.of(type_id)) else {
        return String::new();
    };
    let version = match of.group.is_empty() {
        true => of.version.clone(),
        false => format!("{}/{}", of.group, of.version),
    };
    let place = match of.namespaced && !namespace.is_empty() {
        true => format!("  namespace: {namespace}\n"),
        false => String::new(),
    };
    format!("apiVersion: {version}\nkind: {}\nmetadata:\n  name: \n{place}spec:\n", of.kind)
}

/// The page.
#[component]
pub fn KubernetesCreate() -> impl IntoView {
    let words = kubernetes();
    let kube = use_kube();
    view! {
        <Page
            title=words.create_title
            sub=words.create_text
            crumbs=vec![(kube.env.path("kubernetes"), words.resources.to_owned())]
            narrow=true
        >
            <Loaded remote=kube.types let:_all>
                <Loaded remote=kube.cluster let:_cluster>
                    <Create kube=kube />
                </Loaded>
            </Loaded>
        </Page>
    }
}

#[component]
fn Create(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let wanted = use_query_map().with_untracked(|query| query.get("kind")).unwrap_or_default();
    let has_form = KINDS.iter().any(|(id, _)| *id == wanted);
    let way = RwSignal::new(if has_form || wanted.is_empty() { "form" } else { "yaml" }.to_owned());
    let kind = RwSignal::new(if has_form { wanted.clone() } else { KINDS[0].0.to_owned() });
    let namespaces = untrack(|| kube.namespaces());
    let namespace = RwSignal::new(namespaces.first().cloned().unwrap_or_default());
    let text = RwSignal::new(match has_form {
        true => String::new(),
        false => skeleton(kube, &wanted, &namespace.get_untracked()),
    });
    let navigate = use_navigate();
    let done = Callback::new(move |applied: Applied| {
        use_toasts().success(words.is_applied);
        // To what was made, where that is one thing.
        if let [one] = applied.items.as_slice()
            && let Some(id) = &one.type_id
        {
            let page = kube.object_page(id, one.namespace.as_deref(), &one.name);
            navigate(&page, Default::default());
        }
    });
    let writing = Writing::new(kube, text, namespace, done);
    let fields = Fields::new();
    let spaces: Vec<_> = namespaces.into_iter().map(|name| (name.clone(), name)).collect();
    let group = new_id("way");
    let segments = [("form", words.by_form), ("yaml", words.by_yaml)]
        .map(|(key, label)| {
            view! {
                <label class="segment">
                    <input type="radio" class="sr-only" name=group.clone() value=key
                        prop:checked=move || way.with(|way| way == key)
                        on:change=move |_| way.set(key.to_owned()) />
                    {label}
                </label>
            }
        })
        .collect_view();
    let types = Memo::new(move |_| match way.with(|way| way == "yaml") {
        true => text.with(|text| types_in(kube, text)),
        false => Vec::new(),
    });
    let schemas = schemas_of(kube, types.into());
    view! {
        <div class="stack">
            <div class="segments k8s-ways" role="radiogroup" aria-label=words.create_title>{segments}</div>
            {move || match way.get().as_str() {
                "form" => view! { <ByForm kube=kube kind=kind fields=fields namespace=namespace spaces=spaces.clone() text=text way=way writing=writing /> }.into_any(),
                _ => {
                    let spaces = spaces.clone();
                    view! {
                        <SelectField label=words.default_namespace value=namespace options=spaces help=words.default_namespace_help />
                        <Editor label=words.yaml value=text marks=writing.marks() schemas=schemas />
                        <div class="row-wrap form-actions">
                            {writing.buttons(t().common.create, Signal::derive(move || text.with(|text| !text.trim().is_empty())))}
                        </div>
                        <Outcome writing=writing />
                    }
                    .into_any()
                }
            }}
        </div>
    }
    .into_any()
}

/// The types of a text's documents, by their `apiVersion` and `kind`; empty for what is none.
fn types_in(kube: Kube, text: &str) -> Vec<String> {
    let find = |(version, kind): (String, String)| {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        kube.types.look(|all| {
            let mut all = all?.iter();
            let of = all.find(|of| of.kind == kind && of.group == group)?;
            Some(of.id.clone())
        })
    };
    headers(text).into_iter().map(|one| find(one).unwrap_or_default()).collect()
}

#[component]
fn ByForm(
    kube: Kube,
    kind: RwSignal<String>,
    fields: Fields,
    namespace: RwSignal<String>,
    spaces: Vec<(String, String)>,
    text: RwSignal<String>,
    way: RwSignal<String>,
    writing: Writing,
) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let kinds: Vec<_> = KINDS.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
    let is_namespace = Memo::new(move |_| kind.with(|kind| kind == "namespaces"));
    let allowed = Memo::new(move |_| {
        let kind = kind.get();
        // Namespaces are made by Drover, for owners and members.
        kind == "namespaces" || kube.of(&kind).is_some_and(|of| may(&of, "create"))
    });
    let navigate = use_navigate();
    let fill_in = move || {
        form.clear();
        let of = kind.get_untracked();
        match documents(&of, &fields.read(&of)) {
            Ok(documents) => {
                text.set(manifest::text(&documents));
                true
            }
            Err((field, message)) => {
                form.fail_field(field, message);
                false
            }
        }
    };
    let submit = move |()| {
        if !fill_in() {
            return;
        }
        if !is_namespace.get_untracked() {
            return writing.send(false, false);
        }
        let name = fields.read("namespaces").name;
        let request =
            api::post(kube.env.api("kubernetes/namespaces"), &NewNamespace { name: name.clone() });
        let navigate = navigate.clone();
        form.submit(
            move || request.done(),
            move |()| {
                use_toasts().success(fill(words.namespace_made, &[("name", &name)]));
                kube.cluster.reload();
                navigate(&kube.list_page("namespaces"), Default::default());
            },
        );
    };
    let as_yaml = move |_| {
        if fill_in() {
            way.set("yaml".to_owned());
        }
    };
    view! {
        <Card>
            <FormView form=form on_submit=submit>
                <div class="form-row">
                    <SelectField label=words.kind value=kind options=kinds />
                    {move || (!is_namespace.get()).then(|| {
                        let spaces = spaces.clone();
                        view! { <SelectField label=words.namespace value=namespace options=spaces /> }
                    })}
                </div>
                {move || fields.view(&kind.get(), form)}
                {move || (!allowed.get()).then(|| view! { <Notice tone=Tone::Warn>{t().error.forbidden}</Notice> })}
                <FormProblem form=form />
                <div class="form-actions">
                    {move || (!is_namespace.get()).then(|| view! { <Button label=words.as_yaml icon=Glyph::Edit on_click=as_yaml /> })}
                    <Button label=t().common.create look=Look::Primary submit=true busy=form.busy() disabled=Signal::derive(move || !allowed.get()) />
                </div>
            </FormView>
        </Card>
        <Outcome writing=writing />
    }
    .into_any()
}
