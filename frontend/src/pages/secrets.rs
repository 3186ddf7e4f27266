//! An environment's secrets, certificates and registries.

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

/// Secrets, certificates and registries.
#[component]
pub fn SecretsPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let (secret_open, registry_open) = (RwSignal::new(false), RwSignal::new(false));
    let secrets = Remote::new(move || {
        api::get(env.api("secrets")).query("limit", 1000).json::<List<Secret>>()
    })
    .live(&[Topic::Secret], |_| true);
    let registries = Remote::new(move || api::get(env.api("registries")).json::<List<Registry>>())
        .live(&[Topic::Secret], |_| true);
    let may = move || env.may(Permission::Deploy);
    let remove = move |path: String, name: String| {
        MenuItem::danger(Glyph::Trash, t().common.remove, move || {
            let path = path.clone();
            Confirm::new(t().common.remove, t().common.goes_for_good)
                .names(vec![name.clone()])
                .ask(t().common.remove, move || {
                    let path = path.clone();
                    async move {
                        api::delete(path).done().await?;
                        secrets.reload();
                        registries.reload();
                        Ok(())
                    }
                });
        })
    };
    let secret_row = move |secret: Secret| {
        let (path, name) = (env.api(&format!("secrets/{}", secret.id)), secret.name.clone());
        let kind = match secret.kind {
            SecretKind::Opaque => words.opaque,
            SecretKind::Certificate => words.certificate,
        };
        view! {
            <tr>
                <td class="mono strong">{secret.name}</td>
                <td>{kind}</td>
                <td class="muted">{secret.description}</td>
                <td><TimeAgoOr at=secret.expires_at otherwise="–" /></td>
                <td><TimeAgo at=secret.updated_at /></td>
                <td>{may().then(|| view! { <RowMenu items=move || vec![remove(path.clone(), name.clone())] /> })}</td>
            </tr>
        }
    };
    let registry_row = move |registry: Registry| {
        let (path, name) =
            (env.api(&format!("registries/{}", registry.id)), registry.address.clone());
        view! {
            <tr>
                <td class="mono strong">{registry.address}</td>
                <td>{registry.username}</td>
                <td><TimeAgo at=registry.updated_at /></td>
                <td>{may().then(|| view! { <RowMenu items=move || vec![remove(path.clone(), name.clone())] /> })}</td>
            </tr>
        }
    };
    view! {
        <Page
            title=words.secrets
            sub=words.secrets_text
            actions=move || may().then(|| view! {
                <Button label=words.add_registry icon=Glyph::Plus on_click=move |_| registry_open.set(true) />
                <Button look=Look::Primary label=words.add_secret icon=Glyph::Plus on_click=move |_| secret_open.set(true) />
            })
        >
            <Loaded remote=secrets let:list>
                {move || {
                    let items = list.get().items;
                    if items.is_empty() {
                        return view! { <Empty glyph=Glyph::Lock title=words.no_secrets text=words.no_secrets_text /> }.into_any();
                    }
                    view! {
                        <Card flush=true><div class="scroll-x"><table class="plain">
                            <thead><tr><th>{t().common.name}</th><th>{words.kind}</th><th>{t().common.description}</th><th>{words.expires}</th><th>{t().common.updated}</th><th></th></tr></thead>
                            <tbody>{items.into_iter().map(secret_row).collect_view()}</tbody>
                        </table></div></Card>
                    }.into_any()
                }}
            </Loaded>
            <Loaded remote=registries let:list>
                {move || {
                    let items = list.get().items;
                    if items.is_empty() {
                        return view! { <Empty glyph=Glyph::Image title=words.no_registries text=words.no_registries_text /> }.into_any();
                    }
                    view! {
                        <Card flush=true><div class="scroll-x"><table class="plain">
                            <thead><tr><th>{words.address}</th><th>{words.user_name}</th><th>{t().common.updated}</th><th></th></tr></thead>
                            <tbody>{items.into_iter().map(registry_row).collect_view()}</tbody>
                        </table></div></Card>
                    }.into_any()
                }}
            </Loaded>
            <Dialog open=secret_open title=words.add_secret>
                <AddSecret env=env open=secret_open list=secrets />
            </Dialog>
            <Dialog open=registry_open title=words.add_registry>
                <AddRegistry env=env open=registry_open list=registries />
            </Dialog>
        </Page>
    }
}

#[component]
fn AddSecret(env: Env, open: RwSignal<bool>, list: Remote<List<Secret>>) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let (name, value, description) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let kind = RwSignal::new("opaque".to_owned());
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
        form.submit(
            move || async move { api::post(env.api("secrets"), &input).done().await },
            move |()| {
                open.set(false);
                list.reload();
            },
        );
    };
    let kinds = vec![
        ("opaque".to_owned(), words.opaque.to_owned()),
        ("certificate".to_owned(), words.certificate.to_owned()),
    ];
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().common.name value=name form=form name="name" />
            <SelectField label=words.kind value=kind options=kinds />
            <TextField label=t().common.description value=description form=form name="description" />
            <TextArea label=words.value value=value form=form name="value" help=words.value_help />
            <FormActions form=form label=words.add_secret on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn AddRegistry(env: Env, open: RwSignal<bool>, list: Remote<List<Registry>>) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let (address, username, password) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let submit = move |()| {
        let input = WriteRegistry {
            address: address.get_untracked(),
            username: username.get_untracked(),
            password: password.get_untracked(),
        };
        form.submit(
            move || async move { api::post(env.api("registries"), &input).done().await },
            move |()| {
                open.set(false);
                list.reload();
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.address value=address form=form name="address" />
            <TextField label=words.user_name value=username form=form name="username" />
            <TextField label=words.password value=password form=form name="password" kind="password" help=words.value_help />
            <FormActions form=form label=words.add_registry on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
