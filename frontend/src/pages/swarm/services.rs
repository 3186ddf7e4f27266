//! The services of a swarm, whoever made them.

use drover_api::{Permission, ScaleService, ScaleSwarmService, ServiceMode, SwarmService, Topic};
use leptos::prelude::*;

use super::{change, states::mode};
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, swarm, t},
    icons::Glyph,
};

/// The list.
#[component]
pub(super) fn Services(env: Env) -> impl IntoView {
    let words = swarm();
    let reload = Trigger::new();
    let table = TableSpec::new(
        move |ask| ask.get(env.api("swarm/services")),
        |service: &SwarmService| service.id.clone(),
    )
    .column(
        Column::new("name", words.service, |service: &SwarmService| {
            view! {
                <span class="two">
                    <span class="strong truncate" title=service.name.clone()>{service.name.clone()}</span>
                    <span class="truncate" title=service.image.clone()>{service.image.clone()}</span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |service: &SwarmService| {
            let reason = service.reason.clone();
            view! {
                <span class="two">
                    <span><StatePill state=service.state title=reason.clone().unwrap_or_default() /></span>
                    {reason.map(|reason| view! { <span class="truncate" title=reason.clone()>{reason.clone()}</span> })}
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(Column::new("mode", words.mode, |service: &SwarmService| mode(service.mode)).sort().width(8.0))
    .column(
        Column::new("running", words.tasks, move |service: &SwarmService| {
            view! { <Scale env=env service=service.clone() done=move |()| reload.notify() /> }
        })
        .width(9.5),
    )
    .column(
        Column::new("ports", words.ports, |service: &SwarmService| {
            let ports = service.ports.join(", ");
            view! { <span class="mono truncate" title=ports.clone()>{ports.clone()}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("stack", words.stack, |service: &SwarmService| {
            view! { <span class="truncate">{service.stack.clone()}</span> }
        })
        .sort()
        .grow(1),
    )
    .column(
        Column::new("updated_at", words.updated, |service: &SwarmService| {
            view! { <TimeAgoOr at=service.updated_at otherwise="" /> }
        })
        .sort()
        .width(7.0),
    )
    .name(|service| service.name.clone())
    .link(move |service| env.path(&format!("swarm/services/{}", service.id)))
    .sorted("name")
    .live(&[Topic::SwarmService])
    .empty(move || view! {
        <Empty glyph=Glyph::Stack title=words.no_services text=words.no_services_text />
    })
    .reload_on(reload);
    view! { <Table spec=table.inner() label=words.services /> }
}

/// How many of a service run, and buttons for fewer and more. Those of Drover's stacks are scaled
/// in their stack.
#[component]
pub(super) fn Scale(
    env: Env,
    service: SwarmService,
    /// Called when the server has taken it.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    let (now, wanted) = match service.mode {
        ServiceMode::ReplicatedJob | ServiceMode::GlobalJob => {
            (service.completed, service.replicas)
        }
        _ => (service.running, service.replicas),
    };
    let values = [("running", now.to_string()), ("desired", wanted.to_string())];
    let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
    let count = fill(t().engine.running_of, &values);
    let scales = matches!(service.mode, ServiceMode::Replicated) && !service.foreign;
    if !scales {
        return view! { <span class="nums">{count}</span> }.into_any();
    }
    let may = env.may(Permission::Deploy);
    let to = move |replicas: u32| {
        let request = match (service.stack_id, &service.stack_service) {
            (Some(stack), Some(name)) => api::post(
                env.api(&format!("stacks/{stack}/services/{}/scale", api::encode(name))),
                &ScaleService { scale: replicas },
            ),
            _ => api::post(
                env.api(&format!("swarm/services/{}/scale", service.id)),
                &ScaleSwarmService { replicas },
            ),
        };
        change(request, move || done.run(()));
    };
    let (less, more) = (to.clone(), to);
    let label = t().engine.scale;
    view! {
        <span class="row nums" on:click=|event| event.stop_propagation()>
            <IconButton glyph=Glyph::Minus label=format!("{label} −") small=true disabled=!may || wanted == 0 on_click=move |_| less(wanted.saturating_sub(1)) />
            {count}
            <IconButton glyph=Glyph::Plus label=format!("{label} +") small=true disabled=!may on_click=move |_| more(wanted + 1) />
        </span>
    }
    .into_any()
}
