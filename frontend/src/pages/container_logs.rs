//! A container's log, live; a swarm service's and pods' too.

use drover_api::{
    LogLine, LogMessage, LogStream, PodLogLine, PodLogMessage, ServiceLogLine, ServiceLogMessage,
};
use futures_util::StreamExt;
use gloo_net::websocket::{Message, futures::WebSocket};
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;

use super::sockets::{socket_address, while_mounted};
use crate::{api, components::*, i18n::t, icons::Glyph};

/// Lines that the page keeps.
const MOST_LINES: usize = 5000;
/// Pixels from the end at which the log still counts as scrolled to its end.
const NEAR: i32 = 40;

/// The lines that are there, each with a number of its own.
#[derive(Clone, Copy)]
struct Lines {
    lines: RwSignal<Vec<(u64, LogLine)>>,
    next: StoredValue<u64>,
}

impl Lines {
    fn add(self, new: Vec<LogLine>) {
        self.lines.update(|lines| {
            for line in new {
                let number = self.next.get_value();
                self.next.set_value(number + 1);
                lines.push((number, line));
            }
            let surplus = lines.len().saturating_sub(MOST_LINES);
            lines.drain(..surplus);
        });
    }

    /// Where to go on after the connection was lost.
    fn last(self) -> Option<String> {
        self.lines.with_untracked(|lines| lines.last().map(|(_, line)| line.at.clone()))
    }
}

/// Whose log it is: what its messages look like.
#[derive(Clone, Copy, PartialEq, Default)]
pub(super) enum LogOf {
    /// A container's.
    #[default]
    Container,
    /// A swarm service's: each line says which task wrote it.
    Service,
    /// Of pods: each line says which one wrote it, and which container of it.
    Pods {
        /// There are several pods.
        many: bool,
        /// There are several containers in them.
        containers: bool,
    },
}

/// The log: follows, searches, colours.
#[component]
pub(super) fn Logs(
    path: String,
    #[prop(into)] name: Signal<String>,
    /// Whether the container runs: when it runs again, so does the log.
    running: Signal<bool>,
    /// Whose it is.
    #[prop(optional)]
    of: LogOf,
    /// More of the address: parameters.
    #[prop(optional, into)]
    query: String,
) -> impl IntoView {
    let words = &t().engine;
    let lines = Lines { lines: RwSignal::new(Vec::new()), next: StoredValue::new(0) };
    let note = RwSignal::new(Some(words.log_waiting.to_owned()));
    let search = RwSignal::new(String::new());
    let stamps = RwSignal::new(false);
    let follow = RwSignal::new(true);
    let view_port = NodeRef::<leptos::html::Div>::new();
    while_mounted(read(path.clone(), query.clone(), lines, note, running, of));
    Effect::new(move || {
        lines.lines.track();
        if follow.get()
            && let Some(element) = view_port.get()
        {
            let to_end = move || element.set_scroll_top(element.scroll_height());
            // Lines get their true heights when they first come into view: go there twice.
            request_animation_frame(move || {
                to_end();
                request_animation_frame(to_end);
            });
        }
    });
    // Who scrolls up wants to read; who comes back to the end wants to follow again.
    let top = StoredValue::new(0);
    let scrolled = move |_| {
        if let Some(element) = view_port.get_untracked() {
            let now = element.scroll_top();
            let up = now < top.get_value();
            top.set_value(now);
            let near = element.scroll_height() - now - element.client_height() < NEAR;
            if near || up {
                follow.set(near);
            }
        }
    };
    let shown = move || {
        let wanted = search.get().to_lowercase();
        lines.lines.with(|lines| {
            lines
                .iter()
                .filter(|(_, line)| wanted.is_empty() || line.text.to_lowercase().contains(&wanted))
                .map(|(number, line)| (*number, line.clone(), wanted.clone()))
                .collect::<Vec<_>>()
        })
    };
    let none = move || lines.lines.with(Vec::is_empty) && note.with(Option::is_none);
    let download =
        move || format!("/v1/{path}/logs?format=text&tail=all&timestamps={}{query}", stamps.get());
    view! {
        <div class="toolbar">
            <SearchBox label=words.log_search value=search />
            <Switch label=words.timestamps checked=stamps />
            <Switch label=words.follow checked=follow />
            {(of != LogOf::Service).then(|| view! {
                <a class="btn btn-secondary" rel="external" href=download download=move || format!("{}.log", name.get())>
                    {t().common.download}
                </a>
            })}
            <Button label=t().common.clear icon=Glyph::Close on_click=move |_| lines.lines.set(Vec::new()) />
        </div>
        <div class="log" node_ref=view_port role="log" aria-label=words.logs tabindex="0" on:scroll=scrolled>
            <For each=shown key=|(number, _, wanted)| (*number, wanted.clone()) let:line>
                {log_line(&line.1, &line.2, stamps)}
            </For>
            {move || none().then(|| view! { <p class="log-note">{words.log_empty}</p> })}
            {move || note.get().map(|note| view! { <p class="log-note">{note}</p> })}
        </div>
    }
    .into_any()
}

/// Reads until the page is left; goes on from the last line when the connection was lost.
async fn read(
    path: String,
    query: String,
    lines: Lines,
    note: RwSignal<Option<String>>,
    running: Signal<bool>,
    of: LogOf,
) {
    let words = &t().engine;
    let mut wait = 500;
    loop {
        let from = match lines.last() {
            Some(since) => format!("since={}", api::encode(&since)),
            None => "tail=500".to_owned(),
        };
        let address = socket_address(&format!("{path}/logs/ws?follow=true&{from}{query}"));
        let mut ended = false;
        if let Ok(mut socket) = WebSocket::open(&address) {
            while let Some(Ok(Message::Text(text))) = socket.next().await {
                wait = 500;
                let message = match of {
                    LogOf::Container => crate::api::read(&text),
                    LogOf::Service => of_service(&text),
                    LogOf::Pods { many, containers } => of_pods(&text, many, containers),
                };
                match message {
                    Ok(LogMessage::Lines { lines: new }) => {
                        note.set(None);
                        lines.add(new);
                    }
                    Ok(LogMessage::End { reason }) => {
                        note.set(Some(reason));
                        ended = true;
                    }
                    Err(_) => {}
                }
            }
        }
        if ended {
            // Until it runs again.
            TimeoutFuture::new(1500).await;
            while !running.get_untracked() {
                TimeoutFuture::new(500).await;
            }
            continue;
        }
        note.set(Some(words.connection_lost.to_owned()));
        TimeoutFuture::new(wait).await;
        wait = (wait * 2).min(10_000);
    }
}

/// A message of a service's log, as one of a container's: with the task's name before each line.
fn of_service(text: &str) -> serde_json::Result<LogMessage> {
    Ok(match crate::api::read(text)? {
        ServiceLogMessage::Lines { lines } => {
            LogMessage::Lines { lines: lines.into_iter().map(with_task).collect() }
        }
        ServiceLogMessage::End { reason } => LogMessage::End { reason },
    })
}

fn with_task(line: ServiceLogLine) -> LogLine {
    let ServiceLogLine { at, stream, text, task_id, task_name } = line;
    let text = with_name(&task_name.or(task_id).unwrap_or_default(), &text);
    LogLine { at, stream, text }
}

/// A message of the log of pods, as one of a container's: with the pod's and container's names
/// before each line where there are several.
fn of_pods(text: &str, many: bool, containers: bool) -> serde_json::Result<LogMessage> {
    let named = |line: PodLogLine| {
        let PodLogLine { at, pod, container, text } = line;
        let name = match (many, containers) {
            (true, true) => format!("{pod}/{container}"),
            (true, false) => pod,
            (false, true) => container,
            (false, false) => String::new(),
        };
        let text = if name.is_empty() { text } else { with_name(&name, &text) };
        LogLine { at, stream: LogStream::Stdout, text }
    };
    Ok(match crate::api::read(text)? {
        PodLogMessage::Lines { lines } => {
            LogMessage::Lines { lines: lines.into_iter().map(named).collect() }
        }
        PodLogMessage::End { reason } => LogMessage::End { reason },
    })
}

/// A line with the name of who wrote it, in one of six colours: the same for all of its lines.
fn with_name(name: &str, text: &str) -> String {
    let colour = 31 + name.bytes().map(u32::from).sum::<u32>() % 6;
    format!("\u{1b}[{colour}m{name}\u{1b}[0m  {text}")
}

fn log_line(line: &LogLine, wanted: &str, stamps: RwSignal<bool>) -> AnyView {
    let class = if line.stream == LogStream::Stderr { "log-line log-error" } else { "log-line" };
    let short: String = line.at.chars().take(23).collect();
    let at = move || {
        let short = short.clone();
        stamps.get().then(|| view! { <span class="log-at">{short}</span> })
    };
    view! { <div class=class>{at} {ansi(&line.text, wanted)}</div> }.into_any()
}

/// Colours by ANSI escapes (SGR); other escapes are dropped.
fn ansi(text: &str, wanted: &str) -> Vec<AnyView> {
    let mut out = Vec::new();
    let mut class = String::new();
    let mut parts = text.split('\u{1b}');
    let mut push = |text: &str, class: &str| {
        if !text.is_empty() {
            let class = class.to_owned();
            out.push(view! { <span class=class>{marked(text, wanted)}</span> }.into_any());
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
                        let bold = if class.contains("ansi-bold") { " ansi-bold" } else { "" };
                        class = format!("ansi-{}{bold}", 30 + code % 10);
                    }
                    39 => class = class.replace("ansi-3", "was-3"),
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

/// The text with what is searched for marked.
fn marked(text: &str, wanted: &str) -> AnyView {
    if wanted.is_empty() {
        return text.to_owned().into_any();
    }
    // Only ASCII letters change their case here, so that places in both are the same.
    let lower = text.to_ascii_lowercase();
    let mut out = Vec::new();
    let mut done = 0;
    for (at, found) in lower.match_indices(wanted) {
        let (before, hit) = (&text[done..at], &text[at..at + found.len()]);
        out.push(view! { {before.to_owned()} <mark>{hit.to_owned()}</mark> }.into_any());
        done = at + found.len();
    }
    out.push(text[done..].to_owned().into_any());
    out.into_any()
}
