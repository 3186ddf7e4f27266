//! An app's page in the catalog: what it is, the form that installs it, and what that would make.

use drover_api::{
    CreateStack, Permission, PreviewTemplate, StackOperation, StackSource, TemplateDetail,
    TemplatePreview, TemplateVersion,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{
    catalog::app_icon,
    questions::{Answers, question_fields},
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, language, t},
    icons::{Glyph, Icon},
    remote::{Remote, settled},
    states::Tone,
};

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
        Remote::new(move || {
            api::get(path.clone()).query("language", language().tag()).json::<TemplateDetail>()
        })
    };
    let title = move |app: Option<&TemplateDetail>| app.map(|app| app.summary.title.clone());
    view! {
        <Page
            title=Signal::derive(move || app.with(title).unwrap_or_default())
            crumbs=vec![(env.path("catalog"), words.catalog.to_owned())]
            sub=Signal::derive(move || app.with(|app| app.map(|app| app.summary.description.clone())))
        >
            <Loaded remote=app let:app>
                {
                    let path = path.clone();
                    move || view! { <Install env=env path=path.clone() app=app.get() /> }
                }
            </Loaded>
        </Page>
    }
}

#[component]
fn Install(env: Env, path: String, app: TemplateDetail) -> impl IntoView {
    let words = &t().engine;
    let version = RwSignal::new(app.summary.version.clone());
    let answers = Answers::new();
    let detail = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/versions/{}", api::encode(&version.get())))
                .query("language", language().tag())
                .json::<TemplateVersion>()
        })
    };
    let given = Signal::derive(move || {
        detail.with(|detail| detail.map(|detail| answers.given(&detail.questions)))
    });
    let preview = preview_of(env, path, version, settled(400, given));
    let notes = {
        let versions = app.versions.clone();
        move || {
            let version = version.get();
            let notes = versions.iter().find(|one| one.version == version)?.notes_html.clone();
            (!notes.is_empty())
                .then(|| view! { <Card title=words.notes><ServerHtml html=notes /></Card> })
        }
    };
    let readme = app.readme_html.clone();
    view! {
        {app.deprecated.then(|| view! { <Notice tone=Tone::Warn>{t().apps.deprecated}</Notice> })}
        <div class="app-page">
            <div class="stack">
                <InstallForm env=env app=app.clone() version=version answers=answers detail=detail />
                {(!readme.is_empty()).then(|| view! { <Card title=t().apps.readme><ServerHtml html=readme /></Card> })}
            </div>
            <div class="aside">
                <About app=app />
                <Card title=t().apps.makes>{move || view! { <Makes preview=preview /> }}</Card>
                {notes}
            </div>
        </div>
    }
}

type Given = Option<indexmap::IndexMap<String, serde_json::Value>>;

/// What an install with the answers so far would make; asked anew as they change.
fn preview_of(
    env: Env,
    path: String,
    version: RwSignal<String>,
    given: Signal<Given>,
) -> Remote<Option<TemplatePreview>> {
    Remote::new(move || {
        let given = given.get();
        let version = version.get_untracked();
        let path = env.api(&format!("{path}/versions/{}/preview", api::encode(&version)));
        async move {
            match given {
                Some(answers) => {
                    api::post(path, &PreviewTemplate { answers }).json().await.map(Some)
                }
                None => Ok(None),
            }
        }
    })
}

/// The facts of an app beside its form.
#[component]
fn About(app: TemplateDetail) -> impl IntoView {
    let words = &t().engine;
    let link = |address: String| {
        let shown = address.trim_start_matches("https://").trim_end_matches('/').to_owned();
        view! { <a href=address target="_blank" rel="noopener noreferrer">{shown}</a> }.into_any()
    };
    let rows = [
        (words.catalog, Some(app.summary.catalog.clone().into_any())),
        (t().apps.app_version, filled(&app.summary.app_version).map(IntoAny::into_any)),
        (words.home_page, app.home.clone().map(link)),
        (t().apps.source, app.source.clone().map(link)),
        (words.license, app.license.clone().map(IntoAny::into_any)),
        (t().apps.maintainer, app.maintainer.clone().map(IntoAny::into_any)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let categories =
        app.summary.categories.iter().map(|name| (name.clone(), String::new())).collect();
    view! {
        <Card>
            <div class="app-head">
                {app_icon(&app.summary)}
                <div class="stack-s grow"><KeyValues rows=rows /> <Tags labels=categories /></div>
            </div>
        </Card>
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[component]
fn InstallForm(
    env: Env,
    app: TemplateDetail,
    version: RwSignal<String>,
    answers: Answers,
    detail: Remote<TemplateVersion>,
) -> impl IntoView {
    let words = &t().engine;
    let options: Vec<(String, String)> = app
        .versions
        .iter()
        .filter(|version| version.incompatible.is_none())
        .map(|version| (version.version.clone(), version.version.clone()))
        .collect();
    let name = RwSignal::new(app.summary.template.clone());
    let form = Form::new();
    let navigate = use_navigate();
    let (catalog_id, template) = (app.summary.catalog_id, app.summary.template.clone());
    let submit = move |()| {
        let given =
            untrack(|| detail.with(|detail| detail.map(|detail| answers.given(&detail.questions))));
        let input = CreateStack {
            name: name.get_untracked(),
            description: String::new(),
            source: StackSource::Template {
                catalog_id,
                template: template.clone(),
                version: version.get_untracked(),
                answers: given.unwrap_or_default(),
            },
        };
        install(env, form, input, navigate.clone());
    };
    let may = Signal::derive(move || env.may(Permission::Deploy));
    view! {
        <Card title=words.install>
            <FormView form=form on_submit=submit>
                <div class="form-row">
                    <TextField label=words.stack_name value=name form=form name="name" />
                    <SelectField label=words.version value=version options=options />
                </div>
                <Loaded remote=detail let:detail>
                    {move || {
                        let detail = detail.get();
                        view! {
                            {question_fields(env, &detail.questions, answers, form, &[])}
                            <details class="more">
                                <summary>{words.compose_text}</summary>
                                <pre class="code">{detail.compose.clone()}</pre>
                            </details>
                        }
                    }}
                </Loaded>
                {move || (!may.get()).then(|| view! { <Notice>{t().error.forbidden}</Notice> })}
                <FormActions form=form label=words.install disabled=Signal::derive(move || !may.get()) />
            </FormView>
        </Card>
    }
}

/// Sends an install and opens the new stack's page.
pub(super) fn install(
    env: Env,
    form: Form,
    input: CreateStack,
    navigate: impl Fn(&str, leptos_router::NavigateOptions) + 'static,
) {
    form.submit(
        move || async move { api::post(env.api("stacks"), &input).json::<StackOperation>().await },
        move |made: StackOperation| {
            use_toasts().success(fill(t().engine.installing, &[("name", &made.stack.name)]));
            navigate(&env.path(&format!("stacks/{}", made.stack.id)), Default::default());
        },
    );
}

/// What an install would make, or why it cannot be told yet.
#[component]
fn Makes(preview: Remote<Option<TemplatePreview>>) -> impl IntoView {
    let words = &t().apps;
    view! {
        <Loaded remote=preview lines=3 let:preview>
            {move || preview.get().map(|preview| {
                let missing = !preview.errors.is_empty();
                let services = preview.services.into_iter().map(|service| {
                    let facts = [
                        (t().engine.ports, service.ports.join(", ")),
                        (t().engine.volumes, service.volumes.join(", ")),
                        (words.waits_for, service.depends_on.join(", ")),
                    ];
                    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| {
                        view! { <span>{name} ": " <span class="mono">{value}</span></span> }
                    }).collect_view();
                    let times = (service.scale != 1).then(|| format!(" × {}", service.scale));
                    made(Glyph::Container, view! {
                        <span class="strong">{service.name} {times}</span> " "
                        <span class="muted mono small">{service.image}</span>
                        <div class="facts-line">{facts}</div>
                    })
                }).collect_view();
                let plain = |glyph, kind: &'static str, names: Vec<String>| {
                    names.into_iter().map(|name| made(glyph, view! { <span class="mono">{name}</span> " " <span class="faint small">{kind}</span> })).collect_view()
                };
                let takeovers = (!preview.takeovers.is_empty()).then(|| {
                    let lines = preview.takeovers.into_iter().map(|one| view! { <li><code>{one.path}</code> " " {one.message}</li> }).collect_view();
                    view! { <Notice tone=Tone::Warn><div class="strong">{words.takeover}</div><ul class="small">{lines}</ul></Notice> }
                });
                let wrong = preview.diagnostics.into_iter().map(|found| view! { <li>{found.message}</li> }).collect::<Vec<_>>();
                view! {
                    <div class="stack">
                        {takeovers}
                        {(!missing && !wrong.is_empty()).then(|| view! { <Notice tone=Tone::Warn><ul class="small">{wrong}</ul></Notice> })}
                        <ul class="makes">
                            {services}
                            {plain(Glyph::Volume, words.volume, preview.volumes)}
                            {plain(Glyph::Network, words.network, preview.networks)}
                            {plain(Glyph::Lock, words.needs_secret, preview.secrets)}
                        </ul>
                        {missing.then(|| view! { <p class="small muted">{words.answers_missing}</p> })}
                    </div>
                }
            })}
        </Loaded>
    }
}

fn made(glyph: Glyph, what: impl IntoView + 'static) -> AnyView {
    view! { <li><Icon glyph=glyph size=15 /><div class="grow break">{what}</div></li> }.into_any()
}
