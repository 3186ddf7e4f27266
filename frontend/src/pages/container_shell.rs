//! A shell in a container.

use drover_api::{ExecControl, ExecEvent, Permission};
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use gloo_net::websocket::{Message, futures::WebSocket};
use leptos::prelude::*;

use super::sockets::{socket_address, while_mounted};
use crate::{components::*, environment::Env, i18n::t, icons::Glyph};

/// A terminal with the container's best shell.
#[component]
pub(super) fn Shell(
    env: Env,
    path: String,
    /// More of the address: parameters.
    #[prop(optional, into)]
    query: String,
) -> impl IntoView {
    let words = &t().engine;
    let round = RwSignal::new(0_u32);
    if !env.may(Permission::Deploy) {
        return view! { <Notice>{t().error.forbidden}</Notice> }.into_any();
    }
    view! {
        {move || {
            round.track();
            view! { <ShellSession path=path.clone() query=query.clone() /> }
        }}
        <div class="toolbar">
            <Button label=words.shell_again icon=Glyph::Refresh on_click=move |_| round.update(|n| *n += 1) />
        </div>
    }
    .into_any()
}

#[component]
fn ShellSession(path: String, query: String) -> impl IntoView {
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
        let address =
            socket_address(&format!("{path}/exec/ws?columns={columns}&rows={rows}{query}"));
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
                        if let Ok(ExecEvent::End { reason, .. }) = crate::api::read(&text) {
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
