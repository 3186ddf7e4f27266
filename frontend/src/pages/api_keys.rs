use drover_api::{ApiKey, CreateApiKey, CreatedApiKey, List, Role, Timestamp};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::use_environments,
    format,
    i18n::{plural, t},
    icons::Glyph,
    remote::Remote,
    states::{Stated, Tone},
};

/// One's API keys.
#[component]
pub fn ApiKeys() -> impl IntoView {
    let words = &t().account;
    let keys = Remote::new(|| api::get("api-keys").json::<List<ApiKey>>());
    let open = RwSignal::new(false);
    let created = RwSignal::new(None::<CreatedApiKey>);
    let new_key = move || {
        view! {
            <Button
                look=Look::Primary
                icon=Glyph::Plus
                label=words.new_key
                on_click=move |_| {
                    created.set(None);
                    open.set(true);
                }
            />
        }
    };
    let title = Signal::derive(move || {
        let title = if created.with(Option::is_some) { words.key_created } else { words.new_key };
        title.to_owned()
    });
    view! {
        <Page title=words.api_keys sub=words.api_keys_text actions=new_key>
            <Loaded remote=keys let:list>
                {move || {
                    let list = list.get().items;
                    if list.is_empty() {
                        view! {
                            <Card>
                                <Empty glyph=Glyph::Key title=words.no_keys text=words.no_keys_text>
                                    {new_key()}
                                </Empty>
                            </Card>
                        }
                            .into_any()
                    } else {
                        view! { <KeyTable list=list keys=keys /> }.into_any()
                    }
                }}
            </Loaded>
            <Dialog open=open title=title>
                {move || match created.get() {
                    Some(key) => view! { <ShowKey key=key open=open /> }.into_any(),
                    None => view! { <NewKey keys=keys created=created open=open /> }.into_any(),
                }}
            </Dialog>
        </Page>
    }
}

#[component]
fn KeyTable(list: Vec<ApiKey>, keys: Remote<List<ApiKey>>) -> impl IntoView {
    let words = &t().account;
    let rows = list.into_iter().map(|key| key_row(key, keys)).collect_view();
    view! {
        <Card flush=true>
            <div class="scroll-x">
                <table class="plain-table">
                    <thead>
                        <tr>
                            <th>{t().common.name}</th>
                            <th>{words.key_prefix}</th>
                            <th>{words.key_scope}</th>
                            <th>{words.key_expires}</th>
                            <th>{words.key_last_used}</th>
                            <th>{t().common.created}</th>
                            <th><span class="sr-only">{t().common.actions}</span></th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </Card>
    }
}

fn key_row(key: ApiKey, keys: Remote<List<ApiKey>>) -> impl IntoView {
    let words = &t().account;
    let environments = use_environments();
    let (id, name) = (key.id, key.name.clone());
    let revoke = move |_| {
        Confirm::new(words.revoke_title, words.revoke_text).names(vec![name.clone()]).ask(
            words.revoke,
            move || async move {
                api::delete(format!("api-keys/{id}")).done().await?;
                use_toasts().success(words.revoked);
                keys.reload();
                Ok(())
            },
        );
    };
    let scope = move || match key.environment_id {
        Some(id) => {
            environments.find(id).map_or_else(|| t().common.unknown.to_owned(), |env| env.name)
        }
        None => words.key_everywhere.to_owned(),
    };
    let expired = key.expires_at.is_some_and(|at| (at.unix_ms() as f64) < format::now_ms());
    let expiry = if expired {
        view! { <Badge label=words.key_expired tone=Tone::Bad /> }.into_any()
    } else {
        view! { <TimeAgoOr at=key.expires_at otherwise=words.key_no_expiry /> }.into_any()
    };
    view! {
        <tr>
            <td class="strong">{key.name}</td>
            <td class="mono">{key.prefix} "…"</td>
            <td>
                <span class="row-wrap">
                    <span class="truncate">{scope}</span>
                    {key.role.map(|role| view! { <StatePill state=role /> })}
                </span>
            </td>
            <td>{expiry}</td>
            <td title=key.last_used_address.unwrap_or_default()><TimeAgoOr at=key.last_used_at /></td>
            <td><TimeAgo at=key.created_at /></td>
            <td class="table-end"><Button small=true label=words.revoke on_click=revoke /></td>
        </tr>
    }
}

#[component]
fn NewKey(
    keys: Remote<List<ApiKey>>,
    created: RwSignal<Option<CreatedApiKey>>,
    open: RwSignal<bool>,
) -> impl IntoView {
    let words = &t().account;
    let environments = use_environments();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let (environment, role) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let days = RwSignal::new("90".to_owned());
    let submit = move |()| {
        let expires = days.get_untracked().parse::<i64>().ok().and_then(|days| {
            let at = (format::now_ms() / 1000.0) as i64 + days * 86_400;
            time::OffsetDateTime::from_unix_timestamp(at).ok().map(Timestamp)
        });
        let input = CreateApiKey {
            name: name.get_untracked(),
            environment_id: environment.get_untracked().parse().ok(),
            role: Role::parse(&role.get_untracked()),
            expires_at: expires,
        };
        form.submit(
            move || async move { api::post("api-keys", &input).json::<CreatedApiKey>().await },
            move |key| {
                created.set(Some(key));
                keys.reload();
            },
        );
    };
    let scopes = Signal::derive(move || {
        let all = (String::new(), words.key_everywhere.to_owned());
        let named = environments.all().into_iter().map(|env| (env.id.to_string(), env.name));
        std::iter::once(all).chain(named).collect::<Vec<_>>()
    });
    let mut roles = vec![(String::new(), words.key_role_any.to_owned())];
    roles.extend(Role::ALL.map(|role| (role.as_str().to_owned(), role.label().to_owned())));
    let mut expiries: Vec<_> =
        [7, 30, 90, 365].map(|days| (days.to_string(), plural(days, words.key_days))).into();
    expiries.push((String::new(), words.key_no_expiry.to_owned()));
    view! {
        <FormView form=form on_submit=submit>
            <TextField
                form=form
                name="name"
                label=t().common.name
                value=name
                help=words.key_name_help
                focus=true
            />
            <SelectField
                form=form
                name="environment_id"
                label=words.key_scope
                value=environment
                options=scopes
                help=words.key_scope_help
            />
            <SelectField
                form=form
                name="role"
                label=words.key_role
                value=role
                options=roles
                help=words.key_role_help
            />
            <SelectField form=form name="expires_at" label=words.key_expires value=days options=expiries />
            <FormActions form=form label=t().common.create on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn ShowKey(key: CreatedApiKey, open: RwSignal<bool>) -> impl IntoView {
    let words = &t().account;
    let origin = window().location().origin().unwrap_or_default();
    let example = format!("curl -H 'Authorization: Bearer {}' {origin}/v1/environments", key.token);
    view! {
        <div class="stack">
            <Notice tone=Tone::Warn>{words.key_created_text}</Notice>
            <CopyLine text=key.token />
            <div class="stack-s">
                <span class="field-label">{words.key_try}</span>
                <CopyLine text=example />
            </div>
            <div class="form-actions">
                <Button look=Look::Primary label=words.key_done on_click=move |_| open.set(false) />
            </div>
        </div>
    }
}
