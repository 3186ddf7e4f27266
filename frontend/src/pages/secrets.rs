//! Secrets, certificates and registry credentials of an environment. Values go in, and never come
//! out again.

use drover_api::{
    List, Permission, Registry, Secret, SecretKind, Topic, WriteRegistry, WriteSecret,
};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::t,
    icons::Glyph,
    remote::Remote,
};

/// What the dialog is about.
#[derive(Clone)]
enum Edit {
    Secret(Option<Secret>),
    Registry(Option<Registry>),
}

/// The page.
#[component]
pub fn SecretsPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let secrets = Remote::new(move || {
        api::get(env.api("secrets")).query("limit", 1000).json::<List<Secret>>()
    })
    .live(&[Topic::Secret], |_| true);
    let registries = Remote::new(move || {
        api::get(env.api("registries")).query("limit", 1000).json::<List<Registry>>()
    })
    .live(&[Topic::Secret], |_| true);
    let open = RwSignal::new(false);
    let edited = RwSignal::new(Edit::Secret(None));
    let edit = move |what: Edit| {
        edited.set(what);
        open.set(true);
    };
    let done = Callback::new(move |()| {
        open.set(false);
        secrets.reload();
        registries.reload();
    });
    let title = Signal::derive(move || match edited.get() {
        Edit::Secret(None) => words.add_secret.to_owned(),
        Edit::Registry(None) => words.add_registry.to_owned(),
        Edit::Secret(Some(secret)) => secret.name,
        Edit::Registry(Some(registry)) => registry.address,
    });
    let actions = move || {
        env.may(Permission::Deploy).then(|| {
            view! {
                <Button label=words.add_registry icon=Glyph::Plus on_click=move |_| edit(Edit::Registry(None)) />
                <Button look=Look::Primary label=words.add_secret icon=Glyph::Plus on_click=move |_| edit(Edit::Secret(None)) />
            }
        })
    };
    view! {
        <Page title=words.secrets sub=words.secrets_text actions=actions>
            <Card title=t().secrets.secrets flush=true>
                <Loaded remote=secrets lines=3 let:list>
                    {move || secret_table(env, list.get().items, edit, done)}
                </Loaded>
            </Card>
            <Card title=t().secrets.registries flush=true>
                <Loaded remote=registries lines=3 let:list>
                    {move || registry_table(env, list.get().items, edit, done)}
                </Loaded>
            </Card>
            <Dialog open=open title=title>
                {move || match edited.get() {
                    Edit::Secret(secret) => view! { <EditSecret env=env secret=secret open=open done=done /> }.into_any(),
                    Edit::Registry(registry) => view! { <EditRegistry env=env registry=registry open=open done=done /> }.into_any(),
                }}
            </Dialog>
        </Page>
    }
}

/// The menu of a row: change it, remove it.
fn row_menu(
    env: Env,
    path: String,
    name: String,
    edit: impl Fn() + Clone + Send + Sync + 'static,
    done: Callback<()>,
) -> Option<AnyView> {
    let items = move || {
        let (path, name, edit) = (path.clone(), name.clone(), edit.clone());
        let remove = MenuItem::danger(Glyph::Trash, t().common.remove, move || {
            let path = path.clone();
            Confirm::new(t().common.remove, t().secrets.remove_text).names(vec![name.clone()]).ask(
                t().common.remove,
                move || {
                    let path = path.clone();
                    async move {
                        api::delete(path).done().await?;
                        done.run(());
                        Ok(())
                    }
                },
            );
        });
        vec![MenuItem::action(Glyph::Edit, t().secrets.new_value, edit), remove]
    };
    env.may(Permission::Deploy).then(|| view! { <RowMenu items=items /> }.into_any())
}

fn secret_table(
    env: Env,
    items: Vec<Secret>,
    edit: impl Fn(Edit) + Copy + Send + Sync + 'static,
    done: Callback<()>,
) -> AnyView {
    let words = &t().engine;
    if items.is_empty() {
        return view! { <Empty glyph=Glyph::Lock title=words.no_secrets text=words.no_secrets_text /> }
            .into_any();
    }
    let rows = items
        .into_iter()
        .map(|secret| {
            let path = env.api(&format!("secrets/{}", secret.id));
            let again = secret.clone();
            let change = move || edit(Edit::Secret(Some(again.clone())));
            let menu = row_menu(env, path, secret.name.clone(), change, done);
            let kind = match secret.kind {
                SecretKind::Opaque => words.opaque,
                SecretKind::Certificate => t().secrets.certificate,
            };
            view! {
                <tr>
                    <td class="mono strong">{secret.name}</td>
                    <td>{kind}</td>
                    <td class="muted">{secret.description}</td>
                    <td><TimeAgoOr at=secret.expires_at otherwise="–" /></td>
                    <td><TimeAgo at=secret.updated_at /></td>
                    <td>{menu}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll-x"><table class="plain">
            <thead><tr>
                <th>{t().common.name}</th><th>{words.kind}</th><th>{t().common.description}</th>
                <th>{words.expires}</th><th>{t().common.updated}</th><th></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
    }
    .into_any()
}

fn registry_table(
    env: Env,
    items: Vec<Registry>,
    edit: impl Fn(Edit) + Copy + Send + Sync + 'static,
    done: Callback<()>,
) -> AnyView {
    let words = &t().engine;
    if items.is_empty() {
        return view! { <Empty glyph=Glyph::Image title=words.no_registries text=words.no_registries_text /> }
            .into_any();
    }
    let rows = items
        .into_iter()
        .map(|registry| {
            let path = env.api(&format!("registries/{}", registry.id));
            let again = registry.clone();
            let change = move || edit(Edit::Registry(Some(again.clone())));
            let menu = row_menu(env, path, registry.address.clone(), change, done);
            view! {
                <tr>
                    <td class="mono strong">{registry.address}</td>
                    <td>{registry.username}</td>
                    <td><TimeAgo at=registry.updated_at /></td>
                    <td>{menu}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll-x"><table class="plain">
            <thead><tr>
                <th>{words.address}</th><th>{words.user_name}</th><th>{t().common.updated}</th><th></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
    }
    .into_any()
}

#[component]
fn EditSecret(
    env: Env,
    secret: Option<Secret>,
    open: RwSignal<bool>,
    done: Callback<()>,
) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let known = secret.as_ref().map(|secret| (secret.id, secret.version));
    let certificate = secret.as_ref().is_some_and(|one| one.kind == SecretKind::Certificate);
    let (name, description) =
        secret.map(|secret| (secret.name, secret.description)).unwrap_or_default();
    let (name, description) = (RwSignal::new(name), RwSignal::new(description));
    let value = RwSignal::new(String::new());
    let kind = RwSignal::new(if certificate { "certificate" } else { "opaque" }.to_owned());
    let submit = move |()| {
        let kind = match kind.get_untracked().as_str() {
            "certificate" => SecretKind::Certificate,
            _ => SecretKind::Opaque,
        };
        let input = WriteSecret {
            name: name.get_untracked(),
            kind,
            description: description.get_untracked(),
            value: value.get_untracked(),
        };
        let request = match known {
            Some((id, version)) => {
                api::put(env.api(&format!("secrets/{id}")), &input).if_match(version)
            }
            None => api::post(env.api("secrets"), &input),
        };
        form.submit(move || request.done(), move |()| done.run(()));
    };
    let kinds = vec![
        ("opaque".to_owned(), words.opaque.to_owned()),
        ("certificate".to_owned(), t().secrets.certificate.to_owned()),
    ];
    let help = move || match kind.get().as_str() {
        "certificate" => Some(t().secrets.certificate_help),
        _ => None,
    };
    let label = if known.is_some() { t().common.save } else { words.add_secret };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().common.name value=name form=form name="name" mono=true focus=true />
            {known.is_none().then(|| view! { <SelectField label=words.kind value=kind options=kinds /> })}
            <TextField label=t().common.description value=description form=form name="description" optional=true />
            <TextArea label=words.value value=value form=form name="value" help=words.value_help code=true rows=6 />
            {move || help().map(|help| view! { <p class="field-help">{help}</p> })}
            <FormActions form=form label=label on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn EditRegistry(
    env: Env,
    registry: Option<Registry>,
    open: RwSignal<bool>,
    done: Callback<()>,
) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let known = registry.as_ref().map(|registry| (registry.id, registry.version));
    let (address, username) =
        registry.map(|registry| (registry.address, registry.username)).unwrap_or_default();
    let (address, username) = (RwSignal::new(address), RwSignal::new(username));
    let password = RwSignal::new(String::new());
    let submit = move |()| {
        let input = WriteRegistry {
            address: address.get_untracked(),
            username: username.get_untracked(),
            password: password.get_untracked(),
        };
        let request = match known {
            Some((id, version)) => {
                api::put(env.api(&format!("registries/{id}")), &input).if_match(version)
            }
            None => api::post(env.api("registries"), &input),
        };
        form.submit(move || request.done(), move |()| done.run(()));
    };
    let label = if known.is_some() { t().common.save } else { words.add_registry };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.address value=address form=form name="address" help=t().secrets.address_help mono=true focus=true />
            <TextField label=words.user_name value=username form=form name="username" />
            <TextField label=words.password value=password form=form name="password" kind="password" autocomplete="new-password" help=words.value_help />
            <FormActions form=form label=label on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
