//! Forms: the state of a submission, and fields with label, help and error.
//!
//! ```ignore
//! let form = Form::new();
//! let name = RwSignal::new(String::new());
//! let save = move || form.submit(
//!     move || async move { api::post("users", &input).json::<User>().await },
//!     move |user| toasts.success(…),
//! );
//! view! {
//!     <FormView form=form on_submit=save>
//!         <TextField form=form name="name" label=t().common.name value=name required=true />
//!         <FormActions form=form label=t().common.save />
//!     </FormView>
//! }
//! ```

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
};

use leptos::{prelude::*, task::spawn_local};

use super::{Button, IconButton, Look, Notice};
use crate::{
    api::{ApiError, Result},
    i18n::t,
    icons::{Glyph, Icon},
    states::Tone,
};

/// A new id for an element, unique in the page.
pub fn new_id(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The state of a form's submission.
#[derive(Clone, Copy)]
pub struct Form {
    busy: RwSignal<bool>,
    error: RwSignal<Option<ApiError>>,
    /// Fields that the form itself has shown an error for.
    claimed: StoredValue<Vec<&'static str>>,
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Form {
    /// Not submitted yet.
    pub fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            error: RwSignal::new(None),
            claimed: StoredValue::new(Vec::new()),
        }
    }

    /// Sends it: `on_ok` gets the answer; a failure is shown at its fields, or above the actions.
    /// Does nothing while a submission is under way.
    pub fn submit<T, F>(self, send: impl FnOnce() -> F, on_ok: impl FnOnce(T) + 'static)
    where
        T: 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        // In boxes, so that what follows is there once for each type of answer only.
        self.finish(Box::pin(send()), Box::new(on_ok));
    }

    fn finish<T: 'static>(
        self,
        answer: Pin<Box<dyn Future<Output = Result<T>>>>,
        on_ok: Box<dyn FnOnce(T)>,
    ) {
        spawn_local(async move {
            let answer = answer.await;
            self.busy.try_set(false);
            match answer {
                Ok(value) => on_ok(value),
                Err(error) => _ = self.error.try_set(Some(error)),
            }
        });
    }

    /// True while a submission is under way.
    pub fn busy(self) -> Signal<bool> {
        self.busy.into()
    }

    /// Shows a failure that the form itself has found.
    pub fn fail(self, error: ApiError) {
        self.error.set(Some(error));
    }

    /// Shows an error at one field.
    pub fn fail_field(self, field: &str, message: &str) {
        let mut error = ApiError::new("invalid", message);
        error.errors.push(drover_api::FieldError::new(field, message));
        self.error.set(Some(error));
    }

    /// Forgets the last failure.
    pub fn clear(self) {
        self.error.set(None);
    }

    /// The error of one field, which is then not repeated above the actions.
    pub fn field_error(self, name: &'static str) -> Signal<Option<String>> {
        self.claimed.update_value(|claimed| claimed.push(name));
        Signal::derive(move || {
            self.error.with(|error| {
                let error = error.as_ref()?.errors.iter().find(|error| error.field == name)?;
                Some(error.message.clone())
            })
        })
    }

    /// What is wrong and is not shown at a field.
    pub fn rest(self) -> Option<String> {
        self.error.with(|error| {
            let error = error.as_ref()?;
            if error.is_conflict() {
                return Some(t().error.changed_meanwhile.to_owned());
            }
            if error.errors.is_empty() {
                return Some(error.message.clone());
            }
            let rest: Vec<_> = error
                .errors
                .iter()
                .filter(|error| self.claimed.with_value(|c| !c.contains(&error.field.as_str())))
                .map(|error| match error.field.as_str() {
                    "" => error.message.clone(),
                    field => format!("{field}: {}", error.message),
                })
                .collect();
            (!rest.is_empty()).then(|| rest.join(" "))
        })
    }
}

/// The `<form>` element.
#[component]
pub fn FormView(
    /// Its state.
    form: Form,
    /// Sends it.
    #[prop(into)]
    on_submit: Callback<()>,
    /// Fields, then [`FormActions`].
    children: Children,
) -> impl IntoView {
    view! {
        <form
            class="form"
            novalidate
            aria-busy=move || form.busy().get().then_some("true")
            on:submit=move |event| {
                event.prevent_default();
                on_submit.run(());
            }
        >
            {children()}
        </form>
    }
}

/// What is wrong with the form as a whole.
#[component]
pub fn FormProblem(
    /// Whose failure.
    form: Form,
) -> impl IntoView {
    move || form.rest().map(|text| view! { <Notice tone=Tone::Bad>{text}</Notice> })
}

/// The problem of the form, then its submit button, and a cancel button if asked for.
#[component]
pub fn FormActions(
    /// Its state.
    form: Form,
    /// What the submit button says.
    #[prop(into)]
    label: Signal<String>,
    /// How loud the submit button is.
    #[prop(default = Look::Primary)]
    look: Look,
    /// As wide as the form.
    #[prop(optional)]
    block: bool,
    /// Cannot be submitted (yet).
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Shows a cancel button.
    #[prop(optional, into)]
    on_cancel: Option<Callback<()>>,
) -> impl IntoView {
    view! {
        <FormProblem form=form />
        <div class="form-actions">
            {on_cancel.map(|cancel| {
                view! { <Button label=t().common.cancel on_click=move |_| cancel.run(()) /> }
            })}
            <Button
                label=label
                look=look
                submit=true
                block=block
                busy=form.busy()
                disabled=disabled
            />
        </div>
    }
}

/// Label, help and error around any control. The control gets the id for `for=`, and the ids for
/// `aria-describedby`.
#[component]
pub fn Field(
    /// What is asked for.
    #[prop(into)]
    label: String,
    /// The id of the control.
    #[prop(into)]
    id: String,
    /// Explains it.
    #[prop(default = None)]
    help: Option<String>,
    /// May be left empty: says so.
    #[prop(optional)]
    optional: bool,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// The control.
    children: Children,
) -> impl IntoView {
    let note = format!("{id}-note");
    view! {
        <div class="field">
            <label class="field-label" for=id>
                {label}
                {optional.then(|| view! { <span class="field-optional">{t().common.optional}</span> })}
            </label>
            {children()}
            <div id=note aria-live="polite">
                {move || match error.get() {
                    Some(error) => {
                        view! {
                            <div class="field-error">
                                <Icon glyph=Glyph::Error size=13 />
                                <span>{error}</span>
                            </div>
                        }
                            .into_any()
                    }
                    None => help.clone().map(|help| view! { <div class="field-help">{help}</div> }).into_any(),
                }}
            </div>
        </div>
    }
}

fn error_of(
    form: Option<Form>,
    name: &'static str,
    error: MaybeProp<String>,
) -> Signal<Option<String>> {
    let from_form = form.filter(|_| !name.is_empty()).map(|form| form.field_error(name));
    Signal::derive(move || error.get().or_else(|| from_form.and_then(|error| error.get())))
}

/// One line of text.
#[component]
pub fn TextField(
    /// What is asked for.
    #[prop(into)]
    label: String,
    /// What is typed.
    value: RwSignal<String>,
    /// The form whose errors it shows.
    #[prop(optional, into)]
    form: Option<Form>,
    /// The field's name in the API (for errors) and for the browser's password manager.
    #[prop(optional)]
    name: &'static str,
    /// `text`, `password`, `email`, `number`, `date`, `datetime-local`…; a password can be shown.
    #[prop(default = "text")]
    kind: &'static str,
    /// Explains it.
    #[prop(optional, into)]
    help: Option<String>,
    /// Shown while empty.
    #[prop(optional, into)]
    placeholder: Option<String>,
    /// `username`, `current-password`, `new-password`, `off`…
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// May be left empty: says so.
    #[prop(optional)]
    optional: bool,
    /// In the monospace face: ids, paths, addresses.
    #[prop(optional)]
    mono: bool,
    /// Gets the focus when it appears.
    #[prop(optional)]
    focus: bool,
    /// After the text, e.g. `minutes`.
    #[prop(optional, into)]
    unit: Option<String>,
    /// Cannot be changed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// An error that the page itself has found.
    #[prop(optional, into)]
    error: MaybeProp<String>,
) -> impl IntoView {
    let id = new_id("field");
    let error = error_of(form, name, error);
    let password = kind == "password";
    let shown = RwSignal::new(false);
    let input = NodeRef::<leptos::html::Input>::new();
    if focus {
        Effect::new(move || {
            if let Some(input) = input.get() {
                // Fails only for elements that cannot have the focus.
                let _ = input.focus();
            }
        });
    }
    view! {
        <Field label=label id=id.clone() help=help optional=optional error=error>
            <div class="input-wrap">
                <input
                    node_ref=input
                    id=id.clone()
                    class=if mono { "input mono" } else { "input" }
                    type=move || if password && shown.get() { "text" } else { kind }
                    name=(!name.is_empty()).then_some(name)
                    placeholder=placeholder
                    autocomplete=autocomplete
                    autocapitalize="off"
                    spellcheck="false"
                    disabled=disabled
                    aria-invalid=move || error.with(Option::is_some).then_some("true")
                    aria-describedby=format!("{id}-note")
                    prop:value=value
                    on:input=move |event| value.set(event_target_value(&event))
                />
                {unit.map(|unit| view! { <span class="input-unit">{unit}</span> })}
                {password
                    .then(|| {
                        view! {
                            {move || {
                                let (glyph, label) = if shown.get() {
                                    (Glyph::EyeOff, t().common.hide_password)
                                } else {
                                    (Glyph::Eye, t().common.show_password)
                                };
                                view! {
                                    <IconButton
                                        glyph=glyph
                                        label=label
                                        small=true
                                        on_click=move |_| shown.update(|shown| *shown = !*shown)
                                    />
                                }
                            }}
                        }
                    })}
            </div>
        </Field>
    }
    .into_any()
}

/// Several lines of text.
#[component]
pub fn TextArea(
    /// What is asked for.
    #[prop(into)]
    label: String,
    /// What is typed.
    value: RwSignal<String>,
    /// The form whose errors it shows.
    #[prop(optional, into)]
    form: Option<Form>,
    /// The field's name in the API.
    #[prop(optional)]
    name: &'static str,
    /// Explains it.
    #[prop(optional, into)]
    help: Option<String>,
    /// Shown while empty.
    #[prop(optional, into)]
    placeholder: Option<String>,
    /// May be left empty: says so.
    #[prop(optional)]
    optional: bool,
    /// For PEM, YAML and the like.
    #[prop(optional)]
    code: bool,
    /// Lines.
    #[prop(default = 4)]
    rows: u8,
    /// Cannot be changed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// An error that the page itself has found.
    #[prop(optional, into)]
    error: MaybeProp<String>,
) -> impl IntoView {
    let id = new_id("field");
    let error = error_of(form, name, error);
    view! {
        <Field label=label id=id.clone() help=help optional=optional error=error>
            <textarea
                id=id.clone()
                class=if code { "input input-code" } else { "input" }
                rows=rows.to_string()
                placeholder=placeholder
                spellcheck=if code { "false" } else { "true" }
                disabled=disabled
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby=format!("{id}-note")
                prop:value=value
                on:input=move |event| value.set(event_target_value(&event))
            ></textarea>
        </Field>
    }
    .into_any()
}

/// A choice from a list.
#[component]
pub fn SelectField(
    /// What is asked for.
    #[prop(into)]
    label: String,
    /// The chosen value.
    value: RwSignal<String>,
    /// Values and what they are called.
    #[prop(into)]
    options: Signal<Vec<(String, String)>>,
    /// The form whose errors it shows.
    #[prop(optional, into)]
    form: Option<Form>,
    /// The field's name in the API.
    #[prop(optional)]
    name: &'static str,
    /// Explains it.
    #[prop(optional, into)]
    help: Option<String>,
    /// Cannot be changed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// An error that the page itself has found.
    #[prop(optional, into)]
    error: MaybeProp<String>,
) -> impl IntoView {
    let id = new_id("field");
    let error = error_of(form, name, error);
    view! {
        <Field label=label id=id.clone() help=help error=error>
            <select
                id=id.clone()
                class="input"
                disabled=disabled
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby=format!("{id}-note")
                on:change=move |event| value.set(event_target_value(&event))
            >
                <Options value=value options=options />
            </select>
        </Field>
    }
    .into_any()
}

/// A choice from a list without a visible label: for toolbars.
#[component]
pub fn Select(
    /// What is asked for, for screen readers.
    #[prop(into)]
    label: String,
    /// The chosen value.
    value: RwSignal<String>,
    /// Values and what they are called.
    #[prop(into)]
    options: Signal<Vec<(String, String)>>,
) -> impl IntoView {
    view! {
        <div class="input-wrap">
            <select
                class="input"
                aria-label=label
                on:change=move |event| value.set(event_target_value(&event))
            >
                <Options value=value options=options />
            </select>
        </div>
    }
    .into_any()
}

#[component]
fn Options(value: RwSignal<String>, options: Signal<Vec<(String, String)>>) -> impl IntoView {
    move || {
        options
            .get()
            .into_iter()
            .map(|(key, label)| {
                let this = key.clone();
                view! {
                    <option value=key prop:selected=move || value.with(|value| *value == this)>
                        {label}
                    </option>
                }
            })
            .collect_view()
    }
}

/// One of a few, each with an explanation.
#[component]
pub fn Choices(
    /// What is asked for.
    #[prop(into)]
    label: String,
    /// The chosen value.
    value: RwSignal<String>,
    /// Value, what it is called, what it means.
    options: Vec<(String, String, String)>,
) -> impl IntoView {
    let group = new_id("choice");
    let options = options
        .into_iter()
        .map(|(key, label, help)| {
            let this = key.clone();
            view! {
                <label class="choice">
                    <input
                        type="radio"
                        name=group.clone()
                        value=key.clone()
                        prop:checked=move || value.with(|value| *value == this)
                        on:change=move |_| value.set(key.clone())
                    />
                    <span class="grow">
                        <span class="strong">{label}</span>
                        {(!help.is_empty()).then(|| view! { <div class="field-help">{help}</div> })}
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <fieldset class="field">
            <legend class="field-label sr-only">{label.clone()}</legend>
            <span class="field-label" aria-hidden="true">{label}</span>
            <div class="choices">{options}</div>
        </fieldset>
    }
    .into_any()
}

/// On or off.
#[component]
pub fn Switch(
    /// What is on or off.
    #[prop(into)]
    label: String,
    /// Whether it is on.
    checked: RwSignal<bool>,
    /// Explains it.
    #[prop(optional, into)]
    help: Option<String>,
    /// Cannot be changed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
) -> impl IntoView {
    view! {
        <label class="switch">
            <input
                type="checkbox"
                role="switch"
                disabled=disabled
                prop:checked=checked
                on:change=move |event| checked.set(event_target_checked(&event))
            />
            <span class="grow">
                <span class="switch-label">{label}</span>
                {help.map(|help| view! { <div class="field-help">{help}</div> })}
            </span>
        </label>
    }
}

/// Edits labels: rows of key and value. Rows without a key are left out by [`labels_of`].
#[component]
pub fn LabelEditor(
    /// What it is called; "Labels" when left out.
    #[prop(optional, into)]
    label: Option<String>,
    /// What the button for one more row says; "Add label" when left out.
    #[prop(optional, into)]
    add: Option<String>,
    /// The rows.
    rows: RwSignal<Vec<LabelRow>>,
    /// Explains it.
    #[prop(optional, into)]
    help: Option<String>,
    /// Values may have several lines.
    #[prop(optional)]
    long: bool,
) -> impl IntoView {
    let words = &t().common;
    let value = move |row: &LabelRow| {
        let value = row.value;
        let typed = move |event: leptos::ev::Event| value.set(event_target_value(&event));
        match long {
            true => {
                let lines = value.with_untracked(|text| text.lines().count()).clamp(1, 12);
                view! {
                    <textarea
                        class="input input-code"
                        rows=lines.to_string()
                        placeholder=words.label_value
                        aria-label=words.label_value
                        spellcheck="false"
                        prop:value=value
                        on:input=typed
                    ></textarea>
                }
                .into_any()
            }
            false => view! {
                <input
                    class="input mono"
                    placeholder=words.label_value
                    aria-label=words.label_value
                    spellcheck="false"
                    prop:value=value
                    on:input=typed
                />
            }
            .into_any(),
        }
    };
    view! {
        <fieldset class="field">
            <legend class="field-label">{label.unwrap_or_else(|| words.labels.to_owned())}</legend>
            <div class="label-rows">
                <For each=move || rows.get() key=|row| row.id.clone() let:row>
                    <div class=if long { "label-row label-row-long" } else { "label-row" }>
                        <input
                            class="input mono"
                            placeholder=words.label_key
                            aria-label=words.label_key
                            spellcheck="false"
                            prop:value=row.key
                            on:input=move |event| row.key.set(event_target_value(&event))
                        />
                        {value(&row)}
                        <IconButton
                            glyph=Glyph::Close
                            label=words.remove
                            on_click=move |_| {
                                rows.update(|rows| rows.retain(|other| other.id != row.id))
                            }
                        />
                    </div>
                </For>
                <div>
                    <Button
                        label=add.unwrap_or_else(|| words.add_label.to_owned())
                        icon=Glyph::Plus
                        small=true
                        on_click=move |_| rows.update(|rows| rows.push(LabelRow::new("", "")))
                    />
                </div>
            </div>
            {help.map(|help| view! { <div class="field-help">{help}</div> })}
        </fieldset>
    }
    .into_any()
}

/// A row of a [`LabelEditor`].
#[derive(Clone, Debug, PartialEq)]
pub struct LabelRow {
    id: String,
    key: RwSignal<String>,
    value: RwSignal<String>,
}

impl LabelRow {
    /// A row with a key and a value.
    pub fn new(key: &str, value: &str) -> Self {
        Self {
            id: new_id("label"),
            key: RwSignal::new(key.to_owned()),
            value: RwSignal::new(value.to_owned()),
        }
    }
}

/// The rows for these labels.
pub fn label_rows<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> RwSignal<Vec<LabelRow>> {
    RwSignal::new(labels.into_iter().map(|(key, value)| LabelRow::new(key, value)).collect())
}

/// The labels in these rows; rows without a key are left out.
pub fn labels_of<C: FromIterator<(String, String)>>(rows: RwSignal<Vec<LabelRow>>) -> C {
    rows.with_untracked(|rows| {
        rows.iter()
            .map(|row| (row.key.get_untracked().trim().to_owned(), row.value.get_untracked()))
            .filter(|(key, _)| !key.is_empty())
            .collect()
    })
}

/// A search box: sets `value` shortly after the last key.
#[component]
pub fn SearchBox(
    /// What is searched, for screen readers.
    #[prop(into)]
    label: String,
    /// Shown while empty; the label when left out.
    #[prop(optional)]
    placeholder: Option<&'static str>,
    /// What is searched for.
    value: RwSignal<String>,
) -> impl IntoView {
    let typed = RwSignal::new(value.get_untracked());
    // Cleared from outside.
    Effect::new(move || typed.set(value.get()));
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    view! {
           <div class="input-wrap search" role="search">
               <Icon glyph=Glyph::Search />
               <input
                   class="input"
                   type="search"
                   placeholder=placeholder.map_or_else(|| label.clone(), str::to_owned)
                   aria-label=label
                   autocomplete="off"
                   spellcheck="false"
                   prop:value=typed
                   on:input=move |event| {
                       let text = event_target_value(&event);
                       typed.set(text.clone());
                       if let Some(timer) = waiting.get_value() {
                           timer.clear();
                       }
                       let timer = set_timeout_with_handle(
                           move || {
    _ = value.try_set(text); },
                           std::time::Duration::from_millis(180),
                       );
                       waiting.set_value(timer.ok());
                   }
               />
           </div>
       }
    .into_any()
}
