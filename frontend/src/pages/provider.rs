//! One identity provider: how it does, its settings, its test, who may sign in through it, SCIM.

use drover_api::{AccessMode, DoorKind, Principal, ProviderKind, ScimToken, Topic};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_params_map, use_query_map},
};
use serde_json::{Value, json};

use super::{
    principal_picker::{PrincipalPicker, principal_line},
    provider_form::{ProviderForm, lines},
    provider_test::TestTab,
    providers::{Provider, kind_name, state_badges},
};
use crate::{
    api,
    components::*,
    i18n::{fill, plural, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// A provider's page.
#[component]
pub fn ProviderPage() -> impl IntoView {
    let words = &t().sign_in;
    let id =
        use_params_map().with_untracked(|params| params.get("provider_id").unwrap_or_default());
    let path = format!("identity-providers/{}", api::encode(&id));
    let remote = Remote::new(move || api::get(path.clone()).json::<Provider>())
        .live(&[Topic::Provider], move |event| event.id == id);
    let name = move |provider: Option<&Provider>| provider.map(|p| p.name.clone());
    let navigate = use_navigate();
    // Back from a test sign-in at the provider.
    if use_query_map().with_untracked(|query| query.get("tested").is_some()) {
        let navigate = navigate.clone();
        let here = window().location().pathname().unwrap_or_default();
        Effect::new(move || {
            let options = NavigateOptions { replace: true, ..Default::default() };
            navigate(&format!("{here}?tab=test"), options);
        });
    }
    let navigate = StoredValue::new(navigate);
    // Not anew with each news of the provider: an open menu would close.
    let buttons = Memo::new(move |_| remote.with(|p| p.map(|p| (p.enabled, p.tested))));
    let actions = move || {
        buttons.get()?;
        let menu =
            move || remote.look(|p| p.map(|p| row_menu(p, remote, navigate)).unwrap_or_default());
        let switch = remote.look(|p| p.map(|p| switch_button(p, remote)));
        Some(view! {
            {switch}
            <Menu label=t().common.more class="btn btn-secondary btn-icon" items=menu />
        })
    };
    view! {
        <Page
            title=Signal::derive(move || remote.with(name).unwrap_or_default())
            crumbs=vec![("/admin/sign-in".to_owned(), words.title.to_owned())]
            sub=Signal::derive(move || remote.with(|p| p.map(|p| kind_name(p.kind).to_owned())))
            badge=move || remote.get().map(|provider| state_badges(&provider))
            actions=actions
        >
            <Found remote=remote>
                <Loaded remote=remote let:provider>
                    <Body provider=provider remote=remote />
                </Loaded>
            </Found>
        </Page>
    }
}

#[component]
fn Body(provider: Signal<Provider>, remote: Remote<Provider>) -> impl IntoView {
    let words = &t().sign_in;
    // Forms begin anew after their own saves, but not when somebody else changes something: what
    // is typed stays.
    let renew = Trigger::new();
    let saved = Callback::new(move |saved| {
        remote.set(saved);
        renew.notify();
    });
    let settings = move || {
        move || {
            renew.track();
            untrack(|| view! { <Card><ProviderForm known=Some((provider, saved)) /></Card> })
        }
    };
    let access = move || {
        move || {
            renew.track();
            untrack(|| view! { <Card><Access provider=provider saved=saved /></Card> })
        }
    };
    let mut tabs = vec![
        Tab::new(
            "overview",
            words.overview,
            move || view! { <Overview provider=provider remote=remote /> },
        ),
        Tab::new("settings", words.settings, settings),
        Tab::new("test", words.test, move || view! { <TestTab provider=provider remote=remote /> }),
        Tab::new("access", words.access, access),
    ];
    if provider.with_untracked(|p| p.scim.is_some() || p.kind == ProviderKind::Openid) {
        tabs.push(Tab::new(
            "scim",
            words.scim,
            move || view! { <ScimTab provider=provider remote=remote /> },
        ));
    }
    view! {
        {move || provider.with(|p| p.draft.is_some()).then(|| draft_notice(provider, saved))}
        <Tabs label=words.title tabs=tabs />
    }
}

fn draft_notice(provider: Signal<Provider>, saved: Callback<Provider>) -> impl IntoView {
    let words = &t().sign_in;
    let discard = move |_| {
        let (id, version) = provider.with_untracked(|p| (p.id, p.version));
        Confirm::new(words.draft_discard_title, words.draft_discard_text).ask(
            words.draft_discard,
            move || async move {
                let input = json!({ "discard_draft": true });
                saved.run(update(id, version, &input).await?);
                use_toasts().success(words.draft_discarded);
                Ok(())
            },
        );
    };
    let go = use_tab();
    view! {
        <Notice tone=Tone::Warn>
            <div class="row-wrap between">
                <div class="danger-text">
                    <div class="strong">{words.draft_title}</div>
                    {words.draft_text}
                </div>
                <div class="row">
                    <Button small=true icon=Glyph::Bolt label=words.draft_test on_click=move |_| go("test") />
                    <Button small=true look=Look::Ghost label=words.draft_discard on_click=discard />
                </div>
            </div>
        </Notice>
    }
}

/// Sends a [`drover_api::UpdateProvider`].
async fn update(id: uuid::Uuid, version: i64, input: &Value) -> api::Result<Provider> {
    api::patch(format!("identity-providers/{id}"), input).if_match(version).json().await
}

async fn switch(provider: Provider, on: bool, remote: Remote<Provider>) -> api::Result<()> {
    let words = &t().sign_in;
    let input = json!({ "enabled": on });
    remote.set(update(provider.id, provider.version, &input).await?);
    let text = if on { words.switched_on } else { words.switched_off };
    use_toasts().success(fill(text, &[("name", &provider.name)]));
    Ok(())
}

/// Switches the provider on (once it is tested), or off (after a question).
pub(super) fn switch_button(provider: &Provider, remote: Remote<Provider>) -> AnyView {
    let words = &t().sign_in;
    let shown = provider.clone();
    // Its version may have grown since the button was drawn.
    let newest = move || remote.look(|now| now.cloned()).unwrap_or_else(|| shown.clone());
    if provider.enabled {
        let ask = move |_| {
            let again = newest();
            let title = fill(words.off_title, &[("name", &again.name)]);
            let going = match again.users {
                0 => Vec::new(),
                users => vec![plural(users, words.off_accounts)],
            };
            Confirm::new(title, words.off_text)
                .names(going)
                .ask(words.switch_off, move || switch(again.clone(), false, remote));
        };
        return view! { <Button icon=Glyph::Pause label=words.switch_off on_click=ask /> }
            .into_any();
    }
    let tested = provider.tested;
    let busy = RwSignal::new(false);
    let on = move |_| {
        let provider = newest();
        busy.set(true);
        spawn_local(async move {
            if let Err(error) = switch(provider, true, remote).await {
                use_toasts().error(&error);
            }
            busy.try_set(false);
        });
    };
    let why = if tested { "" } else { words.switch_on_blocked };
    view! {
        <Button
            look=if tested { Look::Primary } else { Look::Secondary }
            icon=Glyph::Play
            label=words.switch_on
            busy=busy
            disabled=!tested
            title=why
            on_click=on
        />
    }
    .into_any()
}

fn row_menu(
    provider: &Provider,
    remote: Remote<Provider>,
    navigate: StoredValue<impl Fn(&str, NavigateOptions) + Send + Sync + 'static>,
) -> Vec<MenuItem> {
    let words = &t().sign_in;
    let (id, name, users) = (provider.id, provider.name.clone(), provider.users);
    let refresh = MenuItem::action(Glyph::Refresh, words.refresh_now, move || {
        spawn_local(refresh_now(id, remote));
    })
    .disabled_if(!provider.enabled);
    let remove = MenuItem::danger(Glyph::Trash, t().common.delete, move || {
        let title = fill(words.delete_title, &[("name", &name)]);
        let done = fill(words.deleted, &[("name", &name)]);
        let mut going = vec![name.clone()];
        if users > 0 {
            going.push(plural(users, words.delete_accounts));
        }
        Confirm::new(title, words.delete_text).names(going).type_name(&name).ask(
            t().common.delete,
            move || {
                let done = done.clone();
                async move {
                    api::delete(format!("identity-providers/{id}")).done().await?;
                    use_toasts().success(done);
                    navigate.with_value(|go| go("/admin/sign-in", Default::default()));
                    Ok(())
                }
            },
        );
    });
    vec![refresh, MenuItem::Separator, remove]
}

async fn refresh_now(id: uuid::Uuid, remote: Remote<Provider>) {
    let request = api::post(format!("identity-providers/{id}/refresh"), &());
    match request.json::<Provider>().await {
        Ok(provider) => {
            remote.set(provider);
            use_toasts().success(t().sign_in.refresh_begun);
        }
        Err(error) => use_toasts().error(&error),
    }
}

/// How it does, what to do next, and the addresses to enter at the provider.
#[component]
fn Overview(provider: Signal<Provider>, remote: Remote<Provider>) -> impl IntoView {
    move || {
        let provider = provider.get();
        view! {
            {next_step(&provider, remote)}
            {health(&provider, remote)}
            {addresses(&provider)}
        }
    }
}

fn next_step(provider: &Provider, remote: Remote<Provider>) -> Option<AnyView> {
    let words = &t().sign_in;
    if provider.enabled {
        return None;
    }
    let (title, text) = match provider.tested {
        true => (words.next_on, words.next_on_text),
        false => (words.next_test, words.next_test_text),
    };
    let go = use_tab();
    let button = if provider.tested {
        switch_button(provider, remote)
    } else {
        view! { <Button look=Look::Primary icon=Glyph::Bolt label=words.test on_click=move |_| go("test") /> }
            .into_any()
    };
    let view = view! {
        <Notice>
            <div class="row-wrap between">
                <div class="danger-text"><div class="strong">{title}</div>{text}</div>
                {button}
            </div>
        </Notice>
    };
    Some(view.into_any())
}

fn health(provider: &Provider, remote: Remote<Provider>) -> AnyView {
    let words = &t().sign_in;
    let (id, enabled) = (provider.id, provider.enabled);
    let health = provider.health.clone();
    let state = match (&health.error, health.last_contact_at) {
        (Some(error), _) => view! {
            <span class="stack-s">
                <span class="tone-bad">{words.state_failing}</span>
                <pre class="code wrap">{error.clone()}</pre>
            </span>
        }
        .into_any(),
        (None, Some(_)) => view! { <span class="tone-ok">{words.health_ok}</span> }.into_any(),
        (None, None) => view! { <span class="faint">{words.health_unknown}</span> }.into_any(),
    };
    let mut rows = vec![
        (t().common.state, state),
        (words.last_contact, view! { <TimeAgoOr at=health.last_contact_at /> }.into_any()),
    ];
    if let Some(since) = health.failing_since {
        rows.push((words.since, view! { <TimeAgo at=since /> }.into_any()));
    }
    if let Some(end) = health.expires_at {
        rows.push((
            words.access_ends,
            view! {
                <TimeAgo at=end />
                <div class="field-help">{words.access_ends_text}</div>
            }
            .into_any(),
        ));
    }
    rows.push((words.users, view! { {crate::format::count(provider.users)} }.into_any()));
    if health.refresh_pending > 0 {
        let pending = plural(health.refresh_pending, words.pending_accounts);
        rows.push((words.pending, view! { {pending} }.into_any()));
    }
    let refresh = move || {
        let refresh = move |_| spawn_local(refresh_now(id, remote));
        view! { <Button small=true icon=Glyph::Refresh label=words.refresh_now disabled=!enabled on_click=refresh /> }
    };
    view! { <Card title=words.health extra=refresh><KeyValues rows=rows /></Card> }.into_any()
}

fn addresses(provider: &Provider) -> Option<AnyView> {
    let words = &t().sign_in;
    let line = |label: &'static str, url: String, help: Option<&'static str>| {
        view! {
            <div class="field">
                <span class="field-label">{label}</span>
                <CopyLine text=url />
                {help.map(|help| view! { <div class="field-help">{help}</div> })}
            </div>
        }
    };
    let callback = provider.callback_url.clone().map(|url| line(words.callback_url, url, None));
    let logout = provider
        .backchannel_logout_url
        .clone()
        .map(|url| line(words.logout_url, url, Some(words.logout_url_help)));
    (callback.is_some() || logout.is_some()).then(|| {
        view! {
            <Card title=words.addresses>
                <div class="stack"><p class="muted">{words.addresses_text}</p> {callback} {logout}</div>
            </Card>
        }
        .into_any()
    })
}

/// Who may sign in.
#[component]
fn Access(provider: Signal<Provider>, saved: Callback<Provider>) -> impl IntoView {
    let words = &t().sign_in;
    let form = Form::new();
    let base = provider.get_untracked();
    let mode = RwSignal::new(base.access_mode.as_str().to_owned());
    let allowed = RwSignal::new(base.allowed_principals.clone());
    let groups = RwSignal::new(base.allowed_groups.join("\n"));
    let modes = AccessMode::ALL.map(|mode| {
        let (label, help) = match mode {
            AccessMode::Unrestricted => (words.mode_unrestricted, words.mode_unrestricted_help),
            AccessMode::Restricted => (words.mode_restricted, words.mode_restricted_help),
            AccessMode::Required => (words.mode_required, words.mode_required_help),
        };
        (mode.as_str().to_owned(), label.to_owned(), help.to_owned())
    });
    let submit = move |()| {
        let ids: Vec<_> =
            allowed.with_untracked(|all| all.iter().map(|one| one.id.clone()).collect());
        let input = json!({
            "access_mode": mode.get_untracked(),
            "allowed_principals": ids,
            "allowed_groups": lines(&groups.get_untracked()),
        });
        let (id, version) = provider.with_untracked(|now| {
            // What else has changed since does not matter to this form.
            let same = now.access_mode == base.access_mode
                && now.allowed_principals == base.allowed_principals
                && now.allowed_groups == base.allowed_groups;
            (now.id, if same { now.version } else { base.version })
        });
        form.submit(
            move || async move { update(id, version, &input).await },
            move |newest| {
                use_toasts().success(words.access_saved);
                saved.run(newest);
            },
        );
    };
    let everyone = move || mode.with(|mode| mode == AccessMode::Unrestricted.as_str());
    let (id, kind) = provider.with_untracked(|p| (p.id, p.kind));
    let groups_help = match kind {
        ProviderKind::Github => words.allowed_groups_help_github,
        _ => words.allowed_groups_help,
    };
    view! {
        <FormView form=form on_submit=submit>
                <Choices label=words.mode value=mode options=modes.into() />
                <div class="form-group">
                    <h3>{words.allowed}</h3>
                    {move || everyone().then(|| view! { <p class="muted">{words.allowed_all}</p> })}
                    {move || allowed_list(allowed)}
                    {move || match provider.with(|p| p.enabled) {
                        true => view! { <AddAllowed provider_id=id allowed=allowed /> }.into_any(),
                        false => view! { <p class="field-help">{words.allowed_off}</p> }.into_any(),
                    }}
                </div>
                <div class="form-group">
                    <TextArea
                        form=form
                        name="allowed_groups"
                        label=words.allowed_groups
                        value=groups
                        help=groups_help
                        optional=true
                        code=true
                        rows=3
                    />
                </div>
                <FormActions form=form label=t().common.save />
        </FormView>
    }
}

fn allowed_list(allowed: RwSignal<Vec<Principal>>) -> AnyView {
    let words = &t().sign_in;
    let list = allowed.get();
    if list.is_empty() {
        return view! { <p class="faint">{words.allowed_none}</p> }.into_any();
    }
    let rows = list
        .into_iter()
        .map(|principal| {
            let (id, name) = (principal.id.clone(), principal.name.clone());
            view! {
                <li>
                    {principal_line(&principal, false)}
                    <IconButton
                        glyph=Glyph::Close
                        label=format!("{} {name}", t().common.remove)
                        small=true
                        on_click=move |_| allowed.update(|all| all.retain(|one| one.id != id))
                    />
                </li>
            }
        })
        .collect_view();
    view! { <ul class="line-list">{rows}</ul> }.into_any()
}

#[component]
fn AddAllowed(provider_id: uuid::Uuid, allowed: RwSignal<Vec<Principal>>) -> impl IntoView {
    let words = &t().sign_in;
    let chosen = Signal::derive(move || {
        allowed.with(|all| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>())
    });
    let pick = move |principal: Principal| {
        allowed.update(|all| match all.iter().position(|one| one.id == principal.id) {
            Some(at) => _ = all.remove(at),
            None => all.push(principal),
        });
    };
    view! { <PrincipalPicker label=words.allowed_add only=provider_id chosen=chosen on_pick=pick /> }
}

/// Users and groups pushed by the provider.
#[component]
fn ScimTab(provider: Signal<Provider>, remote: Remote<Provider>) -> impl IntoView {
    let words = &t().sign_in;
    let made = RwSignal::new(None::<ScimToken>);
    let open = RwSignal::new(false);
    let id = provider.with_untracked(|p| p.id);
    let make = move || async move {
        let path = format!("identity-providers/{id}/scim-token");
        let token = api::post(path, &()).json::<ScimToken>().await?;
        made.set(Some(token));
        open.set(true);
        remote.reload();
        Ok(())
    };
    let make_first = move |_| {
        spawn_local(async move {
            if let Err(error) = make().await {
                use_toasts().error(&error);
            }
        });
    };
    let replace = move |_| {
        Confirm::new(words.scim_replace, words.scim_replace_text).ask(words.scim_replace, make);
    };
    let remove = move |_| {
        Confirm::new(words.scim_remove, words.scim_remove_text).ask(
            words.scim_remove,
            move || async move {
                api::delete(format!("identity-providers/{id}/scim-token")).done().await?;
                use_toasts().success(words.scim_removed);
                remote.reload();
                Ok(())
            },
        );
    };
    let body = move || {
        provider.with(|p| p.scim.clone()).map(|scim| {
            let has_token = scim.token_prefix.is_some();
            let token = match scim.token_prefix {
                Some(prefix) => view! { <code>{prefix} "…"</code> }.into_any(),
                None => view! { <span class="faint">{words.scim_off}</span> }.into_any(),
            };
            let rows = vec![
                (words.scim_url, view! { <CopyLine text=scim.url /> }.into_any()),
                (words.scim_token, token),
                (words.scim_last_used, view! { <TimeAgoOr at=scim.last_used_at /> }.into_any()),
                (words.scim_users, view! { {crate::format::count(scim.users)} }.into_any()),
                (words.scim_groups, view! { {crate::format::count(scim.groups)} }.into_any()),
            ];
            let buttons = if has_token {
                view! {
                    <Button icon=Glyph::Refresh label=words.scim_replace on_click=replace />
                    <Button icon=Glyph::Trash label=words.scim_remove on_click=remove />
                }
                .into_any()
            } else {
                view! { <Button look=Look::Primary icon=Glyph::Key label=words.scim_make on_click=make_first /> }
                    .into_any()
            };
            view! { <KeyValues rows=rows /> <div class="row-wrap">{buttons}</div> }
        })
    };
    view! {
        <Card><div class="stack"><p class="muted">{words.scim_text}</p> {body}</div></Card>
        <Dialog open=open title=words.scim_copy>
            {move || made.get().map(|made| view! {
                <p class="muted">{words.scim_copy_text}</p>
                <div class="field"><span class="field-label">{words.scim_url}</span><CopyLine text=made.url /></div>
                <div class="field"><span class="field-label">{words.scim_token}</span><CopyLine text=made.token /></div>
                <div class="form-actions"><Button look=Look::Primary label=t().account.key_done on_click=move |_| open.set(false) /></div>
            })}
        </Dialog>
    }
}

/// Whether people come in with a password on Drover's own page.
pub(super) fn takes_passwords(kind: ProviderKind) -> bool {
    kind.door() == DoorKind::Password
}
