//! Applying YAML: what would change, what has, what was refused and why, who owns which field.

use drover_api::{Applied, AppliedObject, Apply, ApplyOutcome, ObjectDetail};
use leptos::{prelude::*, task::spawn_local};

use super::Kube;
use crate::{
    api::{self, ApiError},
    components::*,
    i18n::{fill, kubernetes},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// Whether the caller may change an object.
pub(super) fn may_write(detail: Remote<ObjectDetail>) -> Signal<bool> {
    Signal::derive(move || {
        detail.with(|one| {
            one.is_some_and(|one| one.verbs.iter().any(|verb| verb == "patch" || verb == "update"))
        })
    })
}

/// Says that an object that is being edited has changed in the cluster; `take` begins anew with it.
pub(super) fn changed_there(take: impl Fn() + Copy + Send + Sync + 'static) -> AnyView {
    let words = kubernetes();
    view! {
        <Notice tone=Tone::Warn>
            <div class="row-wrap between">
                <span>{words.changed_there}</span>
                <Button small=true label=words.take_theirs on_click=move |_| take() />
            </div>
        </Notice>
    }
    .into_any()
}

impl Stated for ApplyOutcome {
    fn tone(self) -> Tone {
        match self {
            Self::Created => Tone::Ok,
            Self::Changed => Tone::Info,
            Self::Unchanged => Tone::Idle,
            Self::Conflict => Tone::Warn,
            Self::Refused => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = kubernetes();
        match self {
            Self::Created => words.outcome_created,
            Self::Changed => words.outcome_changed,
            Self::Unchanged => words.outcome_unchanged,
            Self::Conflict => words.outcome_conflict,
            Self::Refused => words.outcome_refused,
        }
    }
}

/// The state of applying a text.
#[derive(Clone, Copy)]
pub(super) struct Writing {
    kube: Kube,
    text: RwSignal<String>,
    namespace: RwSignal<String>,
    busy: RwSignal<bool>,
    /// The newest answer, and whether it is only what would be.
    pub answer: RwSignal<Option<(Applied, bool)>>,
    problem: RwSignal<Option<ApiError>>,
    done: Callback<Applied>,
}

impl Writing {
    /// Nothing applied yet; `done` is called after something was, and nothing was refused.
    pub(super) fn new(
        kube: Kube,
        text: RwSignal<String>,
        namespace: RwSignal<String>,
        done: Callback<Applied>,
    ) -> Self {
        Self {
            kube,
            text,
            namespace,
            busy: RwSignal::new(false),
            answer: RwSignal::new(None),
            problem: RwSignal::new(None),
            done,
        }
    }

    /// Applies the text, or shows what that would change.
    pub(super) fn send(self, dry_run: bool, force: bool) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.problem.set(None);
        let apply = Apply {
            yaml: self.text.get_untracked(),
            namespace: Some(self.namespace.get_untracked()).filter(|name| !name.is_empty()),
            dry_run,
            force,
        };
        let request = api::post(self.kube.env.api("kubernetes/apply"), &apply);
        spawn_local(async move {
            let answer = request.json::<Applied>().await;
            self.busy.try_set(false);
            match answer {
                Ok(applied) => {
                    let well = applied.items.iter().all(|one| {
                        !matches!(one.outcome, ApplyOutcome::Conflict | ApplyOutcome::Refused)
                    });
                    self.answer.try_set(Some((applied.clone(), dry_run)));
                    if well && !dry_run {
                        self.done.try_run(applied);
                    }
                }
                Err(error) => {
                    self.answer.try_set(None);
                    self.problem.try_set(Some(error));
                }
            }
        });
    }

    /// True while it is being sent.
    pub(super) fn is_busy(self) -> Signal<bool> {
        self.busy.into()
    }

    /// What is wrong with which line, for the editor.
    pub(super) fn marks(self) -> Signal<Vec<Mark>> {
        Signal::derive(move || {
            let mark = |line, message: &str| Mark {
                line,
                column: 1,
                severity: "error",
                message: message.to_owned(),
            };
            let mut marks: Vec<_> = self.answer.with(|answer| {
                let items = answer.iter().flat_map(|(applied, _)| &applied.items);
                items.filter_map(|one| Some(mark(one.line, one.error.as_ref()?))).collect()
            });
            self.problem.with(|problem| {
                if let Some(problem) = problem
                    && let Some(line) = line_in(&problem.message)
                {
                    marks.push(mark(line, &problem.message));
                }
            });
            marks
        })
    }

    /// The buttons: what would change, and apply.
    pub(super) fn buttons(self, label: &'static str, may: Signal<bool>) -> AnyView {
        let words = kubernetes();
        let forbidden = Signal::derive(move || !may.get());
        view! {
            <Button label=words.show_changes icon=Glyph::Eye busy=self.busy disabled=forbidden on_click=move |_| self.send(true, false) />
            <Button label=label look=Look::Primary busy=self.busy disabled=forbidden on_click=move |_| self.send(false, false) />
        }
        .into_any()
    }
}

/// The first `line N` in a message.
fn line_in(message: &str) -> Option<u32> {
    let (_, rest) = message.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What came of it, document by document.
#[component]
pub(super) fn Outcome(writing: Writing) -> impl IntoView {
    let words = kubernetes();
    let shown = move || {
        let (applied, dry_run) = writing.answer.get()?;
        let conflicts = applied.items.iter().any(|one| one.outcome == ApplyOutcome::Conflict);
        let several = applied.items.len() > 1;
        let items = applied
            .items
            .into_iter()
            .map(|one| outcome(writing.kube, one, dry_run, several))
            .collect_view();
        let take_over = move |_| {
            Confirm::new(words.take_over, words.take_over_text).ask(words.take_over, move || {
                writing.send(dry_run, true);
                async { Ok(()) }
            });
        };
        Some(view! {
            <Card title=if dry_run { words.would_change } else { words.applied } extra=move || {
                conflicts.then(|| view! { <Button small=true look=Look::Danger label=words.take_over on_click=take_over /> })
            }>
                <ul class="k8s-outcomes">{items}</ul>
            </Card>
        })
    };
    view! {
        <div class="stack" aria-live="polite">
            {move || writing.problem.get().map(|error| {
                let details = error.errors.iter().map(|one| view! { <li>{one.message.clone()}</li> }).collect_view();
                view! { <Notice tone=Tone::Bad><div>{error.message.clone()}</div><ul>{details}</ul></Notice> }
            })}
            {shown}
        </div>
    }
    .into_any()
}

fn outcome(kube: Kube, one: AppliedObject, dry_run: bool, several: bool) -> AnyView {
    let words = kubernetes();
    let called = match &one.namespace {
        Some(namespace) => format!("{namespace}/{}", one.name),
        None => one.name.clone(),
    };
    let kind = one.type_id.clone().unwrap_or_default();
    let made = !matches!(one.outcome, ApplyOutcome::Refused | ApplyOutcome::Conflict);
    let exists = made && (!dry_run || one.outcome != ApplyOutcome::Created);
    let name = match (&one.type_id, exists) {
        (Some(id), true) => {
            let href = kube.object_page(id, one.namespace.as_deref(), &one.name);
            view! { <a class="strong break" href=href>{called}</a> }.into_any()
        }
        _ => view! { <span class="strong break">{called}</span> }.into_any(),
    };
    let place = several.then(|| fill(words.at_line, &[("line", &one.line.to_string())]));
    let conflicts = one
        .conflicts
        .iter()
        .map(|conflict| {
            view! { <li><code>{conflict.field.clone()}</code> " " {fill(words.owned_by, &[("manager", &conflict.manager)])}</li> }
        })
        .collect_view();
    let warnings = one.warnings.iter().map(|text| {
        view! { <div class="row small"><Icon glyph=Glyph::Warning class="tone-warn" /> <span class="break">{text.clone()}</span></div> }
    }).collect_view();
    let diff = one.diff.filter(|diff| !diff.is_empty());
    let unchanged = (one.outcome == ApplyOutcome::Unchanged)
        .then(|| view! { <div class="small muted">{words.unchanged_text}</div> });
    view! {
        <li class="stack-s">
            <div class="row-wrap">
                <StatePill state=one.outcome />
                <span class="muted small">{kind}</span>
                {name}
                <span class="faint small">{place}</span>
            </div>
            {one.error.map(|error| view! { <div class="tone-bad break">{error}</div> })}
            {(!one.conflicts.is_empty()).then(|| view! { <ul class="stack-s small">{conflicts}</ul> })}
            {unchanged}
            {warnings}
            {diff.map(|diff| view! { <Diff text=diff /> })}
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::line_in;

    #[test]
    fn lines_are_read_off_messages() {
        assert_eq!(line_in("mapping values are not allowed at line 12 column 3"), Some(12));
        assert_eq!(line_in("no line here"), None);
        assert_eq!(line_in("all is well"), None);
    }
}
