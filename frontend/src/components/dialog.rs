use std::{cell::Cell, future::Future, pin::Pin, sync::Arc};

use leptos::prelude::*;

use super::{Button, Form, FormProblem, IconButton, Look, TextField, new_id};
use crate::{
    api::Result,
    i18n::{fill, t},
    icons::Glyph,
};

/// A modal dialog. Its children are made anew each time it opens.
///
/// `view! { <Dialog open=open title=t().admin.new_user> <FormView …/> </Dialog> }`
#[component]
pub fn Dialog(
    /// Whether it is open; closed by Esc, by its close button, or by setting this.
    open: RwSignal<bool>,
    /// Its heading.
    #[prop(into)]
    title: Signal<String>,
    /// Wider than usual.
    #[prop(optional)]
    wide: bool,
    /// Its body.
    children: ChildrenFn,
) -> impl IntoView {
    let element = NodeRef::<leptos::html::Dialog>::new();
    let heading = StoredValue::new(new_id("dialog"));
    Effect::new(move || {
        let (Some(element), is_open) = (element.get(), open.get()) else { return };
        if is_open && !element.open() {
            // Fails only when it is open already or not in the page.
            let _ = element.show_modal();
        } else if !is_open && element.open() {
            element.close();
        }
    });
    let children = StoredValue::new(children);
    view! {
        <dialog
            node_ref=element
            class=if wide { "dialog dialog-wide" } else { "dialog" }
            aria-labelledby=heading.get_value()
            on:close=move |_| open.set(false)
        >
            <Show when=move || open.get()>
                <div class="dialog-head">
                    <h2 id=heading.get_value()>{title}</h2>
                    <IconButton
                        glyph=Glyph::Close
                        label=t().common.close
                        small=true
                        on_click=move |_| open.set(false)
                    />
                </div>
                <div class="dialog-body">{children.with_value(|children| children())}</div>
            </Show>
        </dialog>
    }
    .into_any()
}

type Action = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// A question before something is destroyed: names what goes, can require typing its name, stays
/// open while it is done, and shows what went wrong.
///
/// ```ignore
/// Confirm::new(t().hosts.remove_title, t().hosts.remove_text)
///     .names(vec![host.name.clone()])
///     .type_name(&host.name)
///     .ask(t().common.remove, move || async move { api::delete(path).done().await });
/// ```
#[must_use]
pub struct Confirm {
    title: String,
    text: String,
    names: Vec<String>,
    typed: Option<String>,
    look: Look,
}

impl Confirm {
    /// A question with its explanation.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            text: text.into(),
            names: Vec::new(),
            typed: None,
            look: Look::Danger,
        }
    }

    /// Lists what goes.
    pub fn names(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    /// Has to be typed before the button works.
    pub fn type_name(mut self, name: &str) -> Self {
        self.typed = Some(name.to_owned());
        self
    }

    /// Nothing is destroyed: a plain button.
    pub fn harmless(mut self) -> Self {
        self.look = Look::Primary;
        self
    }

    /// Asks; `action` runs when the answer is yes. Close over signals and owned values.
    pub fn ask<F>(self, button: impl Into<String>, action: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let action: Action = Arc::new(move || Box::pin(action()));
        let Some(asking) = ASKING.get() else { return };
        asking.question.set(Some(Question {
            confirm: Arc::new(self),
            button: button.into(),
            action,
        }));
        asking.open.set(true);
    }
}

#[derive(Clone)]
struct Question {
    confirm: Arc<Confirm>,
    button: String,
    action: Action,
}

/// Where [`Confirm::ask`] puts its question.
#[derive(Clone, Copy)]
struct Asking {
    question: RwSignal<Option<Question>>,
    open: RwSignal<bool>,
}

thread_local! {
    // Not a context: event handlers, which ask, run outside of the tree of contexts.
    static ASKING: Cell<Option<Asking>> = const { Cell::new(None) };
}

/// Draws the question of [`Confirm`]; once, in the app.
#[component]
pub fn ConfirmDialog() -> impl IntoView {
    let asking = Asking { question: RwSignal::new(None), open: RwSignal::new(false) };
    ASKING.set(Some(asking));
    let title = Signal::derive(move || {
        asking.question.with(|q| q.as_ref().map(|q| q.confirm.title.clone()).unwrap_or_default())
    });
    view! {
        <Dialog open=asking.open title=title>
            {move || {
                asking.question.get().map(|question| view! { <ConfirmBody question=question open=asking.open /> })
            }}
        </Dialog>
    }
}

#[component]
fn ConfirmBody(question: Question, open: RwSignal<bool>) -> impl IntoView {
    let Question { confirm, button, action } = question;
    let form = Form::new();
    let typed = RwSignal::new(String::new());
    let wanted = confirm.typed.clone();
    let blocked = {
        let wanted = wanted.clone();
        Signal::derive(move || {
            wanted.as_ref().is_some_and(|name| typed.with(|typed| typed != name))
        })
    };
    let run = move || {
        if !blocked.get_untracked() {
            form.submit(|| action(), move |()| open.set(false));
        }
    };
    view! {
        <form
            class="form"
            on:submit=move |event| {
                event.prevent_default();
                run();
            }
        >
            <p class="muted">{confirm.text.clone()}</p>
            {(!confirm.names.is_empty())
                .then(|| {
                    let names = confirm.names.iter().map(|name| view! { <li>{name.clone()}</li> }).collect_view();
                    view! { <ul class="going">{names}</ul> }
                })}
            {wanted
                .map(|name| {
                    let label = fill(t().common.type_to_confirm, &[("name", &name)]);
                    view! { <TextField label=label value=typed focus=true mono=true /> }
                })}
            <FormProblem form=form />
            <div class="form-actions">
                <Button label=t().common.cancel on_click=move |_| open.set(false) />
                <Button label=button look=confirm.look submit=true busy=form.busy() disabled=blocked />
            </div>
        </form>
    }
}
