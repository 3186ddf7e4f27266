//! What happened on a host, or to one of its containers, as the engine told it.

use drover_api::{HostEvent, List, Topic};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::Env,
    format,
    i18n::{fill, t},
    icons::Glyph,
    remote::Remote,
};

/// The latest events, newest first.
#[component]
pub(super) fn HostEvents(
    env: Env,
    /// The host's path in the API.
    path: String,
    /// Only those of this container.
    #[prop(optional, into)]
    container: Option<String>,
) -> impl IntoView {
    let words = &t().hosts;
    let host = path.rsplit('/').next().unwrap_or_default().to_owned();
    let of = container.clone().unwrap_or_default();
    let list = Remote::new(move || {
        api::get(format!("{path}/events"))
            .query("container", &of)
            .query("limit", 300)
            .json::<List<HostEvent>>()
    })
    .live(&[Topic::Container, Topic::HostResources], move |event| match &container {
        Some(container) => event.id == *container,
        None => true,
    });
    let row = move |event: HostEvent| {
        let page = (event.kind == "container")
            .then(|| env.path(&format!("containers/{host}/{}", event.id)));
        let name = match page {
            Some(href) => view! { <a href=href>{event.name}</a> }.into_any(),
            None => view! { <span>{event.name}</span> }.into_any(),
        };
        let code =
            event.exit_code.map(|code| fill(words.exit_code, &[("code", &code.to_string())]));
        view! {
            <tr>
                <td class="tight nums" title=format::date_time(event.at)>{format::clock(event.at.unix_ms() as f64)}</td>
                <td class="tight faint">{event.kind}</td>
                <td>{name}</td>
                <td class="mono">{event.action} " " {code.map(|code| view! { <span class="faint">{code}</span> })}</td>
            </tr>
        }
    };
    let row = StoredValue::new(row);
    view! {
        <Loaded remote=list let:list>
            {move || {
                let items = list.get().items;
                if items.is_empty() {
                    return view! { <Empty glyph=Glyph::Operation title=words.no_events text=words.no_events_text /> }.into_any();
                }
                let rows = items.into_iter().map(|event| row.with_value(|row| row(event))).collect_view();
                view! {
                    <Card flush=true><div class="scroll-x"><table class="plain">
                        <thead><tr>
                            <th>{words.when}</th><th>{t().engine.kind}</th><th>{words.what}</th><th>{words.event}</th>
                        </tr></thead>
                        <tbody>{rows}</tbody>
                    </table></div></Card>
                }.into_any()
            }}
        </Loaded>
    }
}
