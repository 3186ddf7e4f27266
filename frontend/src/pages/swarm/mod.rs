//! Docker Swarm: the page of an environment's swarm, and those of its services and nodes.

mod cluster;
mod files;
mod make;
mod manage;
mod map;
mod networks;
mod node;
mod nodes;
mod service;
mod services;
mod stacks;
mod states;
mod tasks;

pub use cluster::SwarmPage;
pub use node::SwarmNodePage;
pub use service::SwarmServicePage;

use leptos::{prelude::*, task::spawn_local};

use crate::{api, components::*};

/// Sends a change, says what went wrong, and calls `done` when nothing did.
fn change(request: api::Request, done: impl Fn() + 'static) {
    spawn_local(async move {
        match request.done().await {
            Ok(()) => done(),
            Err(error) => use_toasts().error(&error),
        }
    });
}

/// Names in a line, or what to say when there are none.
fn names(names: &[String], none: &'static str) -> AnyView {
    match names.is_empty() {
        true => view! { <span class="faint">{none}</span> }.into_any(),
        false => {
            let line = names.join(", ");
            view! { <span class="truncate" title=line.clone()>{line.clone()}</span> }.into_any()
        }
    }
}
