//! What a ConfigMap or Secret holds. Values of Secrets are hidden until somebody who may see them
//! asks.

use drover_api::ObjectDetail;
use leptos::prelude::*;
use serde_json::{Map, Value};

use crate::{
    components::*,
    format,
    i18n::{fill, kubernetes, t},
    icons::Glyph,
};

/// A value of a ConfigMap or Secret.
#[derive(Clone, PartialEq)]
enum Held {
    /// Text, and its size in bytes.
    Text(String),
    /// Bytes that are no text: their size.
    Bytes(usize),
    /// The server did not tell it.
    Untold,
}

/// The text of base64, or how many bytes there are.
fn decoded(base64: &str) -> Held {
    let Ok(binary) = window().atob(base64) else { return Held::Untold };
    // Each character of a binary string is a byte.
    let bytes: Vec<u8> = binary.chars().map(|c| c as u32 as u8).collect();
    let size = bytes.len();
    String::from_utf8(bytes).map_or(Held::Bytes(size), Held::Text)
}

fn held(object: &Value, secret: bool) -> Vec<(String, Held)> {
    let of = |key: &str, read: fn(&str) -> Held| {
        let map = object.get(key).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().map_or(Held::Untold, read)))
            .collect::<Vec<_>>()
    };
    if secret {
        of("data", decoded)
    } else {
        let mut all = of("data", |text| Held::Text(text.to_owned()));
        all.extend(of("binaryData", decoded));
        all
    }
}

/// What of it is text, for a form.
pub(super) fn texts(object: &Value, secret: bool) -> Vec<(String, String)> {
    let data = object["data"].as_object();
    let text = |value: &Value| match value.as_str()? {
        base64 if secret => match decoded(base64) {
            Held::Text(text) => Some(text),
            Held::Bytes(_) | Held::Untold => None,
        },
        text => Some(text.to_owned()),
    };
    data.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}

/// Puts these texts in place of those that are there; bytes that are no text stay.
pub(super) fn put_texts(object: &mut Value, texts: &[(String, String)], secret: bool) {
    let before: Vec<String> = self::texts(object, secret).into_iter().map(|(key, _)| key).collect();
    if !object["data"].is_object() {
        if texts.is_empty() {
            return;
        }
        object["data"] = Value::Object(Map::new());
    }
    let Some(data) = object["data"].as_object_mut() else { return };
    data.retain(|key, _| !before.contains(key) || texts.iter().any(|(other, _)| other == key));
    for (key, text) in texts {
        let value = if secret { encoded(text) } else { text.clone() };
        data.insert(key.clone(), Value::String(value));
    }
}

/// A text as base64.
fn encoded(text: &str) -> String {
    // Each byte is a character of a binary string.
    let binary: String = text.bytes().map(char::from).collect();
    window().btoa(&binary).unwrap_or_default()
}

/// The values.
#[component]
pub(super) fn Data(secret: bool, detail: Signal<ObjectDetail>) -> impl IntoView {
    let words = kubernetes();
    let all = Memo::new(move |_| detail.with(|detail| held(&detail.object, secret)));
    let row = move |(name, held): (String, Held)| {
        let shown = RwSignal::new(!secret);
        let label = fill(words.reveal, &[("name", &name)]);
        let value = match held {
            Held::Untold => view! { <span class="faint">{words.not_told}</span> }.into_any(),
            Held::Bytes(size) => {
                let size = format::bytes(size as f64);
                view! { <span class="faint">{fill(words.binary, &[("size", &size)])}</span> }
                    .into_any()
            }
            Held::Text(text) => {
                let copied = text.clone();
                let face = move || match shown.get() {
                    true => view! { <pre class="code wrap" tabindex="0">{text.clone()}</pre> }
                        .into_any(),
                    false => view! { <span class="faint mono">"••••••••"</span> }.into_any(),
                };
                let glyph = move || if shown.get() { Glyph::EyeOff } else { Glyph::Eye };
                let toggle = move || {
                    view! { <IconButton glyph=glyph() label=label.clone() small=true on_click=move |_| shown.update(|shown| *shown = !*shown) /> }
                };
                view! {
                    <div class="row k8s-value">
                        <div class="grow">{face}</div>
                        {secret.then_some(toggle)}
                        <CopyButton text=copied />
                    </div>
                }
                .into_any()
            }
        };
        view! { <dt class="strong mono break">{name}</dt> <dd>{value}</dd> }
    };
    view! {
        <Card title=words.data>
            {move || {
                let all = all.get();
                match all.is_empty() {
                    true => view! { <p class="faint">{if secret { words.no_values } else { t().common.none }}</p> }.into_any(),
                    false => view! { <dl class="kv k8s-data">{all.into_iter().map(row).collect_view()}</dl> }.into_any(),
                }
            }}
        </Card>
    }
    .into_any()
}
