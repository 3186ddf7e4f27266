//! To another version of a stack's template: the version, the answers, what would change, and whose
//! side to take where both have changed something.

use drover_api::{
    MergeConflict, MergeSide, Permission, StackDetail, StackOperation, StackTemplate,
    TemplateDetail, TemplateVersion, UpgradePreview, UpgradeStack,
};
use indexmap::IndexMap;
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map, use_query_map};

use super::questions::{Answers, question_fields};
use crate::{
    api::{self, ApiError},
    components::*,
    environment::{Env, use_env},
    i18n::{fill, language, t},
    icons::{Glyph, Icon},
    remote::{Remote, settled},
    states::Tone,
};

/// The page of an upgrade.
#[component]
pub fn UpgradePage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let id = use_params_map().with_untracked(|params| params.get("stack_id").unwrap_or_default());
    let stack = {
        let path = env.api(&format!("stacks/{id}"));
        Remote::new(move || api::get(path.clone()).json::<StackDetail>())
    };
    // What is typed must not be lost when the stack's state changes: the form is made once.
    let first = Memo::new(move |before: Option<&Option<StackDetail>>| {
        before.cloned().flatten().or_else(|| stack.get())
    });
    let name = Signal::derive(move || {
        first.with(|stack| stack.as_ref().map(|s| s.stack.name.clone()).unwrap_or_default())
    });
    let crumbs = Signal::derive(move || {
        vec![
            (env.path("stacks"), words.stacks.to_owned()),
            (env.path(&format!("stacks/{id}")), name.get()),
        ]
    });
    let title = Signal::derive(move || fill(t().apps.upgrade_title, &[("name", &name.get())]));
    view! {
        <Page title=title crumbs=crumbs sub=words.upgrade_text>
            {move || match first.get() {
                Some(stack) => match stack.stack.template.clone() {
                    Some(template) => view! { <Versions env=env stack=stack template=template /> }.into_any(),
                    None => view! { <Notice>{t().apps.no_template}</Notice> }.into_any(),
                },
                None => match stack.error() {
                    Some(error) => view! { <ProblemCard error=error on_retry=move |()| stack.reload() /> }.into_any(),
                    None => view! { <Skeleton lines=8 /> }.into_any(),
                },
            }}
        </Page>
    }
}

#[component]
fn Versions(env: Env, stack: StackDetail, template: StackTemplate) -> impl IntoView {
    let path = format!("templates/{}/{}", template.catalog_id, api::encode(&template.template));
    let app = {
        let path = path.clone();
        Remote::new(move || {
            api::get(path.clone()).query("language", language().tag()).json::<TemplateDetail>()
        })
    };
    let known = StoredValue::new((path, stack, template));
    view! {
        <Loaded remote=app let:app>
            {move || {
                let (path, stack, template) = known.get_value();
                // The newest first: what stands before the installed one is newer.
                let newer: Vec<_> = app.get().versions.into_iter()
                    .take_while(|version| version.version != template.version)
                    .filter(|version| version.incompatible.is_none())
                    .collect();
                if newer.is_empty() {
                    let text = fill(t().apps.newest, &[("version", &template.version)]);
                    return view! { <Notice tone=Tone::Ok>{text}</Notice> }.into_any();
                }
                let first = template.upgrade_available.clone().unwrap_or_else(|| newer[0].version.clone());
                let options = newer.iter().map(|one| (one.version.clone(), one.version.clone())).collect::<Vec<_>>();
                view! { <Upgrade env=env path=path stack=stack installed=template.version first=first options=options /> }.into_any()
            }}
        </Loaded>
    }
}

/// The conflicts met so far, each with the side that is chosen. Settled ones stay on show.
type Conflicts = RwSignal<IndexMap<String, (MergeConflict, ArcRwSignal<String>)>>;

fn resolutions(conflicts: Conflicts) -> IndexMap<String, MergeSide> {
    conflicts.with(|all| {
        all.iter()
            .filter_map(|(path, (_, side))| {
                let side = match side.get().as_str() {
                    "ours" => MergeSide::Ours,
                    "theirs" => MergeSide::Theirs,
                    _ => return None,
                };
                Some((path.clone(), side))
            })
            .collect()
    })
}

#[component]
fn Upgrade(
    env: Env,
    path: String,
    stack: StackDetail,
    installed: String,
    first: String,
    options: Vec<(String, String)>,
) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let asked = use_query_map().with_untracked(|query| query.get("to"));
    let asked = asked.filter(|to| options.iter().any(|(version, _)| version == to));
    let version = RwSignal::new(asked.unwrap_or(first));
    let answers = Answers::of_stack(&stack);
    let kept: Vec<String> = stack
        .variables
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    let detail = Remote::new(move || {
        api::get(format!("{path}/versions/{}", api::encode(&version.get())))
            .query("language", language().tag())
            .json::<TemplateVersion>()
    });
    let conflicts = Conflicts::new(IndexMap::new());
    Effect::new(move || {
        // Another version has other conflicts.
        version.track();
        conflicts.set(IndexMap::new());
    });
    let before = stack.variables.clone();
    let input = Signal::derive(move || {
        let (version_of, given) = detail.with(|detail| {
            detail.map(|detail| (detail.summary.version.clone(), answers.given(&detail.questions)))
        })?;
        // Only what was changed or is new: the others are kept.
        let answers = given
            .into_iter()
            .filter(|(name, value)| {
                before.get(name).and_then(|old| old.as_deref()) != value.as_str()
            })
            .collect();
        Some(Wanted { version: version_of, answers, resolutions: resolutions(conflicts) })
    });
    let stack_path = env.api(&format!("stacks/{}", stack.stack.id));
    let preview = preview_of(format!("{stack_path}/upgrade/preview"), settled(400, input));
    Effect::new(move || {
        let found = preview.get().flatten().map(|preview| preview.conflicts).unwrap_or_default();
        for conflict in found {
            if conflicts.with_untracked(|all| !all.contains_key(&conflict.path)) {
                let side = ArcRwSignal::new(String::new());
                conflicts.update(|all| _ = all.insert(conflict.path.clone(), (conflict, side)));
            }
        }
    });
    let navigate = use_navigate();
    let page = env.path(&format!("stacks/{}", stack.stack.id));
    let known_version = stack.stack.version;
    let submit = move |()| {
        let Some(wanted) = input.get_untracked() else { return };
        let path = format!("{stack_path}/upgrade");
        let (navigate, page) = (navigate.clone(), page.clone());
        form.submit(
            move || async move {
                api::post(path, &wanted.input())
                    .if_match(known_version)
                    .json::<StackOperation>()
                    .await
            },
            move |_: StackOperation| {
                use_toasts().success(t().engine.rolled_out);
                navigate(&page, Default::default());
            },
        );
    };
    let notes = move || {
        let notes = detail.with(|detail| detail.map(|detail| detail.summary.notes_html.clone()))?;
        (!notes.is_empty())
            .then(|| view! { <Card title=words.notes><ServerHtml html=notes /></Card> })
    };
    let ready = Signal::derive(move || {
        env.may(Permission::Deploy)
            && preview.with(|preview| {
                preview
                    .and_then(Option::as_ref)
                    .is_some_and(|preview| preview.compose.is_some() && preview.errors.is_empty())
            })
    });
    view! {
        <FormView form=form on_submit=submit>
            <div class="app-page">
                <Card title=t().apps.version_and_answers>
                    <div class="form">
                        <p class="row">
                            <code>{installed}</code> <Icon glyph=Glyph::ArrowRight size=14 />
                            <code>{move || version.get()}</code>
                        </p>
                        <SelectField label=words.version value=version options=options />
                        <Loaded remote=detail let:detail>
                            {
                                let kept = kept.clone();
                                move || question_fields(env, &detail.get().questions, answers, form, &kept)
                            }
                        </Loaded>
                        <FormActions form=form label=words.upgrade disabled=Signal::derive(move || !ready.get()) />
                    </div>
                </Card>
                <div class="aside">
                    {move || view! { <ConflictList conflicts=conflicts /> }}
                    <Loaded remote=preview let:preview>
                        {move || preview.get().map(|preview| view! { <Changes preview=preview /> })}
                    </Loaded>
                    {notes}
                </div>
            </div>
        </FormView>
    }
}

/// An [`UpgradeStack`] that can be compared.
#[derive(Clone, PartialEq)]
struct Wanted {
    version: String,
    answers: IndexMap<String, serde_json::Value>,
    resolutions: IndexMap<String, MergeSide>,
}

impl Wanted {
    fn input(self) -> UpgradeStack {
        let Self { version, answers, resolutions } = self;
        UpgradeStack { version, answers, resolutions }
    }
}

fn preview_of(path: String, wanted: Signal<Option<Wanted>>) -> Remote<Option<UpgradePreview>> {
    Remote::new(move || {
        let (path, wanted) = (path.clone(), wanted.get());
        async move {
            match wanted {
                Some(wanted) => api::post(path, &wanted.input()).json().await.map(Some),
                None => Ok::<_, ApiError>(None),
            }
        }
    })
}

#[component]
fn ConflictList(conflicts: Conflicts) -> impl IntoView {
    let words = &t().engine;
    let list = move || {
        conflicts.with(|all| {
            all.values()
                .map(|(conflict, side)| {
                    let ours = conflict.ours.clone().unwrap_or_else(|| t().apps.removed.to_owned());
                    let theirs =
                        conflict.theirs.clone().unwrap_or_else(|| t().apps.removed.to_owned());
                    let options = vec![
                        ("ours".to_owned(), words.keep_mine.to_owned(), ours),
                        ("theirs".to_owned(), words.take_theirs.to_owned(), theirs),
                    ];
                    view! { <Choices label=conflict.path.clone() value=RwSignal::from(side.clone()) options=options /> }
                })
                .collect_view()
        })
    };
    move || {
        conflicts.with(|all| !all.is_empty()).then(|| {
            view! {
                <Card title=t().apps.conflicts>
                    <div class="stack">
                        <Notice tone=Tone::Warn>{words.conflicts}</Notice>
                        {list}
                    </div>
                </Card>
            }
        })
    }
}

#[component]
fn Changes(preview: UpgradePreview) -> impl IntoView {
    let words = &t().engine;
    let missing = (!preview.errors.is_empty()).then(|| {
        let lines = preview
            .errors
            .into_iter()
            .map(|error| {
                let name = error.field.trim_start_matches("answers.").to_owned();
                view! { <li><code>{name}</code> " " {error.message}</li> }
            })
            .collect_view();
        view! { <Notice tone=Tone::Warn><ul>{lines}</ul></Notice> }
    });
    let diff = preview.diff.map(|diff| {
        view! { <Card title=words.changes><Diff text=diff /></Card> }
    });
    view! { {missing} {diff} }
}
