//! What a container uses, live.

use drover_api::StatsMessage;
use futures_util::StreamExt;
use gloo_net::websocket::{Message, futures::WebSocket};
use leptos::prelude::*;

use super::sockets::{socket_address, while_mounted};
use crate::{
    components::*,
    format,
    i18n::{fill, t},
};

/// CPU, memory, network and disk, a point each second.
#[component]
pub(super) fn Charts(path: String) -> impl IntoView {
    let words = &t().engine;
    let history = History::<6>::new(300);
    let limit = RwSignal::new(0.0);
    let note = RwSignal::new(None::<String>);
    while_mounted(async move {
        loop {
            if let Ok(mut socket) = WebSocket::open(&socket_address(&format!("{path}/stats/ws"))) {
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    let stats = match crate::api::read(&text) {
                        Ok(StatsMessage::Stats(stats)) => stats,
                        Ok(StatsMessage::End { reason }) => {
                            note.set(Some(reason));
                            continue;
                        }
                        Err(_) => continue,
                    };
                    note.set(None);
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
        let shown = lines.clone();
        let now = move || {
            let parts = shown.iter().filter_map(|(line, name)| {
                let (_, value) = *history.line(*line).last()?;
                Some(if shown.len() > 1 {
                    format!("{name} {}", words(value))
                } else {
                    words(value)
                })
            });
            parts.collect::<Vec<_>>().join(" · ")
        };
        let extra = move || {
            let now = now.clone();
            view! { <span class="now">{move || now()}</span> }
        };
        let series = Signal::derive(move || {
            lines
                .iter()
                .map(|(line, name)| Series::new(*name, history.line(*line)))
                .collect::<Vec<_>>()
        });
        view! {
            <Card title=title extra=extra>
                <Chart label=title series=series words=words binary=binary />
            </Card>
        }
    };
    let of_limit = move || match limit.get() {
        limit if limit > 0.0 => {
            fill(t().containers.memory_limit, &[("limit", &format::bytes(limit))])
        }
        _ => String::new(),
    };
    view! {
        {move || note.get().map(|note| view! { <Notice>{note}</Notice> })}
        <div class="grid-2">
            {chart(words.cpus, vec![(0, words.cpus)], format::cores, false)}
            {chart(words.memory, vec![(1, words.memory)], format::bytes, true)}
            {chart(words.network, vec![(2, words.received), (3, words.sent)], format::rate, true)}
            {chart(words.block, vec![(4, words.read), (5, words.written)], format::rate, true)}
        </div>
        <p class="small faint">{of_limit}</p>
    }
    .into_any()
}
