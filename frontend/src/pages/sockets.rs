//! WebSockets of the API.

use leptos::{prelude::*, task::spawn_local};

/// The address of a WebSocket at `path` of the API.
pub(super) fn socket_address(path: &str) -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|protocol| protocol == "https:");
    let host = location.host().unwrap_or_default();
    format!("{}://{host}/v1/{path}", if secure { "wss" } else { "ws" })
}

/// Runs `work` until the component is gone.
pub(super) fn while_mounted(work: impl Future<Output = ()> + 'static) {
    let (stop, stopped) = futures_util::future::abortable(work);
    on_cleanup(move || stopped.abort());
    spawn_local(async move {
        // Aborted is how it ends.
        let _ = stop.await;
    });
}
