//! A container's processes, and all that the engine knows of it.

use drover_api::{ContainerDetail, ProcessList};
use leptos::prelude::*;

use super::{containers::ports, sockets::while_mounted};
use crate::{api, components::*, environment::Env, format, i18n::t, remote::Remote};

/// What `ps` says, asked anew every few seconds.
#[component]
pub(super) fn Processes(path: String) -> impl IntoView {
    let list = Remote::new(move || api::get(format!("{path}/processes")).json::<ProcessList>());
    while_mounted(async move {
        loop {
            gloo_timers::future::TimeoutFuture::new(3000).await;
            list.reload();
        }
    });
    view! {
        <Loaded remote=list let:shown>
            <Card flush=true><div class="scroll-x">
                <table class="plain">
                    <thead><tr>{move || shown.get().titles.into_iter().map(|title| view! { <th>{title}</th> }).collect_view()}</tr></thead>
                    <tbody>
                        {move || shown.get().processes.into_iter().map(|row| view! {
                            <tr>{row.into_iter().map(|cell| view! { <td class="mono">{cell}</td> }).collect_view()}</tr>
                        }).collect_view()}
                    </tbody>
                </table>
            </div></Card>
        </Loaded>
    }
}

/// All that the engine knows of it.
#[component]
pub(super) fn Inspect(detail: Remote<ContainerDetail>, env: Env) -> impl IntoView {
    let words = &t().engine;
    view! {
        <Loaded remote=detail let:detail>
            {move || {
                let detail = detail.get();
                let container = &detail.container;
                let stack = container.stack_id.zip(container.stack_name.clone()).map(|(id, name)| {
                    view! { <a href=env.path(&format!("stacks/{id}"))>{name}</a> }
                });
                let rows = vec![
                    (words.image, container.image.clone().into_any()),
                    (words.stack, stack.into_any()),
                    (words.host, view! { <a href=env.path(&format!("hosts/{}", container.host_id))>{container.host_name.clone()}</a> }.into_any()),
                    (words.service, container.service.clone().into_any()),
                    (words.ports, ports(container).into_any()),
                    (words.command, view! { <code>{detail.command.join(" ")}</code> }.into_any()),
                    (words.started, view! { <TimeAgoOr at=detail.started_at /> }.into_any()),
                    (t().containers.restart_policy, detail.restart_policy.clone().into_any()),
                    (words.restarts, detail.restart_count.to_string().into_any()),
                    (words.networks, detail.networks.iter().map(|(name, address)| format!("{name} {address}")).collect::<Vec<_>>().join(", ").into_any()),
                ];
                let variables = detail.environment.iter().map(|(name, value)| {
                    (name.clone(), value.clone().unwrap_or_else(|| words.hidden.to_owned()))
                }).collect::<Vec<_>>();
                let mounts = detail.mounts.iter().map(|mount| (mount.target.clone(), format!("{} {}", mount.kind, mount.source))).collect::<Vec<_>>();
                let labels = detail.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
                let raw = serde_json::to_string_pretty(&detail.inspect).unwrap_or_default();
                let copied = raw.clone();
                let checks = (!detail.health_log.is_empty()).then(|| {
                    let checks = detail.health_log.iter().rev().map(|check| {
                        let at = check.at.map(|at| format::clock(at.unix_ms() as f64)).unwrap_or_default();
                        (format!("{at} ({})", check.exit_code), check.output.trim().to_owned())
                    }).collect::<Vec<_>>();
                    view! { <Card title=words.health><Pairs pairs=checks /></Card> }
                });
                view! {
                    <div class="grid-2">
                        <Card title=t().hosts.overview><KeyValues rows=rows /></Card>
                        <Card title=words.mounts><Pairs pairs=mounts /></Card>
                        <Card title=words.variables><Pairs pairs=variables /></Card>
                        <Card title=t().common.labels><Tags labels=labels /></Card>
                        {checks}
                    </div>
                    <Card title="JSON" extra=move || view! { <CopyButton text=copied.clone() /> }><pre class="code">{raw}</pre></Card>
                }
            }}
        </Loaded>
    }
}

#[component]
fn Pairs(pairs: Vec<(String, String)>) -> impl IntoView {
    if pairs.is_empty() {
        return view! { <p class="faint">{t().common.none}</p> }.into_any();
    }
    let rows = pairs
        .into_iter()
        .map(|(name, value)| {
            view! { <tr><td class="mono">{name}</td><td class="mono muted">{value}</td></tr> }
        })
        .collect_view();
    view! { <div class="scroll-x"><table class="plain"><tbody>{rows}</tbody></table></div> }
        .into_any()
}
