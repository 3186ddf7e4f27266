//! A user's accounts at identity providers, and the linking of two users into one.

use drover_api::{Identity, LinkUser, List, Topic, User};
use leptos::prelude::*;

use super::{
    provider_test::group_list,
    providers::{kind_glyph, kind_name},
};
use crate::{
    api,
    components::*,
    i18n::{fill, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// How a user signs in, for a cell of the table.
pub(super) fn ways_in(user: &User) -> AnyView {
    let words = &t().sign_in;
    let password = user.has_password.then(|| view! { <Badge label=words.password /> });
    let others = user
        .identities
        .iter()
        .map(|identity| {
            let title = match &identity.reason {
                Some(reason) => format!("{}: {reason}", identity.state.label()),
                None => format!("{}: {}", kind_name(identity.provider_kind), identity.login),
            };
            // What counts is the usual case: it needs no colour.
            let tone = Some(identity.state.tone()).filter(|tone| *tone != Tone::Ok);
            let name = identity.provider_name.clone();
            view! { <Badge label=name tone=tone.unwrap_or(Tone::Accent) title=title /> }
        })
        .collect_view();
    let none = !user.has_password && user.identities.is_empty();
    view! {
        <span class="row ways">
            {password} {others} {none.then(|| view! { <span class="faint">{words.accounts_none}</span> })}
        </span>
    }
    .into_any()
}

/// Reads a user's groups from all providers now.
pub(super) async fn refresh_groups(user: &User) -> Option<User> {
    let request = api::post(format!("users/{}/refresh", user.id), &());
    match request.json::<User>().await {
        Ok(newest) => {
            let done = fill(t().sign_in.groups_refreshed, &[("name", &newest.display_name)]);
            use_toasts().success(done);
            Some(newest)
        }
        Err(error) => {
            use_toasts().error(&error);
            None
        }
    }
}

/// How a user signs in, and the groups that each provider brings.
#[component]
pub(super) fn UserAccounts(user: User, reload: Trigger) -> impl IntoView {
    let id = user.id;
    // Lists of users have no groups.
    let remote = Remote::new(move || api::get(format!("users/{id}")).json::<User>())
        .live(&[Topic::User, Topic::Provider], |_| true);
    view! {
        <Loaded remote=remote let:user>
            {move || view_accounts(user.get(), remote, reload)}
        </Loaded>
    }
}

fn view_accounts(user: User, remote: Remote<User>, reload: Trigger) -> AnyView {
    let words = &t().sign_in;
    let none = user.identities.is_empty();
    let form = Form::new();
    let asked = user.clone();
    let refresh = move |_| {
        let user = asked.clone();
        form.submit(
            move || async move { Ok(refresh_groups(&user).await) },
            move |newest: Option<User>| {
                if let Some(newest) = newest {
                    remote.set(newest);
                    reload.notify();
                }
            },
        );
    };
    let gone = move || {
        remote.reload();
        reload.notify();
    };
    let password = if user.has_password { words.has_password } else { words.no_password };
    let cards = user
        .identities
        .into_iter()
        .map(|identity| identity_card(user.id, &user.display_name, identity, gone))
        .collect_view();
    view! {
        <div class="stack">
            <div class="row between">
                <span class="row muted"><Icon glyph=Glyph::Lock /> {password}</span>
                {(!none).then(|| view! {
                    <Button small=true icon=Glyph::Refresh label=words.refresh_groups busy=form.busy() on_click=refresh />
                })}
            </div>
            {cards}
        </div>
    }
    .into_any()
}

fn identity_card(
    user_id: uuid::Uuid,
    user_name: &str,
    identity: Identity,
    gone: impl Fn() + Copy + Send + Sync + 'static,
) -> AnyView {
    let words = &t().sign_in;
    let provider_id = identity.provider_id;
    let names = [("provider", identity.provider_name.as_str()), ("name", user_name)];
    let title = fill(words.unlink_title, &names);
    let unlink = move |_| {
        Confirm::new(title.clone(), words.unlink_text).ask(words.unlink, move || async move {
            api::delete(format!("users/{user_id}/identities/{provider_id}")).done().await?;
            use_toasts().success(words.unlinked);
            gone();
            Ok(())
        });
    };
    let tone = if identity.state.tone() == Tone::Bad { Tone::Bad } else { Tone::Warn };
    let reason =
        identity.reason.clone().map(|reason| view! { <Notice tone=tone>{reason}</Notice> });
    let code = |text: String| view! { <code class="break">{text}</code> }.into_any();
    let rows = vec![
        (words.kind, view! { {kind_name(identity.provider_kind)} }.into_any()),
        (words.login_there, code(identity.login)),
        (words.principal, code(identity.principal_id)),
        (words.refreshed, view! { <TimeAgo at=identity.refreshed_at /> }.into_any()),
    ];
    view! {
        <section class="identity">
            <div class="row between">
                <span class="row">
                    <Icon glyph=kind_glyph(identity.provider_kind) class="faint" />
                    <h3 class="break">{identity.provider_name.clone()}</h3>
                    <StatePill state=identity.state />
                </span>
                <Button small=true label=words.unlink on_click=unlink />
            </div>
            {reason}
            <KeyValues rows=rows />
            {group_list(identity.groups)}
        </section>
    }
    .into_any()
}

/// Makes two accounts one: `user` stays.
#[component]
pub(super) fn LinkAccounts(user: User, open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().sign_in;
    let form = Form::new();
    let q = RwSignal::new(String::new());
    let chosen = RwSignal::new(None::<User>);
    let found = Remote::new(move || {
        api::get("users").query("q", q.get()).query("limit", 50).json::<List<User>>()
    });
    let id = user.id;
    let submit = move |()| {
        let Some(other) = chosen.get_untracked() else { return };
        let input = LinkUser { user_id: other.id };
        form.submit(
            move || async move { api::post(format!("users/{id}/link"), &input).done().await },
            move |()| {
                open.set(false);
                reload.notify();
                use_toasts().success(words.linked);
            },
        );
    };
    let pick = move |other: User| {
        let this = other.id;
        let label = (other.display_name.clone(), other.login.clone());
        let ways = ways_in(&other);
        view! {
            <button
                type="button"
                role="option"
                class="menu-item"
                aria-selected=move || chosen.with(|chosen| chosen.as_ref().is_some_and(|one| one.id == this)).to_string()
                on:click=move |_| chosen.set(Some(other.clone()))
            >
                <Icon glyph=Glyph::User class="faint" />
                <span class="two grow"><span class="truncate">{label.0}</span><span class="truncate">{label.1}</span></span>
                {ways}
            </button>
        }
    };
    view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{fill(words.link_text, &[("name", &user.display_name)])}</p>
            <div class="field">
                <SearchBox label=words.link_search value=q />
                <div class="pick-list" role="listbox" aria-label=words.link_search>
                    <Loaded remote=found lines=3 let:list>
                        {move || {
                            let others: Vec<_> = list.get().items.into_iter().filter(|one| one.id != id).collect();
                            if others.is_empty() {
                                return view! { <p class="pick-none">{words.nobody_found}</p> }.into_any();
                            }
                            others.into_iter().map(pick).collect_view().into_any()
                        }}
                    </Loaded>
                </div>
            </div>
            {move || chosen.get().map(|other| view! {
                <ul class="going"><li>{format!("{} ({})", other.display_name, other.login)}</li></ul>
            })}
            <FormActions
                form=form
                label=words.link_button
                look=Look::Danger
                disabled=Signal::derive(move || chosen.with(Option::is_none))
                on_cancel=move |()| open.set(false)
            />
        </FormView>
    }
}
