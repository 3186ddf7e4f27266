//! An environment's stacks, and a new one from a Compose text.

use drover_api::{
    CheckCompose, ComposeCheck, CreateStack, Permission, Severity, Stack, StackSource, Topic,
};
use indexmap::IndexMap;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::use_navigate;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use super::{install::install, questions::Answers};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// An environment's stacks.
#[component]
pub fn Stacks() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let actions = move || {
        env.may(Permission::Deploy).then(|| {
            view! {
                <ButtonLink href=env.path("catalog") icon=Glyph::Catalog label=words.from_catalog />
                <ButtonLink href=env.path("stacks/new") look=Look::Primary icon=Glyph::Plus label=words.new_stack />
            }
        })
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api("stacks")),
        |stack: &Stack| stack.id.to_string(),
    )
    .column(
        Column::new("name", t().common.name, |stack: &Stack| {
            let from = stack
                .template
                .as_ref()
                .map(|template| format!("{} {}", template.template, template.version))
                .unwrap_or_else(|| stack.description.clone());
            view! {
                <span class="two">
                    <span class="strong truncate" title=stack.name.clone()>{stack.name.clone()}</span>
                    <span class="truncate">{from}</span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |stack: &Stack| {
            let reason = stack.reason.clone();
            view! {
                <span class="two">
                    <span><StatePill state=stack.state title=reason.clone().unwrap_or_default() /></span>
                    {reason.map(|reason| view! { <span class="truncate" title=reason.clone()>{reason.clone()}</span> })}
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("running", words.containers, move |stack: &Stack| {
            fill(
                words.running_of,
                &[("running", &stack.running.to_string()), ("desired", &stack.desired.to_string())],
            )
        })
        .width(7.0),
    )
    .column(
        Column::new("upgrade", words.upgrade, move |stack: &Stack| {
            let newer = stack.template.as_ref().and_then(|t| t.upgrade_available.clone());
            newer.map(|version| {
                let label = fill(words.upgrade_available, &[("version", &version)]);
                view! { <Badge label=label tone=Tone::Accent /> }
            })
        })
        .width(11.0),
    )
    .column(
        Column::new("updated_at", t().common.updated, |stack: &Stack| {
            view! { <TimeAgo at=stack.updated_at /> }
        })
        .sort()
        .width(8.0),
    )
    .name(|stack| stack.name.clone())
    .link(move |stack| env.path(&format!("stacks/{}", stack.id)))
    .sorted("name")
    .live(&[Topic::Stack, Topic::Container])
    .empty(move || {
        view! {
            <Empty glyph=Glyph::Stack title=words.no_stacks text=words.no_stacks_text>
                {actions}
            </Empty>
        }
    });
    view! {
        <Page title=words.stacks sub=words.stacks_text actions=actions>
            <Table spec=table label=words.stacks />
        </Page>
    }
}

/// Checks a text as it is typed.
pub(super) fn checked(
    env: Env,
    text: RwSignal<String>,
    values: Signal<IndexMap<String, String>>,
) -> Remote<ComposeCheck> {
    let settled = RwSignal::new(String::new());
    let settle = crate::live::throttled(400, move || {
        settled.try_set(text.get_untracked());
    });
    Effect::new(move || {
        text.track();
        settle();
    });
    Remote::new(move || {
        let input = CheckCompose { compose: settled.get(), variables: values.get() };
        api::post(env.api("compose/check"), &input).json::<ComposeCheck>()
    })
}

/// The marks of a check, for the editor.
pub(super) fn marks(check: Remote<ComposeCheck>) -> Signal<Vec<Mark>> {
    Signal::derive(move || {
        check.with(|check| {
            check
                .into_iter()
                .flat_map(|check| &check.diagnostics)
                .map(|found| Mark {
                    line: found.line,
                    column: found.column,
                    severity: if found.severity == Severity::Warning { "warning" } else { "error" },
                    message: found.message.clone(),
                })
                .collect()
        })
    })
}

/// What a check has found, line by line, for those who do not see the editor's marks.
#[component]
pub(super) fn Problems(check: Remote<ComposeCheck>) -> impl IntoView {
    let found =
        Memo::new(move |_| check.with(|check| check.map(|check| check.diagnostics.clone())));
    let list = move || {
        let found = found.get().filter(|found| !found.is_empty())?;
        let wrong = found.iter().any(|one| one.severity != Severity::Warning);
        let lines = found
            .into_iter()
            .map(|one| {
                let place = format!("{}:{}", one.line, one.column);
                view! { <li><code>{place}</code> " " {one.message}</li> }
            })
            .collect_view();
        let tone = if wrong { Tone::Bad } else { Tone::Warn };
        Some(view! { <Notice tone=tone><ul class="stack-s small">{lines}</ul></Notice> })
    };
    view! { <div aria-live="polite">{list}</div> }
}

/// A field for each variable of a text; `values` gets what is typed.
pub(super) fn variable_fields(
    check: Remote<ComposeCheck>,
    values: Answers,
    hidden: Signal<Vec<String>>,
) -> AnyView {
    let names = Memo::new(move |_| {
        check.with(|check| {
            check
                .into_iter()
                .flat_map(|check| &check.variables)
                .map(|used| (used.name.clone(), used.default.clone()))
                .collect::<Vec<_>>()
        })
    });
    (move || {
        let names = names.get();
        (!names.is_empty()).then(|| {
            let fields = names
                .into_iter()
                .map(|(name, default)| {
                    let value = values.field(&name, "");
                    let secret = hidden.get().contains(&name);
                    let help = default
                        .filter(|default| !default.is_empty())
                        .map(|default| fill(t().apps.default_value, &[("value", &default)]));
                    let help = if secret { Some(t().engine.secret_value.to_owned()) } else { help };
                    view! { <TextField label=name value=value help=help.unwrap_or_default() mono=true /> }
                })
                .collect_view();
            view! { <Card title=t().engine.values><div class="form-row">{fields}</div></Card> }
        })
    })
    .into_any()
}

const EXAMPLE: &str = "services:\n  web:\n    image: nginx:1.27\n    ports:\n      - \"8081:80\"\n";

/// A new stack from a Compose text of one's own.
#[component]
pub fn NewStack() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let text = RwSignal::new(EXAMPLE.to_owned());
    let values = Answers::new();
    let check = checked(env, text, Signal::derive(move || values.all()));
    let navigate = use_navigate();
    let submit = move |()| {
        let input = CreateStack {
            name: name.get_untracked(),
            description: String::new(),
            source: StackSource::Compose {
                compose: text.get_untracked(),
                variables: untrack(|| values.all()),
                secret_variables: Vec::new(),
            },
        };
        install(env, form, input, navigate.clone());
    };
    let upload = move |event: leptos::ev::Event| {
        let input: Option<web_sys::HtmlInputElement> =
            event.target().and_then(|t| t.dyn_into().ok());
        let Some(file) = input.and_then(|input| input.files()).and_then(|files| files.get(0))
        else {
            return;
        };
        spawn_local(async move {
            if let Ok(content) = JsFuture::from(file.text()).await {
                text.set(content.as_string().unwrap_or_default());
            }
        });
    };
    view! {
        <Page title=words.new_stack crumbs=vec![(env.path("stacks"), words.stacks.to_owned())] sub=words.compose_help>
            <FormView form=form on_submit=submit>
                <TextField label=words.stack_name value=name form=form name="name" />
                <div class="field">
                    <div class="row between">
                        <span class="field-label">{words.compose_text}</span>
                        <label class="btn btn-secondary btn-small">
                            {words.upload}
                            <input type="file" accept=".yml,.yaml,text/yaml" class="sr-only" on:change=upload />
                        </label>
                    </div>
                    <Editor label=words.compose_text value=text marks=marks(check) />
                </div>
                <Problems check=check />
                {variable_fields(check, values, Signal::derive(Vec::new))}
                <FormActions form=form label=words.install disabled=Signal::derive(move || !env.may(Permission::Deploy) || check.with(|check| check.is_none_or(|check| !check.ok))) />
            </FormView>
        </Page>
    }
}
