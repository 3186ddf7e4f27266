//! The catalog: apps, an app's page, its install.

use drover_api::{
    CreateStack, List, Permission, Question, QuestionType, StackOperation, StackSource,
    TemplateDetail, TemplateSummary, TemplateVersion, Topic,
};
use indexmap::IndexMap;
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::Glyph,
    remote::Remote,
};

/// The apps.
#[component]
pub fn CatalogPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let q = RwSignal::new(String::new());
    let category = RwSignal::new(String::new());
    let all = Remote::new(move || {
        api::get("templates").query("limit", 1000).json::<List<TemplateSummary>>()
    })
    .live(&[Topic::Catalog], |_| true);
    let categories = Memo::new(move |_| {
        let mut names: Vec<String> = all.with(|list| {
            list.into_iter()
                .flat_map(|list| &list.items)
                .flat_map(|app| app.categories.clone())
                .collect()
        });
        names.sort();
        names.dedup();
        std::iter::once((String::new(), words.all_categories.to_owned()))
            .chain(names.into_iter().map(|name| (name.clone(), name)))
            .collect::<Vec<_>>()
    });
    let shown = move |list: List<TemplateSummary>| {
        let (q, category) = (q.get().to_lowercase(), category.get());
        let cards: Vec<_> = list
            .items
            .into_iter()
            .filter(|app| category.is_empty() || app.categories.contains(&category))
            .filter(|app| {
                format!("{} {} {}", app.title, app.template, app.description)
                    .to_lowercase()
                    .contains(&q)
            })
            .map(|app| app_card(env, app))
            .collect();
        if cards.is_empty() {
            return view! { <Empty glyph=Glyph::Catalog title=words.no_apps text=words.no_apps_text /> }.into_any();
        }
        view! { <div class="apps">{cards}</div> }.into_any()
    };
    view! {
        <Page
            title=words.catalog
            sub=words.catalog_text
            actions=move || view! {
                <SearchBox label=t().common.search value=q />
                <Select label=words.all_categories value=category options=categories />
            }
        >
            <Loaded remote=all let:list>{move || shown(list.get())}</Loaded>
        </Page>
    }
}

fn icon(app: &TemplateSummary) -> AnyView {
    match &app.icon {
        Some(address) => view! { <img class="app-icon" src=address.clone() alt="" width="44" height="44" loading="lazy" /> }.into_any(),
        None => view! { <span class="app-icon"></span> }.into_any(),
    }
}

fn app_card(env: Env, app: TemplateSummary) -> AnyView {
    let href = env.path(&format!("catalog/{}/{}", app.catalog_id, api::encode(&app.template)));
    view! {
        <a class="app" href=href>
            {icon(&app)}
            <span class="two">
                <span class="strong truncate">{app.title.clone()}</span>
                <span class="app-text">{app.description.clone()}</span>
                <span class="faint small">{app.version.clone()}</span>
            </span>
        </a>
    }
    .into_any()
}

/// An app's page, with the form that installs it.
#[component]
pub fn TemplatePage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let params = use_params_map();
    let part = |name: &str| params.with_untracked(|params| params.get(name).unwrap_or_default());
    let path = format!("templates/{}/{}", part("catalog_id"), api::encode(&part("template")));
    let app = {
        let path = path.clone();
        Remote::new(move || api::get(path.clone()).json::<TemplateDetail>())
    };
    let crumbs = vec![(env.path("catalog"), words.catalog.to_owned())];
    view! {
        <Page
            title=Signal::derive(move || app.with(|app| app.map(|app| app.summary.title.clone()).unwrap_or_default()))
            crumbs=crumbs
            sub=Signal::derive(move || app.with(|app| app.map(|app| app.summary.description.clone())))
        >
            <Loaded remote=app let:app>
                {
                    let path = path.clone();
                    move || {
                        let app = app.get();
                        let links = [(words.home_page, app.home.clone()), (words.license, app.license.clone())]
                            .into_iter()
                            .filter_map(|(name, value)| {
                                let value = value?;
                                let shown = if value.starts_with("http") {
                                    view! { <a href=value.clone() target="_blank" rel="noopener noreferrer">{value.clone()}</a> }.into_any()
                                } else {
                                    value.into_any()
                                };
                                Some((name, shown))
                            })
                            .collect();
                        view! {
                            <div class="grid app-page">
                                <InstallForm env=env path=path.clone() app=app.clone() />
                                <div class="stack">
                                    <Card>{icon(&app.summary)} <KeyValues rows=links /></Card>
                                    <Card><ServerHtml html=app.readme_html.clone() /></Card>
                                </div>
                            </div>
                        }
                    }
                }
            </Loaded>
        </Page>
    }
}

#[component]
fn InstallForm(env: Env, path: String, app: TemplateDetail) -> impl IntoView {
    let words = &t().engine;
    let version = RwSignal::new(app.summary.version.clone());
    let options: Vec<(String, String)> =
        app.versions.iter().map(|v| (v.version.clone(), v.version.clone())).collect();
    let name = RwSignal::new(app.summary.template.clone());
    let form = Form::new();
    let detail = Remote::new(move || {
        api::get(format!("{path}/versions/{}", api::encode(&version.get())))
            .json::<TemplateVersion>()
    });
    let answers = RwSignal::new(IndexMap::<String, RwSignal<String>>::new());
    let navigate = use_navigate();
    let catalog_id = app.summary.catalog_id;
    let template = app.summary.template.clone();
    let submit = move |()| {
        let given = answers.with_untracked(|answers| {
            answers
                .iter()
                .map(|(name, value)| (name.clone(), value.get_untracked()))
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name, serde_json::Value::from(value)))
                .collect()
        });
        let input = CreateStack {
            name: name.get_untracked(),
            description: String::new(),
            source: StackSource::Template {
                catalog_id,
                template: template.clone(),
                version: version.get_untracked(),
                answers: given,
            },
        };
        let navigate = navigate.clone();
        form.submit(
            move || async move { api::post(env.api("stacks"), &input).json::<StackOperation>().await },
            move |made: StackOperation| {
                use_toasts().success(fill(t().engine.installing, &[("name", &made.stack.name)]));
                navigate(&env.path(&format!("stacks/{}", made.stack.id)), Default::default());
            },
        );
    };
    let may = move || env.may(Permission::Deploy);
    view! {
        <Card title=words.install>
            <FormView form=form on_submit=submit>
                <TextField label=words.stack_name value=name form=form name="name" />
                <SelectField label=words.version value=version options=options />
                <Loaded remote=detail let:detail>
                    {move || {
                        let detail = detail.get();
                        answers.update_untracked(|answers| {
                            for question in &detail.questions {
                                answers.entry(question.variable.clone()).or_insert_with(|| {
                                    RwSignal::new(question.default.clone().unwrap_or_default())
                                });
                            }
                        });
                        let questions = detail.questions.iter().map(|question| question_field(question, answers, form)).collect_view();
                        view! {
                            {questions}
                            <details class="more">
                                <summary>{words.show_compose}</summary>
                                <pre class="code">{detail.compose.clone()}</pre>
                            </details>
                        }
                    }}
                </Loaded>
                <FormActions form=form label=words.install disabled=Signal::derive(move || !may()) />
            </FormView>
        </Card>
    }
}

/// One question, shown while its conditions hold.
fn question_field(
    question: &Question,
    answers: RwSignal<IndexMap<String, RwSignal<String>>>,
    form: Form,
) -> AnyView {
    let question = question.clone();
    let Some(value) = answers.with_untracked(|answers| answers.get(&question.variable).copied())
    else {
        return ().into_any();
    };
    let conditions = question.show_if.clone();
    let shown = Memo::new(move |_| {
        conditions.iter().all(|condition| {
            holds(condition, |name| {
                answers
                    .with_untracked(|answers| answers.get(name).copied())
                    .map(|value| value.get())
            })
        })
    });
    // A field's name lives as long as the app: forms are few and small.
    let field: &'static str = Box::leak(format!("answers.{}", question.variable).into_boxed_str());
    let help = match (question.generated, question.description.as_str()) {
        (true, "") => t().engine.generated.to_owned(),
        (true, text) => format!("{text} {}", t().engine.generated),
        (false, text) => text.to_owned(),
    };
    (move || {
        shown.get().then(|| {
            let (label, help) = (question.label.clone(), help.clone());
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
                QuestionType::Multiline => {
                    view! { <TextArea label=label value=value form=form name=field help=help /> }.into_any()
                }
                QuestionType::Password => {
                    view! { <TextField label=label value=value form=form name=field kind="password" help=help /> }.into_any()
                }
                QuestionType::Int | QuestionType::Float => {
                    view! { <TextField label=label value=value form=form name=field kind="number" help=help /> }.into_any()
                }
                _ => view! { <TextField label=label value=value form=form name=field help=help /> }.into_any(),
            }
        })
    })
    .into_any()
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
