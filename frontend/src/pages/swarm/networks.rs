//! The networks of a swarm.

use drover_api::{CreateSwarmNetwork, Permission, SwarmNetwork, Topic};
use leptos::prelude::*;

use super::names;
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{swarm, t},
    icons::Glyph,
    states::Tone,
};

/// The list.
#[component]
pub(super) fn Networks(env: Env) -> impl IntoView {
    let words = swarm();
    let (reload, open) = (Trigger::new(), RwSignal::new(false));
    let remove = move |network: &SwarmNetwork| {
        let path = env.api(&format!("swarm/networks/{}", network.id));
        let name = network.name.clone();
        let used = !network.services.is_empty() || network.ingress || network.stack_id.is_some();
        vec![
            MenuItem::danger(Glyph::Trash, words.remove_network, move || {
                let path = path.clone();
                Confirm::new(words.remove_network, words.remove_text)
                    .names(vec![name.clone()])
                    .ask(t().common.remove, move || {
                        let request = api::delete(path.clone());
                        async move {
                            request.done().await?;
                            reload.notify();
                            Ok(())
                        }
                    });
            })
            .disabled_if(used),
        ]
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api("swarm/networks")),
        |network: &SwarmNetwork| network.id.clone(),
    )
    .column(
        Column::new("name", words.network, |network: &SwarmNetwork| {
            view! { <span class="strong truncate" title=network.name.clone()>{network.name.clone()}</span> }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("driver", words.driver, |network: &SwarmNetwork| network.driver.clone()).width(6.0),
    )
    .column(
        Column::new("subnets", words.subnets, |network: &SwarmNetwork| {
            view! { <span class="mono truncate">{network.subnets.join(", ")}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("options", "", |network: &SwarmNetwork| {
            let words = swarm();
            let marks = [
                (network.ingress, words.ingress, Tone::Idle),
                (network.encrypted, words.encrypted, Tone::Ok),
                (network.attachable, words.attachable, Tone::Idle),
                (network.internal, words.internal, Tone::Idle),
            ];
            let marks = marks.into_iter().filter(|(there, ..)| *there);
            let marks = marks.map(|(_, label, tone)| view! { <Badge label=label tone=tone /> });
            view! { <span class="row">{marks.collect_view()}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("services", words.used_by, |network: &SwarmNetwork| {
            names(&network.services, swarm().nobody)
        })
        .grow(2),
    )
    .name(|network| network.name.clone())
    .sorted("name")
    .live(&[Topic::SwarmResources])
    .empty(move || view! { <Empty glyph=Glyph::Network title=words.no_networks /> })
    .reload_on(reload);
    let may = env.may(Permission::Deploy);
    let table = if may { table.actions(remove) } else { table };
    view! {
        <Table
            spec=table.inner()
            label=words.networks
            filters=move || may.then(|| view! {
                <Button icon=Glyph::Plus label=words.add_network on_click=move |_| open.set(true) />
            })
        />
        <Dialog open=open title=words.add_network>
            <Add env=env done=move |()| {
                open.set(false);
                reload.notify();
            } />
        </Dialog>
    }
}

#[component]
fn Add(env: Env, #[prop(into)] done: Callback<()>) -> impl IntoView {
    let words = swarm();
    let form = Form::new();
    let (name, subnet) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let [attachable, internal, encrypted] = [false; 3].map(RwSignal::new);
    let submit = move |()| {
        let subnet = Some(subnet.get_untracked().trim().to_owned());
        let input = CreateSwarmNetwork {
            name: name.get_untracked(),
            attachable: attachable.get_untracked(),
            internal: internal.get_untracked(),
            encrypted: encrypted.get_untracked(),
            subnet: subnet.filter(|subnet| !subnet.is_empty()),
        };
        let request = api::post(env.api("swarm/networks"), &input);
        form.submit(move || request.done(), move |()| done.run(()));
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().common.name value=name form=form name="name" mono=true focus=true />
            <TextField label=words.subnet value=subnet form=form name="subnet" help=words.subnet_help mono=true optional=true />
            <Switch label=words.is_attachable checked=attachable />
            <Switch label=words.is_internal checked=internal />
            <Switch label=words.is_encrypted checked=encrypted />
            <FormActions form=form label=words.add_network />
        </FormView>
    }
}
