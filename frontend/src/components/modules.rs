//! The parts that are written in JavaScript (a code editor, a terminal), loaded when they are first
//! needed. See `frontend/js`.

use std::sync::Arc;

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

use super::{ProblemCard, Skeleton};
use crate::{
    api::{ApiError, Result},
    boot::boot,
    i18n::t,
};

/// Loads a module, with the function that the shell page gives for it.
async fn load(address: &str) -> std::result::Result<JsValue, JsValue> {
    let import: Function = Reflect::get(&window(), &"droverImport".into())?.dyn_into()?;
    let promise: Promise = import.call1(&JsValue::NULL, &address.into())?.dyn_into()?;
    JsFuture::from(promise).await
}

/// Makes `{name: value}`.
fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object
}

fn call(
    target: &JsValue,
    method: &str,
    arguments: &[JsValue],
) -> std::result::Result<JsValue, JsValue> {
    let function: Function = Reflect::get(target, &method.into())?.dyn_into()?;
    function.apply(target, &arguments.iter().collect())
}

async fn create(
    address: &str,
    function: &str,
    element: &web_sys::HtmlElement,
    options: Object,
) -> Result<JsValue> {
    let made = async {
        let module = load(address).await?;
        call(&module, function, &[element.into(), options.into()])
    };
    made.await.map_err(|_| ApiError::new("module", t().error.module))
}

/// A problem that an [`Editor`] marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A code editor (CodeMirror, YAML) for `value`.
#[component]
pub fn Editor(
    /// What is edited, for screen readers.
    #[prop(into)]
    label: String,
    /// The text; may be set from outside too.
    value: RwSignal<String>,
    /// Marked in the margin and under the text.
    #[prop(optional, into)]
    marks: Signal<Vec<Mark>>,
    /// JSON Schemas to complete and to look for unknown fields by, as texts: one for each document,
    /// as lines of `---` divide them.
    #[prop(optional, into)]
    schemas: Signal<Vec<Option<Arc<str>>>>,
    /// Shown but not edited.
    #[prop(optional)]
    read_only: bool,
) -> impl IntoView {
    let holder = NodeRef::<leptos::html::Div>::new();
    let problem = RwSignal::new(None::<ApiError>);
    let editor = StoredValue::new_local(None::<(JsValue, Closure<dyn Fn(String)>)>);
    let ready = RwSignal::new(false);
    // What the editor holds: tells changes from outside from its own.
    let held = StoredValue::new(value.get_untracked());
    let title = label.clone();
    Effect::new(move || {
        let Some(element) = holder.get() else { return };
        let label = title.clone();
        spawn_local(async move {
            // The page may have been left already.
            let Some(text) = held.try_get_value() else { return };
            let on_change = Closure::<dyn Fn(String)>::new(move |text: String| {
                held.try_set_value(text.clone());
                value.try_set(text);
            });
            let options = object(&[
                ("doc", text.into()),
                ("readOnly", read_only.into()),
                ("nonce", boot().nonce.as_str().into()),
                ("label", label.into()),
                ("onChange", on_change.as_ref().clone()),
            ]);
            match create(&boot().modules.editor, "createEditor", &element, options).await {
                Ok(made) if ready.try_set(true).is_none() => {
                    editor.set_value(Some((made, on_change)))
                }
                // The page was left meanwhile.
                Ok(made) => drop(call(&made, "dispose", &[])),
                Err(error) => _ = problem.try_set(Some(error)),
            }
        });
    });
    let with_editor = move |method: &'static str, argument: JsValue| {
        editor.try_with_value(|editor| {
            if let Some((editor, _)) = editor {
                // An editor without this method goes on with what it has.
                let _ = call(editor, method, &[argument]);
            }
        });
    };
    Effect::new(move || {
        let text = value.get();
        if ready.get() && held.with_value(|held| *held != text) {
            held.set_value(text.clone());
            with_editor("setDoc", text.into());
        }
    });
    Effect::new(move || {
        let marks = marks.get();
        if ready.get() {
            let marks: js_sys::Array = marks
                .into_iter()
                .map(|mark| {
                    object(&[
                        ("line", mark.line.into()),
                        ("column", mark.column.into()),
                        ("severity", mark.severity.into()),
                        ("message", mark.message.into()),
                    ])
                })
                .collect();
            with_editor("setDiagnostics", marks.into());
        }
    });
    Effect::new(move || {
        let schemas = schemas.get();
        if ready.get() && !schemas.is_empty() {
            let read = |text: Option<Arc<str>>| {
                text.and_then(|text| js_sys::JSON::parse(&text).ok()).unwrap_or(JsValue::NULL)
            };
            let schemas: js_sys::Array = schemas.into_iter().map(read).collect();
            let message = t().error.unknown_field.into();
            let known = object(&[("schemas", schemas.into()), ("message", message)]);
            with_editor("setSchemas", known.into());
        }
    });
    on_cleanup(move || {
        with_editor("dispose", JsValue::UNDEFINED);
        editor.dispose();
    });
    view! {
        {move || problem.get().map(|error| view! { <ProblemCard error=error /> })}
        <div class="editor" role="group" aria-label=label hidden=move || problem.with(Option::is_some)>
            {move || (!ready.get()).then(|| view! { <Skeleton lines=6 /> })}
            <div node_ref=holder></div>
        </div>
    }
    .into_any()
}

/// A handle to a [`Terminal`] that is on show.
#[derive(Clone, Copy)]
pub struct TerminalHandle {
    inner: StoredValue<Option<TerminalParts>, LocalStorage>,
}

struct TerminalParts {
    terminal: JsValue,
    _on_data: Closure<dyn Fn(JsValue)>,
    _on_resize: Closure<dyn Fn(f64, f64)>,
}

impl TerminalHandle {
    /// A handle to give to a [`Terminal`].
    pub fn new() -> Self {
        Self { inner: StoredValue::new_local(None) }
    }

    fn call(self, method: &str, argument: JsValue) {
        self.inner.try_with_value(|parts| {
            if let Some(parts) = parts {
                // A terminal without this method goes on as it is.
                let _ = call(&parts.terminal, method, &[argument]);
            }
        });
    }

    /// Shows bytes that the other end has written.
    pub fn write(self, bytes: &[u8]) {
        self.call("write", Uint8Array::from(bytes).into());
    }

    /// Puts the keyboard into it.
    pub fn focus(self) {
        self.call("focus", JsValue::UNDEFINED);
    }
}

impl Default for TerminalHandle {
    fn default() -> Self {
        Self::new()
    }
}

/// A terminal (xterm.js).
#[component]
pub fn Terminal(
    /// What it is connected to, for screen readers.
    #[prop(into)]
    label: String,
    /// To write to it.
    handle: TerminalHandle,
    /// Called once it is on show.
    #[prop(into)]
    on_ready: Callback<()>,
    /// Gets what is typed.
    #[prop(into)]
    on_data: Callback<Vec<u8>>,
    /// Gets its size in columns and rows, whenever it changes.
    #[prop(into)]
    on_resize: Callback<(u16, u16)>,
) -> impl IntoView {
    let holder = NodeRef::<leptos::html::Div>::new();
    let problem = RwSignal::new(None::<ApiError>);
    Effect::new(move || {
        let Some(element) = holder.get() else { return };
        spawn_local(async move {
            let on_data = Closure::<dyn Fn(JsValue)>::new(move |data: JsValue| {
                let bytes = match data.as_string() {
                    Some(text) => text.into_bytes(),
                    None => Uint8Array::new(&data).to_vec(),
                };
                on_data.try_run(bytes);
            });
            let on_resize = Closure::<dyn Fn(f64, f64)>::new(move |columns: f64, rows: f64| {
                on_resize.try_run((columns as u16, rows as u16));
            });
            let options = object(&[
                ("nonce", boot().nonce.as_str().into()),
                ("onData", on_data.as_ref().clone()),
                ("onResize", on_resize.as_ref().clone()),
            ]);
            match create(&boot().modules.terminal, "createTerminal", &element, options).await {
                Ok(terminal) => {
                    let parts =
                        TerminalParts { terminal, _on_data: on_data, _on_resize: on_resize };
                    // The page was left meanwhile.
                    if let Some(Some(parts)) = handle.inner.try_set_value(Some(parts)) {
                        let _ = call(&parts.terminal, "dispose", &[]);
                        return;
                    }
                    on_ready.try_run(());
                }
                Err(error) => _ = problem.try_set(Some(error)),
            }
        });
    });
    on_cleanup(move || {
        handle.call("dispose", JsValue::UNDEFINED);
        handle.inner.try_set_value(None);
    });
    view! {
        {move || problem.get().map(|error| view! { <ProblemCard error=error /> })}
        <div class="terminal" role="group" aria-label=label hidden=move || problem.with(Option::is_some)>
            <div node_ref=holder></div>
        </div>
    }
    .into_any()
}
