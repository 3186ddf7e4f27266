//! A container: logs, shell, charts, processes, details.

use drover_api::{
    ContainerDetail, ExecControl, ExecEvent, LogLine, LogMessage, LogStream, Permission,
    ProcessList, StatsMessage, Topic,
};
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use gloo_net::websocket::{Message, futures::WebSocket};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_navigate, use_params_map};

use super::containers::{container_actions, ports};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::t,
    icons::Glyph,
    remote::Remote,
};

/// Lines that the page keeps.
const MOST_LINES: usize = 5000;

/// A container's page.
#[component]
pub fn ContainerPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let params = use_params_map();
    let part = |name: &str| params.with_untracked(|params| params.get(name).unwrap_or_default());
    let (host, id) = (part("host_id"), part("container_id"));
    let path = env.api(&format!("hosts/{host}/containers/{id}"));
    let detail = {
        let path = path.clone();
        Remote::new(move || api::get(path.clone()).json::<ContainerDetail>())
            .live(&[Topic::Container], move |event| event.id == id)
    };
    let name = Signal::derive(move || {
        detail.with(|detail| detail.map(|detail| detail.container.name.clone()).unwrap_or_default())
    });
    let navigate = use_navigate();
    let gone = Callback::new(move |()| match untrack(|| detail.get()) {
        Some(_) => detail.reload(),
        None => navigate(&env.path("containers"), Default::default()),
    });
    let badge = move || {
        detail.get().map(|detail| {
            let health = detail.container.health.map(|health| view! { <StatePill state=health /> });
            let foreign =
                (!detail.container.managed).then(|| view! { <Badge label=words.unmanaged /> });
            view! { <StatePill state=detail.container.state /> {health} {foreign} }
        })
    };
    let actions = move || {
        view! {
            <Menu
                label=t().common.actions
                class="btn btn-secondary"
                items=move || detail.get().map(|detail| container_actions(env, &detail.container, gone)).unwrap_or_default()
            >
                {t().common.actions}
            </Menu>
        }
    };
    let (logs, shell, stats, processes) = (path.clone(), path.clone(), path.clone(), path);
    let tabs = vec![
        Tab::new("logs", words.logs, move || view! { <Logs path=logs.clone() name=name /> }),
        Tab::new("shell", words.shell, move || view! { <Shell env=env path=shell.clone() /> }),
        Tab::new("stats", words.stats, move || view! { <Charts path=stats.clone() /> }),
        Tab::new(
            "processes",
            words.processes,
            move || view! { <Processes path=processes.clone() /> },
        ),
        Tab::new("inspect", words.inspect, move || view! { <Inspect detail=detail env=env /> }),
    ];
    view! {
        <Page
            title=name
            crumbs=vec![(env.path("containers"), words.containers.to_owned())]
            sub=Signal::derive(move || detail.with(|detail| detail.map(|detail| detail.container.image.clone())))
            badge=badge
            actions=actions
        >
            <Tabs label=words.containers tabs=tabs />
        </Page>
    }
}

fn socket_address(path: &str) -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|protocol| protocol == "https:");
    let host = location.host().unwrap_or_default();
    format!("{}://{host}/v1/{path}", if secure { "wss" } else { "ws" })
}

/// Runs `work` until the component is gone.
fn while_mounted(work: impl Future<Output = ()> + 'static) {
    let (stop, stopped) = futures_util::future::abortable(work);
    on_cleanup(move || stopped.abort());
    spawn_local(async move {
        // Aborted is how it ends.
        let _ = stop.await;
    });
}

#[component]
fn Logs(path: String, #[prop(into)] name: Signal<String>) -> impl IntoView {
    let words = &t().engine;
    let lines = RwSignal::new(Vec::<LogLine>::new());
    let note = RwSignal::new(Some(words.log_waiting.to_owned()));
    let search = RwSignal::new(String::new());
    let stamps = RwSignal::new(false);
    let follow = RwSignal::new(true);
    let view_port = NodeRef::<leptos::html::Div>::new();
    let log_path = path.clone();
    while_mounted(async move {
        let mut wait = 500;
        loop {
            let since = lines.with_untracked(|lines| lines.last().map(|line| line.at.clone()));
            let query = match since {
                Some(since) => format!("since={}", api::encode(&since)),
                None => "tail=500".to_owned(),
            };
            let address = socket_address(&format!("{log_path}/logs/ws?follow=true&{query}"));
            if let Ok(mut socket) = WebSocket::open(&address) {
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    wait = 500;
                    match serde_json::from_str(&text) {
                        Ok(LogMessage::Lines { lines: mut new }) => {
                            note.set(None);
                            lines.update(|lines| {
                                lines.append(&mut new);
                                let surplus = lines.len().saturating_sub(MOST_LINES);
                                lines.drain(..surplus);
                            });
                        }
                        Ok(LogMessage::End { reason }) => {
                            note.set(Some(reason));
                            return;
                        }
                        Err(_) => {}
                    }
                }
            }
            note.set(Some(words.connection_lost.to_owned()));
            gloo_timers::future::TimeoutFuture::new(wait).await;
            wait = (wait * 2).min(10_000);
        }
    });
    Effect::new(move || {
        lines.track();
        if follow.get()
            && let Some(element) = view_port.get()
        {
            request_animation_frame(move || element.set_scroll_top(element.scroll_height()));
        }
    });
    let shown = move || {
        let wanted = search.get().to_lowercase();
        lines.with(|lines| {
            lines
                .iter()
                .filter(|line| wanted.is_empty() || line.text.to_lowercase().contains(&wanted))
                .map(|line| log_line(line, stamps.get()))
                .collect_view()
        })
    };
    let download = format!("/v1/{path}/logs?format=text&timestamps=true&download=true");
    view! {
        <div class="toolbar">
            <SearchBox label=words.log_search value=search />
            <Switch label=words.timestamps checked=stamps />
            <Switch label=words.follow checked=follow />
            <a class="btn btn-secondary" href=download download=move || format!("{}.log", name.get())>{t().common.download}</a>
        </div>
        <div class="log" node_ref=view_port role="log" aria-label=words.logs tabindex="0">
            {shown}
            {move || lines.with(Vec::is_empty).then(|| view! { <p class="faint">{words.log_empty}</p> })}
            {move || note.get().map(|note| view! { <p class="log-note">{note}</p> })}
        </div>
    }
    .into_any()
}

fn log_line(line: &LogLine, stamp: bool) -> AnyView {
    let class = if line.stream == LogStream::Stderr { "log-line log-error" } else { "log-line" };
    let at = stamp.then(|| {
        let short: String = line.at.chars().take(23).collect();
        view! { <span class="log-at">{short}</span> }
    });
    view! { <div class=class>{at} {ansi(&line.text)}</div> }.into_any()
}

/// Colours by ANSI escapes (SGR); other escapes are dropped.
fn ansi(text: &str) -> Vec<AnyView> {
    let mut out = Vec::new();
    let mut class = String::new();
    let mut parts = text.split('\u{1b}');
    let mut push = |text: &str, class: &str| {
        if !text.is_empty() {
            let (text, class) = (text.to_owned(), class.to_owned());
            out.push(view! { <span class=class>{text}</span> }.into_any());
        }
    };
    push(parts.next().unwrap_or_default(), "");
    for part in parts {
        let Some(rest) = part.strip_prefix('[') else {
            push(part, &class);
            continue;
        };
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (codes, tail) = rest.split_at(end);
        if let Some(tail) = tail.strip_prefix('m') {
            for code in codes.split(';') {
                match code.parse::<u8>().unwrap_or(0) {
                    0 => class.clear(),
                    1 => class.push_str(" ansi-bold"),
                    code @ (30..=37 | 90..=97) => {
                        class = format!("{} ansi-{}", class.replace("ansi-3", "x"), 30 + code % 10);
                    }
                    _ => {}
                }
            }
            push(tail, &class);
        } else {
            push(tail.get(1..).unwrap_or_default(), &class);
        }
    }
    out
}

#[component]
fn Shell(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let round = RwSignal::new(0_u32);
    if !env.may(Permission::Deploy) {
        return view! { <Notice>{t().error.forbidden}</Notice> }.into_any();
    }
    view! {
        {move || {
            round.track();
            view! { <ShellSession path=path.clone() /> }
        }}
        <div class="toolbar">
            <Button label=words.shell_again icon=Glyph::Refresh on_click=move |_| round.update(|n| *n += 1) />
        </div>
    }
    .into_any()
}

#[component]
fn ShellSession(path: String) -> impl IntoView {
    let words = &t().engine;
    let handle = TerminalHandle::new();
    let (send, mut wanted) = mpsc::unbounded::<Message>();
    let typed = send.clone();
    let on_data = Callback::new(move |bytes: Vec<u8>| {
        // Fails only when the session has ended.
        let _ = typed.unbounded_send(Message::Bytes(bytes));
    });
    let resize = StoredValue::new((0_u16, 0_u16));
    let on_resize = Callback::new(move |(columns, rows): (u16, u16)| {
        resize.set_value((columns, rows));
        if let Ok(text) = serde_json::to_string(&ExecControl::Resize { columns, rows }) {
            let _ = send.unbounded_send(Message::Text(text));
        }
    });
    let ready = RwSignal::new(false);
    let on_ready = Callback::new(move |()| ready.set(true));
    while_mounted(async move {
        while !ready.get_untracked() {
            gloo_timers::future::TimeoutFuture::new(30).await;
        }
        let (columns, rows) = resize.get_value();
        let address = socket_address(&format!("{path}/exec/ws?columns={columns}&rows={rows}"));
        let Ok(socket) = WebSocket::open(&address) else { return };
        let (mut sink, mut stream) = socket.split();
        let sending = async {
            while let Some(message) = wanted.next().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
        };
        let receiving = async {
            while let Some(Ok(message)) = stream.next().await {
                match message {
                    Message::Bytes(bytes) => handle.write(&bytes),
                    Message::Text(text) => {
                        if let Ok(ExecEvent::End { reason, .. }) = serde_json::from_str(&text) {
                            handle.write(format!("\r\n\x1b[2m{reason}\x1b[0m\r\n").as_bytes());
                        }
                    }
                }
            }
            handle.write(format!("\r\n\x1b[2m{}\x1b[0m\r\n", words.shell_ended).as_bytes());
        };
        handle.focus();
        futures_util::pin_mut!(sending, receiving);
        futures_util::future::select(sending, receiving).await;
    });
    view! { <Terminal label=words.shell handle=handle on_ready=on_ready on_data=on_data on_resize=on_resize /> }
}

#[component]
fn Charts(path: String) -> impl IntoView {
    let words = &t().engine;
    let history = History::<6>::new(300);
    let limit = RwSignal::new(0.0);
    while_mounted(async move {
        loop {
            if let Ok(mut socket) = WebSocket::open(&socket_address(&format!("{path}/stats/ws"))) {
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    let Ok(StatsMessage::Stats(stats)) = serde_json::from_str(&text) else {
                        continue;
                    };
                    limit.set(stats.memory_limit as f64);
                    history.push(
                        stats.at_ms as f64,
                        [
                            stats.cpu,
                            stats.memory as f64,
                            stats.network_rx,
                            stats.network_tx,
                            stats.block_read,
                            stats.block_write,
                        ],
                    );
                }
            }
            gloo_timers::future::TimeoutFuture::new(2000).await;
        }
    });
    let chart = move |title: &'static str,
                      lines: Vec<(usize, &'static str)>,
                      words: fn(f64) -> String,
                      binary: bool| {
        let series = Signal::derive(move || {
            lines
                .iter()
                .map(|(line, name)| Series::new(*name, history.line(*line)))
                .collect::<Vec<_>>()
        });
        view! {
            <Card title=title>
                <Chart label=title series=series words=words binary=binary />
            </Card>
        }
    };
    view! {
        <div class="grid grid-2">
            {chart(words.cpus, vec![(0, words.cpus)], format::cores, false)}
            {chart(words.memory, vec![(1, words.memory)], format::bytes, true)}
            {chart(words.network, vec![(2, words.received), (3, words.sent)], format::rate, true)}
            {chart(words.block, vec![(4, words.read), (5, words.written)], format::rate, true)}
        </div>
    }
    .into_any()
}

#[component]
fn Processes(path: String) -> impl IntoView {
    let list = Remote::new(move || api::get(format!("{path}/processes")).json::<ProcessList>());
    view! {
        <Loaded remote=list let:shown>
            <div class="scroll-x">
                <table class="plain">
                    <thead><tr>{move || shown.get().titles.into_iter().map(|title| view! { <th>{title}</th> }).collect_view()}</tr></thead>
                    <tbody>
                        {move || shown.get().processes.into_iter().map(|row| view! {
                            <tr>{row.into_iter().map(|cell| view! { <td class="mono">{cell}</td> }).collect_view()}</tr>
                        }).collect_view()}
                    </tbody>
                </table>
            </div>
            <Button label=t().common.refresh icon=Glyph::Refresh on_click=move |_| list.reload() />
        </Loaded>
    }
}

#[component]
fn Inspect(detail: Remote<ContainerDetail>, env: Env) -> impl IntoView {
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
                    (words.ports, ports(container).into_any()),
                    (words.command, view! { <code>{detail.command.join(" ")}</code> }.into_any()),
                    (words.started, view! { <TimeAgoOr at=detail.started_at /> }.into_any()),
                    (words.restarts, detail.restart_count.to_string().into_any()),
                    (words.networks, detail.networks.iter().map(|(name, address)| format!("{name} {address}")).collect::<Vec<_>>().join(", ").into_any()),
                ];
                let variables = detail.environment.iter().map(|(name, value)| {
                    (name.clone(), value.clone().unwrap_or_else(|| words.hidden.to_owned()))
                }).collect::<Vec<_>>();
                let mounts = detail.mounts.iter().map(|mount| (mount.target.clone(), format!("{} {}", mount.kind, mount.source))).collect::<Vec<_>>();
                let labels = detail.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
                let raw = serde_json::to_string_pretty(&detail.inspect).unwrap_or_default();
                view! {
                    <div class="grid grid-2">
                        <Card title=words.inspect><KeyValues rows=rows /></Card>
                        <Card title=words.mounts><Pairs pairs=mounts /></Card>
                        <Card title=words.variables><Pairs pairs=variables /></Card>
                        <Card title=t().common.labels><Tags labels=labels /></Card>
                    </div>
                    <Card title="JSON"><pre class="code">{raw}</pre></Card>
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
