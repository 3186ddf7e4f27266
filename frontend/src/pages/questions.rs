//! The questions of a template: the fields of an install and of an upgrade.

use drover_api::{List, Question, QuestionType, Secret, SecretKind, StackDetail};
use indexmap::IndexMap;
use leptos::prelude::*;
use serde_json::Value;

use crate::{api, components::*, environment::Env, i18n::t, remote::Remote};

/// Values by name, each in a field: answers by variable. They outlive the fields, so that what was
/// typed survives a change of the version.
#[derive(Clone, Copy)]
pub(super) struct Answers(RwSignal<IndexMap<String, ArcRwSignal<String>>>);

impl Answers {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(RwSignal::new(IndexMap::new()))
    }

    /// What a stack was installed with; secret answers are not known here.
    pub(super) fn of_stack(stack: &StackDetail) -> Self {
        let answers = Self::new();
        for (name, value) in &stack.variables {
            answers.field(name, value.as_deref().unwrap_or_default());
        }
        answers
    }

    /// The value for a field; it begins with `first`.
    pub(super) fn field(self, name: &str, first: &str) -> RwSignal<String> {
        if let Some(value) = self.get(name) {
            return value;
        }
        let value = ArcRwSignal::new(first.to_owned());
        self.0.update(|all| _ = all.insert(name.to_owned(), value.clone()));
        value.into()
    }

    fn get(self, name: &str) -> Option<RwSignal<String>> {
        self.0.with_untracked(|all| all.get(name).cloned()).map(RwSignal::from)
    }

    /// All that is not empty.
    pub(super) fn all(self) -> IndexMap<String, String> {
        self.0.with(|all| {
            all.iter()
                .map(|(name, value)| (name.clone(), value.get()))
                .filter(|(_, value)| !value.is_empty())
                .collect()
        })
    }

    /// The answers to these questions, as the API takes them; those left empty are left out.
    pub(super) fn given(self, questions: &[Question]) -> IndexMap<String, Value> {
        self.0.with(|all| {
            questions
                .iter()
                .filter_map(|question| {
                    let value = all.get(&question.variable)?.get();
                    (!value.is_empty()).then(|| (question.variable.clone(), Value::from(value)))
                })
                .collect()
        })
    }
}

/// The fields of all questions, under the headings of their groups.
pub(super) fn question_fields(
    env: Env,
    questions: &[Question],
    answers: Answers,
    form: Form,
    kept: &[String],
) -> AnyView {
    for question in questions {
        answers.field(&question.variable, question.default.as_deref().unwrap_or_default());
    }
    let mut groups: IndexMap<&str, Vec<AnyView>> = IndexMap::new();
    let choices = choices_of(env, questions);
    for question in questions {
        let kept = kept.contains(&question.variable);
        let field = question_field(question, answers, form, choices, kept);
        groups.entry(&question.group).or_default().push(field);
    }
    groups
        .into_iter()
        .map(|(group, fields)| {
            if group.is_empty() {
                return fields.into_any();
            }
            view! { <div class="form-group"><h3>{group.to_owned()}</h3> {fields}</div> }.into_any()
        })
        .collect_view()
        .into_any()
}

/// Names of secrets and of certificates of the environment, fetched where a question asks for one.
type Choices = Signal<Vec<Secret>>;

fn choices_of(env: Env, questions: &[Question]) -> Choices {
    let asked = |q: &Question| matches!(q.type_, QuestionType::Secret | QuestionType::Certificate);
    if !questions.iter().any(asked) {
        return Signal::derive(Vec::new);
    }
    let list = Remote::new(move || {
        api::get(env.api("secrets")).query("limit", 1000).json::<List<Secret>>()
    });
    Signal::derive(move || list.get().map(|list| list.items).unwrap_or_default())
}

/// One question, shown while its conditions hold.
fn question_field(
    question: &Question,
    answers: Answers,
    form: Form,
    choices: Choices,
    kept: bool,
) -> AnyView {
    let question = question.clone();
    let value = answers.field(&question.variable, "");
    let conditions = question.show_if.clone();
    let shown = Memo::new(move |_| {
        conditions
            .iter()
            .all(|condition| holds(condition, |name| answers.get(name).map(|value| value.get())))
    });
    // A field's name lives as long as the app: forms are few and small.
    let field: &'static str = Box::leak(format!("answers.{}", question.variable).into_boxed_str());
    let help = help(&question, kept);
    let optional = !question.required && question.type_ != QuestionType::Boolean;
    (move || {
        shown.get().then(|| {
            let (label, help) = (question.label.clone(), help.clone());
            let placeholder = question.default.clone().unwrap_or_default();
            let text = |kind: &'static str, mono: bool| {
                view! {
                    <TextField label=label.clone() value=value form=form name=field kind=kind help=help.clone() optional=optional mono=mono placeholder=placeholder />
                }
                .into_any()
            };
            match question.type_ {
                QuestionType::Boolean => {
                    let checked = RwSignal::new(value.get_untracked() == "true");
                    Effect::new(move |_| value.set(checked.get().to_string()));
                    view! { <Switch label=label checked=checked help=help /> }.into_any()
                }
                QuestionType::Enum => {
                    let options: Vec<(String, String)> = question
                        .options
                        .iter()
                        .map(|option| (option.value.clone(), option.label.clone()))
                        .collect();
                    view! { <SelectField label=label value=value options=options form=form name=field help=help /> }.into_any()
                }
                QuestionType::Secret | QuestionType::Certificate => {
                    let wanted = match question.type_ {
                        QuestionType::Certificate => SecretKind::Certificate,
                        _ => SecretKind::Opaque,
                    };
                    let options = Signal::derive(move || secret_options(choices, wanted));
                    view! { <SelectField label=label value=value options=options form=form name=field help=help /> }.into_any()
                }
                QuestionType::Multiline => {
                    view! { <TextArea label=label value=value form=form name=field help=help optional=optional /> }.into_any()
                }
                QuestionType::Password => text("password", false),
                QuestionType::Int | QuestionType::Float => text("number", false),
                QuestionType::Hostname | QuestionType::StorageSize | QuestionType::Service => {
                    text("text", true)
                }
                QuestionType::String => text("text", false),
            }
        })
    })
    .into_any()
}

fn help(question: &Question, kept: bool) -> String {
    let made = match (kept, question.generated) {
        (true, _) => t().apps.answer_kept,
        (false, true) => t().engine.generated,
        (false, false) => "",
    };
    [question.description.as_str(), question.tooltip.as_str(), made]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn secret_options(choices: Choices, wanted: SecretKind) -> Vec<(String, String)> {
    let names = choices
        .get()
        .into_iter()
        .filter(|secret| secret.kind == wanted)
        .map(|secret| (secret.name.clone(), secret.name));
    std::iter::once((String::new(), t().apps.choose.to_owned())).chain(names).collect()
}

/// The server's rules of `show_if`, for showing and hiding while a person types.
fn holds(condition: &str, lookup: impl Fn(&str) -> Option<String>) -> bool {
    let falsy = |value: &str| matches!(value, "" | "false" | "0" | "no" | "null");
    let one = |one: &str| {
        let one = one.trim();
        let (name, wanted, negated) = match one.split_once("!=") {
            Some((name, value)) => (name, Some(value), true),
            None => one
                .split_once('=')
                .map_or((one, None, false), |(name, value)| (name, Some(value), false)),
        };
        let value = lookup(name.trim()).unwrap_or_default();
        let matches = match wanted.map(str::trim) {
            None => !falsy(&value),
            Some("") => falsy(&value),
            Some(wanted) => value == wanted,
        };
        matches != negated
    };
    condition.split("||").any(|all| all.split("&&").all(one))
}
