use drover_api::{List, Member, Permission, Principal, PrincipalKind, Role, SetMember, Topic};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, role_help},
};

/// An environment's members and their roles.
#[component]
pub fn Members() -> impl IntoView {
    let words = &t().environment;
    let env = use_env();
    let may = Signal::derive(move || env.may(Permission::ManageEnvironment));
    let open = RwSignal::new(false);
    let reload = Trigger::new();
    let add = move || {
        may.get().then(|| {
            view! {
                <Button
                    look=Look::Primary
                    icon=Glyph::Plus
                    label=words.add_member
                    on_click=move |_| open.set(true)
                />
            }
        })
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api("members")),
        |member: &Member| member.principal.id.clone(),
    )
    .column(
        Column::new("name", words.member, |member: &Member| {
            let principal = member.principal.clone();
            view! {
                <span class="row">
                    <Icon
                        glyph=if principal.kind == PrincipalKind::Group { Glyph::Users } else { Glyph::User }
                        class="faint"
                    />
                    <span class="two">
                        <span class="strong">{principal.name}</span>
                        <span>{principal.login}</span>
                    </span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("role", words.role, move |member: &Member| {
            let member = member.clone();
            move || match may.get() {
                true => view! { <RoleSelect env=env member=member.clone() reload=reload /> }.into_any(),
                false => {
                    view! { <StatePill state=member.role title=role_help(member.role) /> }.into_any()
                }
            }
        })
        .sort()
        .width(11.0),
    )
    .column(
        Column::new("provider", words.provider, |member: &Member| provider_name(&member.principal))
            .width(9.0),
    )
    .column(
        Column::new("created_at", words.since, |member: &Member| {
            view! { <TimeAgo at=member.created_at /> }
        })
        .sort()
        .width(8.0),
    )
    .name(|member| member.principal.name.clone())
    .actions(move |member| {
        let (id, name) = (member.principal.id.clone(), member.principal.name.clone());
        let remove = MenuItem::danger(Glyph::Trash, t().common.remove, move || {
            let path = env.api(&format!("members/{}", api::encode(&id)));
            let done = fill(words.removed, &[("name", &name)]);
            Confirm::new(words.remove_title, words.remove_text).names(vec![name.clone()]).ask(
                t().common.remove,
                move || {
                    let (path, done) = (path.clone(), done.clone());
                    async move {
                        api::delete(path).done().await?;
                        use_toasts().success(done);
                        reload.notify();
                        Ok(())
                    }
                },
            );
        });
        vec![remove.disabled_if(!may.get_untracked())]
    })
    .sorted("name")
    .live(&[Topic::Environment])
    .empty(move || {
        view! {
            <Empty glyph=Glyph::Users title=words.no_members text=words.no_members_text>
                {add}
            </Empty>
        }
    })
    .reload_on(reload);
    view! {
        <Page title=words.members sub=words.members_text actions=add>
            <Table spec=table label=words.members />
            <Dialog open=open title=words.add_member>
                <AddMember env=env open=open reload=reload />
            </Dialog>
        </Page>
    }
}

fn provider_name(principal: &Principal) -> String {
    match principal.provider.as_str() {
        "local" => t().environment.provider_local.to_owned(),
        other => other.to_owned(),
    }
}

fn role_options() -> Vec<(String, String)> {
    Role::ALL.map(|role| (role.as_str().to_owned(), role.label().to_owned())).into()
}

#[component]
fn RoleSelect(env: Env, member: Member, reload: Trigger) -> impl IntoView {
    let words = &t().environment;
    let role = RwSignal::new(member.role.as_str().to_owned());
    Effect::new(move |before: Option<()>| {
        let wanted = Role::parse(&role.get());
        let (Some(()), Some(wanted)) = (before, wanted) else { return };
        let input = SetMember { principal_id: member.principal.id.clone(), role: wanted };
        let done = fill(words.role_changed, &[("name", &member.principal.name)]);
        spawn_local(async move {
            match api::put(env.api("members"), &input).done().await {
                Ok(()) => use_toasts().success(done),
                Err(error) => use_toasts().error(&error),
            }
            reload.notify();
        });
    });
    view! { <Select label=words.role value=role options=role_options() /> }
}

#[component]
fn AddMember(env: Env, open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().environment;
    let form = Form::new();
    let q = RwSignal::new(String::new());
    let chosen = RwSignal::new(None::<Principal>);
    let role = RwSignal::new(Role::Member.as_str().to_owned());
    let found =
        Remote::new(move || api::get("principals").query("q", q.get()).json::<List<Principal>>());
    let submit = move |()| {
        let (Some(principal), Some(role)) =
            (chosen.get_untracked(), Role::parse(&role.get_untracked()))
        else {
            return;
        };
        let input = SetMember { principal_id: principal.id, role };
        let done = fill(words.member_added, &[("name", &principal.name)]);
        form.submit(
            move || async move { api::put(env.api("members"), &input).done().await },
            move |()| {
                open.set(false);
                reload.notify();
                use_toasts().success(done);
            },
        );
    };
    let roles = Role::ALL
        .map(|role| (role.as_str().to_owned(), role.label().to_owned(), role_help(role).to_owned()))
        .into();
    view! {
        <FormView form=form on_submit=submit>
            <div class="field">
                <span class="field-label">{words.member}</span>
                <SearchBox label=words.member_search value=q />
                <div class="pick-list" role="listbox" aria-label=words.member_search>
                    <Loaded remote=found lines=3 let:list>
                        {move || {
                            let list = list.get().items;
                            if list.is_empty() {
                                return view! { <p class="faint pick-none">{t().common.nothing_matches}</p> }
                                    .into_any();
                            }
                            list.into_iter().map(|principal| pick(principal, chosen)).collect_view().into_any()
                        }}
                    </Loaded>
                </div>
            </div>
            <Choices label=words.role value=role options=roles />
            <FormActions
                form=form
                label=words.add_member
                disabled=Signal::derive(move || chosen.with(Option::is_none))
                on_cancel=move |()| open.set(false)
            />
        </FormView>
    }
}

fn pick(principal: Principal, chosen: RwSignal<Option<Principal>>) -> impl IntoView {
    let id = principal.id.clone();
    let is_chosen = Memo::new(move |_| {
        chosen.with(|chosen| chosen.as_ref().is_some_and(|chosen| chosen.id == id))
    });
    let choose = principal.clone();
    view! {
        <button
            type="button"
            role="option"
            class="menu-item"
            aria-selected=move || is_chosen.get().to_string()
            on:click=move |_| chosen.set(Some(choose.clone()))
        >
            <Icon glyph=if principal.kind == PrincipalKind::Group { Glyph::Users } else { Glyph::User } />
            <span>{principal.name.clone()} " " <span class="faint">{principal.login.clone()}</span></span>
            {move || is_chosen.get().then(|| view! { <Icon glyph=Glyph::Check class="tone-accent" /> })}
        </button>
    }
}
