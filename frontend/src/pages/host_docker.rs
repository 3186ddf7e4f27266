//! How a host is used with Docker's own command line.

use drover_api::DockerContext;
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    i18n::{fill, machines},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// What to paste, for a host or for a swarm's managers.
#[component]
pub(super) fn DockerCli(
    /// The API's path of what is used.
    path: String,
) -> impl IntoView {
    let words = machines();
    let context =
        Remote::new(move || api::get(format!("{path}/docker-context")).json::<DockerContext>());
    let block = |label: &'static str, text: String| {
        view! {
            <div class="stack-s">
                <span class="field-label">{label}</span>
                <CommandBlock text=text />
            </div>
        }
    };
    let shown = move |context: DockerContext| {
        let key = fill(words.docker_key, &[("key", &context.key_placeholder)]);
        view! {
            <p class="muted">{words.docker_cli_text}</p>
            {(!context.tls).then(|| view! { <Notice tone=Tone::Warn>{words.docker_no_tls}</Notice> })}
            <div class="row-wrap">
                <span>{key}</span>
                <ButtonLink small=true icon=Glyph::Key href="/account/api-keys" label=words.docker_keys />
            </div>
            {block(words.docker_set_up, context.set_up)}
            {block(words.docker_use, context.use_it)}
            {block(words.docker_compose, context.compose)}
            {block(words.docker_address, context.address)}
        }
    };
    view! {
        <Loaded remote=context let:context>
            <Card><div class="stack">{move || shown(context.get())}</div></Card>
        </Loaded>
    }
}
