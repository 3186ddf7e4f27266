use drover_api::{CreateUser, GlobalRole, Topic, UpdateUser, User, UserState};
use leptos::{prelude::*, task::spawn_local};

use super::user_accounts::{LinkAccounts, UserAccounts, refresh_groups, ways_in};
use crate::{
    api,
    components::*,
    i18n::{fill, t},
    icons::Glyph,
    session::use_session,
    states::Stated,
};

/// All accounts.
#[component]
pub fn Users() -> impl IntoView {
    let words = &t().admin;
    let session = use_session();
    let me = move || session.user().map(|user| user.id);
    // What the dialog is about: nobody, a new user, or this one.
    let open = RwSignal::new(false);
    let edited = RwSignal::new(None::<User>);
    let reload = Trigger::new();
    let edit = move |user: Option<User>| {
        edited.set(user);
        open.set(true);
    };
    let accounts = RwSignal::new(false);
    let linking = RwSignal::new(false);
    let asked = RwSignal::new(None::<User>);
    let show = move |user: User, dialog: RwSignal<bool>| {
        asked.set(Some(user));
        dialog.set(true);
    };
    let table = TableSpec::new(move |ask| ask.get("users"), |user: &User| user.id.to_string())
        .column(
            Column::new("login", t().account.login, |user: &User| {
                view! {
                    <span class="two">
                        <span class="strong">{user.display_name.clone()}</span>
                        <span>{user.login.clone()}</span>
                    </span>
                }
            })
            .sort()
            .grow(2),
        )
        .column(
            Column::new("email", t().account.email, |user: &User| {
                user.email.clone().unwrap_or_default()
            })
            .grow(2),
        )
        .column(Column::new("identities", t().sign_in.accounts_column, ways_in).grow(2))
        .column(
            Column::new("global_role", t().account.global_role, |user: &User| {
                view! { <StatePill state=user.global_role /> }
            })
            .sort()
            .width(9.0),
        )
        .column(
            Column::new(
                "state",
                t().common.state,
                |user: &User| view! { <StatePill state=user.state /> },
            )
            .sort()
            .width(8.0),
        )
        .column(
            Column::new("last_sign_in_at", words.last_sign_in, |user: &User| {
                view! { <TimeAgoOr at=user.last_sign_in_at /> }
            })
            .sort()
            .width(9.0),
        )
        .name(|user| user.display_name.clone())
        .open(move |user| edit(Some(user.clone())))
        .actions(move |user| {
            let mut items = row_actions(user, me() == Some(user.id), edit, reload);
            items.splice(
                1..1,
                account_actions(user, reload, move |user, link| {
                    show(user, if link { linking } else { accounts });
                }),
            );
            items
        })
        .sorted("login")
        .live(&[Topic::User, Topic::Provider])
        .reload_on(reload);
    let title = Signal::derive(move || match edited.get() {
        Some(user) => fill(words.edit_user, &[("name", &user.display_name)]),
        None => words.new_user.to_owned(),
    });
    view! {
        <Page
            title=words.users
            sub=words.users_text
            actions=move || {
                view! {
                    <Button
                        look=Look::Primary
                        icon=Glyph::Plus
                        label=words.new_user
                        on_click=move |_| edit(None)
                    />
                }
            }
        >
            <Table spec=table label=words.users />
            <Dialog open=open title=title>
                {move || match edited.get() {
                    Some(user) => view! { <EditUser user=user open=open reload=reload /> }.into_any(),
                    None => view! { <NewUser open=open reload=reload /> }.into_any(),
                }}
            </Dialog>
            <Dialog open=accounts title=asked_title(asked, t().sign_in.accounts_of) wide=true>
                {move || asked.get().map(|user| view! { <UserAccounts user=user reload=reload /> })}
            </Dialog>
            <Dialog open=linking title=asked_title(asked, t().sign_in.link_title)>
                {move || asked.get().map(|user| view! { <LinkAccounts user=user open=linking reload=reload /> })}
            </Dialog>
        </Page>
    }
}

fn asked_title(asked: RwSignal<Option<User>>, text: &'static str) -> Signal<String> {
    Signal::derive(move || {
        asked.with(|user| {
            user.as_ref()
                .map(|user| fill(text, &[("name", &user.display_name)]))
                .unwrap_or_default()
        })
    })
}

/// What an administrator can do with a user's ways to sign in. `show` opens the page of them, or
/// that which links two accounts.
fn account_actions(
    user: &User,
    reload: Trigger,
    show: impl Fn(User, bool) + Copy + Send + Sync + 'static,
) -> Vec<MenuItem> {
    let words = &t().sign_in;
    let (shown, linked, refreshed) = (user.clone(), user.clone(), user.clone());
    vec![
        MenuItem::action(Glyph::IdCard, words.accounts, move || show(shown.clone(), false)),
        MenuItem::action(Glyph::Refresh, words.refresh_groups, move || {
            let user = refreshed.clone();
            spawn_local(async move {
                if refresh_groups(&user).await.is_some() {
                    reload.notify();
                }
            });
        })
        .disabled_if(user.identities.is_empty()),
        MenuItem::action(Glyph::Users, words.link, move || show(linked.clone(), true)),
    ]
}

fn row_actions(
    user: &User,
    myself: bool,
    edit: impl Fn(Option<User>) + Copy + Send + Sync + 'static,
    reload: Trigger,
) -> Vec<MenuItem> {
    let words = &t().admin;
    let (user, name) = (user.clone(), user.display_name.clone());
    let id = user.id;
    let set_state = move |state: UserState| async move {
        let update = UpdateUser { state: Some(state), ..Default::default() };
        api::patch(format!("users/{id}"), &update).done().await?;
        reload.notify();
        Ok(())
    };
    let switch = match user.state {
        UserState::Active => {
            let title = fill(words.deactivate_title, &[("name", &name)]);
            MenuItem::action(Glyph::Pause, words.deactivate, move || {
                Confirm::new(title.clone(), words.deactivate_user_text)
                    .ask(words.deactivate, move || set_state(UserState::Inactive));
            })
            .disabled_if(myself)
        }
        UserState::Inactive => MenuItem::action(Glyph::Play, words.activate, move || {
            spawn_local(async move {
                if let Err(error) = set_state(UserState::Active).await {
                    use_toasts().error(&error);
                }
            });
        }),
    };
    let login = user.login.clone();
    let remove = MenuItem::danger(Glyph::Trash, t().common.delete, move || {
        let done = fill(words.user_deleted, &[("name", &name)]);
        Confirm::new(words.delete_user_title, words.delete_user_text)
            .names(vec![format!("{name} ({login})")])
            .type_name(&login)
            .ask(t().common.delete, move || {
                let done = done.clone();
                async move {
                    api::delete(format!("users/{id}")).done().await?;
                    use_toasts().success(done);
                    reload.notify();
                    Ok(())
                }
            });
    })
    .disabled_if(myself);
    let edit_item =
        MenuItem::action(Glyph::Edit, t().common.edit, move || edit(Some(user.clone())));
    vec![edit_item, switch, MenuItem::Separator, remove]
}

fn role_choices() -> Vec<(String, String, String)> {
    let words = &t().admin;
    [(GlobalRole::User, words.role_user_help), (GlobalRole::Admin, words.role_admin_help)]
        .map(|(role, help)| (role.as_str().to_owned(), role.label().to_owned(), help.to_owned()))
        .into()
}

#[component]
fn NewUser(open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().admin;
    let form = Form::new();
    let text = || RwSignal::new(String::new());
    let (login, name, email, password) = (text(), text(), text(), text());
    let role = RwSignal::new(GlobalRole::User.as_str().to_owned());
    let submit = move |()| {
        let given = |text: RwSignal<String>| {
            Some(text.get_untracked()).filter(|text| !text.trim().is_empty())
        };
        let input = CreateUser {
            login: login.get_untracked(),
            display_name: given(name),
            email: given(email),
            password: password.get_untracked(),
            global_role: GlobalRole::parse(&role.get_untracked()),
        };
        form.submit(
            move || async move { api::post("users", &input).json::<User>().await },
            move |user| {
                open.set(false);
                reload.notify();
                use_toasts().success(fill(words.user_created, &[("name", &user.display_name)]));
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField
                form=form
                name="login"
                label=t().account.login
                value=login
                help=words.login_help
                focus=true
            />
            <TextField form=form name="display_name" label=t().account.display_name value=name optional=true />
            <TextField form=form name="email" label=t().account.email value=email kind="email" optional=true />
            <TextField
                form=form
                name="password"
                label=t().account.password
                value=password
                kind="password"
                autocomplete="new-password"
                help=t().account.password_help
            />
            <Choices label=t().account.global_role value=role options=role_choices() />
            <FormActions form=form label=t().common.create on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn EditUser(user: User, open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().admin;
    let form = Form::new();
    let (id, version, old) = (user.id, user.version, user.clone());
    // Who signs in elsewhere may get a password here too.
    let (label, help) = match user.has_password {
        true => (words.reset_password, words.reset_password_text),
        false => (t().sign_in.give_password, t().sign_in.give_password_text),
    };
    let name = RwSignal::new(user.display_name);
    let email = RwSignal::new(user.email.unwrap_or_default());
    let role = RwSignal::new(user.global_role.as_str().to_owned());
    let password = RwSignal::new(String::new());
    let login = RwSignal::new(user.login);
    let submit = move |()| {
        let changed = |new: String, old: &str| (new != old).then_some(new);
        let input = UpdateUser {
            display_name: changed(name.get_untracked(), &old.display_name),
            email: changed(email.get_untracked(), old.email.as_deref().unwrap_or_default())
                .map(|email| Some(email).filter(|email| !email.trim().is_empty())),
            global_role: GlobalRole::parse(&role.get_untracked())
                .filter(|role| *role != old.global_role),
            password: Some(password.get_untracked()).filter(|password| !password.is_empty()),
            state: None,
        };
        form.submit(
            move || async move {
                api::patch(format!("users/{id}"), &input).if_match(version).json::<User>().await
            },
            move |user| {
                open.set(false);
                reload.notify();
                use_toasts().success(fill(words.user_saved, &[("name", &user.display_name)]));
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().account.login value=login help=words.login_keeps disabled=true />
            <TextField form=form name="display_name" label=t().account.display_name value=name focus=true />
            <TextField form=form name="email" label=t().account.email value=email kind="email" optional=true />
            <Choices label=t().account.global_role value=role options=role_choices() />
            <TextField
                form=form
                name="password"
                label=label
                value=password
                kind="password"
                autocomplete="new-password"
                help=help
                optional=true
            />
            <FormActions form=form label=t().common.save on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
