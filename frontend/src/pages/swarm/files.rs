//! The secrets and configs of a swarm.

use drover_api::{CreateSwarmFile, Permission, RotateSwarmFile, SwarmConfig, SwarmFile, Topic};
use leptos::prelude::*;

use super::names;
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, swarm, t},
    icons::Glyph,
    remote::Remote,
};

/// Which of the two.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Secret,
    Config,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Secret => "swarm/secrets",
            Self::Config => "swarm/configs",
        }
    }
}

/// What the dialog is about.
#[derive(Clone, PartialEq)]
enum About {
    New,
    Rotate(SwarmFile),
    Show(SwarmFile),
}

/// The list.
#[component]
pub(super) fn Files(env: Env, kind: Kind) -> impl IntoView {
    let words = swarm();
    let reload = Trigger::new();
    let (open, about) = (RwSignal::new(false), RwSignal::new(About::New));
    let ask = move |what: About| {
        about.set(what);
        open.set(true);
    };
    let (label, add, glyph, none, none_text) = match kind {
        Kind::Secret => {
            (words.secrets, words.add_secret, Glyph::Lock, words.no_secrets, words.no_secrets_text)
        }
        Kind::Config => (
            words.configs,
            words.add_config,
            Glyph::Settings,
            words.no_configs,
            words.no_configs_text,
        ),
    };
    let may = env.may(Permission::Deploy);
    let actions = move |file: &SwarmFile| {
        let (rotated, shown) = (file.clone(), file.clone());
        let managed = file.stack_id.is_some();
        let mut items = Vec::new();
        if kind == Kind::Config {
            items.push(MenuItem::action(Glyph::Eye, words.show, move || {
                ask(About::Show(shown.clone()))
            }));
        }
        if !may {
            return items;
        }
        items.push(
            MenuItem::action(Glyph::Refresh, words.rotate, move || {
                ask(About::Rotate(rotated.clone()))
            })
            .disabled_if(managed),
        );
        let path = env.api(&format!("{}/{}", kind.path(), file.id));
        let title = fill(words.remove_file, &[("name", &file.name)]);
        items.push(
            MenuItem::danger(Glyph::Trash, t().common.remove, move || {
                let path = path.clone();
                Confirm::new(title.clone(), words.remove_text).ask(t().common.remove, move || {
                    let request = api::delete(path.clone());
                    async move {
                        request.done().await?;
                        reload.notify();
                        Ok(())
                    }
                });
            })
            .disabled_if(managed || !file.services.is_empty()),
        );
        items
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api(kind.path())),
        |file: &SwarmFile| file.id.clone(),
    )
    .column(
        Column::new("name", t().common.name, |file: &SwarmFile| {
            view! { <span class="strong truncate" title=file.name.clone()>{file.name.clone()}</span> }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("services", words.used_by, |file: &SwarmFile| {
            names(&file.services, swarm().nobody)
        })
        .grow(2),
    )
    .column(
        Column::new("stack", words.stack, |file: &SwarmFile| {
            view! { <span class="truncate">{file.stack.clone()}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("created_at", t().common.created, |file: &SwarmFile| {
            view! { <TimeAgoOr at=file.created_at otherwise="" /> }
        })
        .sort()
        .width(8.0),
    )
    .name(|file| file.name.clone())
    .actions(actions)
    .sorted("name")
    .live(&[Topic::SwarmResources])
    .empty(move || view! { <Empty glyph=glyph title=none text=none_text /> })
    .reload_on(reload);
    let title = Signal::derive(move || match about.get() {
        About::New => add.to_owned(),
        About::Rotate(file) => fill(words.rotate_title, &[("name", &file.name)]),
        About::Show(file) => file.name,
    });
    let done = Callback::new(move |()| {
        open.set(false);
        reload.notify();
    });
    view! {
        <Table
            spec=table.inner()
            label=label
            filters=move || may.then(|| view! {
                <Button icon=Glyph::Plus label=add on_click=move |_| ask(About::New) />
            })
        />
        <Dialog open=open title=title wide=true>
            {move || match about.get() {
                About::New => view! { <Write env=env kind=kind file=None done=done /> }.into_any(),
                About::Rotate(file) => view! { <Write env=env kind=kind file=Some(file) done=done /> }.into_any(),
                About::Show(file) => view! { <Shown env=env file=file /> }.into_any(),
            }}
        </Dialog>
    }
}

/// A new one, or new content for one that is there.
#[component]
fn Write(env: Env, kind: Kind, file: Option<SwarmFile>, done: Callback<()>) -> impl IntoView {
    let words = swarm();
    let form = Form::new();
    let (name, content) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let new = file.is_none();
    let submit = move |()| {
        let content = content.get_untracked();
        let (request, said) = match &file {
            None => {
                let name = name.get_untracked();
                let input = CreateSwarmFile { name, content, labels: Default::default() };
                (api::post(env.api(kind.path()), &input), None)
            }
            Some(file) => {
                let path = env.api(&format!("{}/{}/rotate", kind.path(), file.id));
                let said = fill(words.rotated, &[("name", &file.name)]);
                (api::post(path, &RotateSwarmFile { content }), Some(said))
            }
        };
        form.submit(
            move || request.done(),
            move |()| {
                if let Some(said) = said {
                    use_toasts().success(said);
                }
                done.run(());
            },
        );
    };
    let help = if kind == Kind::Secret { words.secret_help } else { words.config_help };
    let label = match (new, kind) {
        (false, _) => words.rotate,
        (true, Kind::Secret) => words.add_secret,
        (true, Kind::Config) => words.add_config,
    };
    view! {
        <FormView form=form on_submit=submit>
            {match new {
                true => view! { <TextField label=t().common.name value=name form=form name="name" mono=true focus=true /> }.into_any(),
                false => view! { <p class="muted">{words.rotate_text}</p> }.into_any(),
            }}
            <TextArea label=words.content value=content form=form name="content" help=help code=true rows=10 />
            <FormActions form=form label=label />
        </FormView>
    }
}

/// A config's content.
#[component]
fn Shown(env: Env, file: SwarmFile) -> impl IntoView {
    let path = env.api(&format!("swarm/configs/{}", file.id));
    let config = Remote::new(move || api::get(path.clone()).json::<SwarmConfig>());
    view! {
        <Loaded remote=config let:config>
            {move || match config.get().content {
                Some(text) => view! { <pre class="code" tabindex="0">{text}</pre> }.into_any(),
                None => view! { <Notice>{swarm().no_text}</Notice> }.into_any(),
            }}
        </Loaded>
    }
}
