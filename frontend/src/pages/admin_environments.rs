use drover_api::{ClusterKind, CreateEnvironment, Environment, Topic};
use leptos::prelude::*;

use super::kubernetes::share::{ChooseShare, Share};
use crate::{
    api,
    components::*,
    environment::{path, use_environments},
    i18n::{fill, machines, t},
    icons::Glyph,
};

/// What schedules an environment's containers, in words.
fn cluster_name(kind: ClusterKind) -> &'static str {
    match kind {
        ClusterKind::Cattle => t().admin.cluster_cattle,
        ClusterKind::Swarm => machines().cluster_swarm,
        ClusterKind::Kubernetes => machines().cluster_kubernetes,
    }
}

/// All environments.
#[component]
pub fn EnvironmentsPage() -> impl IntoView {
    let words = &t().admin;
    let open = RwSignal::new(false);
    let reload = Trigger::new();
    let table = TableSpec::new(move |ask| ask.get("environments"), |env: &Environment| env.id.to_string())
        .column(
            Column::new("name", t().common.name, |env: &Environment| {
                view! { <a href=path(env.id, "") title=env.name.clone()>{env.name.clone()}</a> }
            })
            .sort()
            .grow(1),
        )
        .column(
            Column::new("description", t().common.description, |env: &Environment| {
                view! { <span class="muted" title=env.description.clone()>{env.description.clone()}</span> }
            })
            .grow(2),
        )
        .column(Column::new("cluster_kind", words.cluster, |env: &Environment| cluster_name(env.cluster_kind)).width(11.0))
        .column(
            Column::new("state", t().common.state, |env: &Environment| view! { <StatePill state=env.state /> })
                .sort()
                .width(8.0),
        )
        .column(
            Column::new("created_at", t().common.created, |env: &Environment| {
                view! { <TimeAgo at=env.created_at /> }
            })
            .sort()
            .width(8.0),
        )
        .name(|env| env.name.clone())
        .link(|env| path(env.id, ""))
        .actions(|env| {
            vec![
                MenuItem::link(Glyph::ArrowRight, words.open, path(env.id, "")),
                MenuItem::link(Glyph::Users, t().frame.members, path(env.id, "members")),
                MenuItem::link(Glyph::Settings, t().frame.environment_settings, path(env.id, "settings")),
            ]
        })
        .sorted("name")
        .live(&[Topic::Environment])
        .reload_on(reload);
    view! {
        <Page
            title=words.environments
            sub=words.environments_text
            actions=move || {
                view! {
                    <Button
                        look=Look::Primary
                        icon=Glyph::Plus
                        label=words.new_environment
                        on_click=move |_| open.set(true)
                    />
                }
            }
        >
            <Table spec=table label=words.environments />
            <Dialog open=open title=words.new_environment wide=true>
                <NewEnvironment open=open reload=reload />
            </Dialog>
        </Page>
    }
}

#[component]
fn NewEnvironment(open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().admin;
    let environments = use_environments();
    let form = Form::new();
    let (name, description) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let cluster = RwSignal::new(ClusterKind::Cattle.as_str().to_owned());
    let clusters = ClusterKind::ALL.map(|kind| {
        let words = machines();
        let (name, text) = match kind {
            ClusterKind::Cattle => (words.cluster_cattle, words.cluster_cattle_text),
            ClusterKind::Swarm => (words.cluster_swarm, words.cluster_swarm_text),
            ClusterKind::Kubernetes => (words.cluster_kubernetes, words.cluster_kubernetes_text),
        };
        (kind.as_str().to_owned(), name.to_owned(), text.to_owned())
    });
    let share = Share::new();
    let on_kubernetes =
        Memo::new(move |_| cluster.with(|kind| kind == ClusterKind::Kubernetes.as_str()));
    let submit = move |()| {
        let input = CreateEnvironment {
            name: name.get_untracked(),
            description: description.get_untracked(),
            cluster_kind: ClusterKind::parse(&cluster.get_untracked()).unwrap_or_default(),
            kubernetes: share.read().filter(|_| on_kubernetes.get_untracked()),
        };
        form.submit(
            move || async move { api::post("environments", &input).json::<Environment>().await },
            move |made| {
                open.set(false);
                reload.notify();
                environments.remote().reload();
                use_toasts().success_link(
                    fill(words.environment_created, &[("name", &made.name)]),
                    path(made.id, ""),
                    words.open,
                );
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField
                form=form
                name="name"
                label=t().common.name
                value=name
                help=words.environment_name_help
                focus=true
            />
            <TextArea
                form=form
                name="description"
                label=t().common.description
                value=description
                optional=true
                rows=2
            />
            <Choices label=machines().cluster value=cluster options=clusters.into() />
            <p class="field-help">{machines().cluster_stays}</p>
            {move || on_kubernetes.get().then(|| view! { <ChooseShare share=share /> })}
            <FormActions form=form label=t().common.create on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
