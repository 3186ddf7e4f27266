//! The sources of templates: which state of them is in use, what is wrong in them, and Git
//! repositories of one's own.

use drover_api::{Catalog, CatalogKind, CreateCatalog, List, Topic, UpdateCatalog};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api,
    components::*,
    i18n::{fill, plural, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// All catalogs.
#[component]
pub fn Catalogs() -> impl IntoView {
    let words = &t().engine;
    let list = Remote::new(|| api::get("catalogs").query("limit", 1000).json::<List<Catalog>>())
        .live(&[Topic::Catalog], |_| true);
    let open = RwSignal::new(false);
    let edited = RwSignal::new(None::<Catalog>);
    let edit = move |catalog: Option<Catalog>| {
        edited.set(catalog);
        open.set(true);
    };
    let title = Signal::derive(move || match edited.get() {
        Some(catalog) => catalog.name,
        None => words.add_catalog.to_owned(),
    });
    view! {
        <Page
            title=words.catalogs
            sub=words.catalogs_text
            actions=move || view! {
                <Button look=Look::Primary icon=Glyph::Plus label=words.add_catalog on_click=move |_| edit(None) />
            }
        >
            <Loaded remote=list let:list_now>
                <div class="stack">
                    {move || list_now.get().items.into_iter().map(|catalog| catalog_card(catalog, list, edit)).collect_view()}
                </div>
            </Loaded>
            <Dialog open=open title=title>
                {move || view! { <EditCatalog catalog=edited.get() open=open list=list /> }}
            </Dialog>
        </Page>
    }
}

fn catalog_card(
    catalog: Catalog,
    list: Remote<List<Catalog>>,
    edit: impl Fn(Option<Catalog>) + Copy + Send + Sync + 'static,
) -> AnyView {
    let words = &t().engine;
    let (id, name) = (catalog.id, catalog.name.clone());
    let refresh = move |_| {
        spawn_local(async move {
            match api::post(format!("catalogs/{id}/refresh"), &()).done().await {
                Ok(()) => list.reload(),
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    let kind = match catalog.kind {
        CatalogKind::Builtin => t().apps.builtin,
        CatalogKind::Directory => t().apps.directory,
        CatalogKind::Git => t().apps.git,
    };
    let commit = catalog.commit.clone().map(|commit| {
        let short: String = commit.trim_start_matches("sha256:").chars().take(12).collect();
        view! { <code title=commit>{short}</code> }.into_any()
    });
    let rows = [
        (
            t().apps.location,
            catalog
                .location
                .clone()
                .map(|location| view! { <span class="mono break">{location}</span> }.into_any()),
        ),
        (words.branch, catalog.branch.clone().map(IntoAny::into_any)),
        (words.commit, commit),
        (words.refreshed, Some(view! { <TimeAgoOr at=catalog.refreshed_at /> }.into_any())),
        (t().apps.checked, Some(view! { <TimeAgoOr at=catalog.checked_at /> }.into_any())),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let problems = (!catalog.problems.is_empty()).then(|| {
        let count = plural(catalog.problems.len() as u64, t().apps.problems);
        let few = catalog.problems.len() < 6;
        let lines = catalog
            .problems
            .iter()
            .map(|problem| {
                let place = match problem.line {
                    0 => problem.file.clone(),
                    line => format!("{}:{line}", problem.file),
                };
                view! { <li><code class="break">{place}</code> " " {problem.message.clone()}</li> }
            })
            .collect_view();
        view! {
            <Notice tone=Tone::Warn>
                <details class="more" open=few>
                    <summary>{count}</summary>
                    <ul class="small stack-s">{lines}</ul>
                </details>
            </Notice>
        }
    });
    let error = catalog.error.clone().map(|error| {
        view! { <Notice tone=Tone::Bad><div class="strong">{t().apps.unreadable}</div>{error}</Notice> }
    });
    let menu = {
        let catalog = catalog.clone();
        move || {
            let (again, name) = (catalog.clone(), name.clone());
            let mut items = vec![MenuItem::action(Glyph::Edit, t().common.edit, move || {
                edit(Some(again.clone()))
            })];
            if catalog.kind == CatalogKind::Git {
                items.push(MenuItem::danger(Glyph::Trash, t().common.remove, move || {
                    let text = fill(t().apps.remove_catalog_text, &[("name", &name)]);
                    Confirm::new(t().apps.remove_catalog, text).names(vec![name.clone()]).ask(
                        t().common.remove,
                        move || async move {
                            api::delete(format!("catalogs/{id}")).done().await?;
                            list.reload();
                            Ok(())
                        },
                    );
                }));
            }
            items
        }
    };
    let refreshing = catalog.refreshing;
    let can_refresh = catalog.kind != CatalogKind::Builtin;
    let head = move || {
        view! {
            <div class="row">
                {can_refresh.then(|| view! { <Button small=true icon=Glyph::Refresh label=words.refresh busy=refreshing on_click=refresh /> })}
                <RowMenu items=menu.clone() />
            </div>
        }
    };
    view! {
        <Card title=catalog.name.clone() extra=head>
            <div class="stack">
                {error}
                <div class="row-wrap">
                    <Badge label=kind tone=Tone::Accent />
                    <Badge label=plural(u64::from(catalog.templates), t().apps.templates) />
                    <span class="muted">{catalog.description.clone()}</span>
                </div>
                <KeyValues rows=rows />
                {problems}
            </div>
        </Card>
    }
    .into_any()
}

/// A new Git repository, or changes of a catalog.
#[component]
fn EditCatalog(
    catalog: Option<Catalog>,
    open: RwSignal<bool>,
    list: Remote<List<Catalog>>,
) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let of = |get: fn(&Catalog) -> Option<String>| text(catalog.as_ref().and_then(get));
    let name = of(|c| Some(c.name.clone()));
    let description = of(|c| Some(c.description.clone()));
    let location = of(|c| c.location.clone());
    let branch = of(|c| c.branch.clone());
    let username = of(|c| c.username.clone());
    let secret = text(None);
    let git = catalog.as_ref().is_none_or(|catalog| catalog.kind == CatalogKind::Git);
    let stored = catalog.as_ref().is_some_and(|catalog| catalog.has_credentials);
    let known = catalog.as_ref().map(|catalog| (catalog.id, catalog.version));
    let submit = move |()| {
        let given = |value: RwSignal<String>| {
            Some(value.get_untracked()).filter(|value| !value.trim().is_empty())
        };
        let done = move |()| {
            open.set(false);
            list.reload();
        };
        match known {
            None => {
                let input = CreateCatalog {
                    name: name.get_untracked(),
                    description: description.get_untracked(),
                    location: location.get_untracked(),
                    branch: given(branch),
                    username: given(username),
                    secret: given(secret),
                };
                let send = move || async move { api::post("catalogs", &input).done().await };
                form.submit(send, done);
            }
            Some((id, version)) => {
                let input = UpdateCatalog {
                    name: Some(name.get_untracked()),
                    description: Some(description.get_untracked()),
                    location: git.then(|| location.get_untracked()),
                    branch: git.then(|| given(branch)),
                    username: git.then(|| given(username)),
                    secret: given(secret).map(Some),
                };
                let send = move || async move {
                    api::patch(format!("catalogs/{id}"), &input).if_match(version).done().await
                };
                form.submit(send, done);
            }
        }
    };
    let label = if known.is_some() { t().common.save } else { words.add_catalog };
    let secret_help = if stored { t().apps.secret_kept } else { t().apps.secret_help };
    view! {
        <FormView form=form on_submit=submit>
            <TextField form=form name="name" label=t().common.name value=name focus=true />
            {git.then(|| view! {
                <TextField form=form name="location" label=words.repository value=location mono=true placeholder="https://git.example.com/apps/catalog.git" />
                <TextField form=form name="branch" label=words.branch value=branch optional=true mono=true />
                <TextField form=form name="username" label=words.user_name value=username optional=true />
                <TextArea form=form name="secret" label=t().apps.secret value=secret optional=true code=true rows=2 help=secret_help />
            })}
            <TextArea form=form name="description" label=t().common.description value=description optional=true rows=2 />
            <FormActions form=form label=label on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
