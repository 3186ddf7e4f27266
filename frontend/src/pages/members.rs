use drover_api::{Member, Permission, Principal, Role, SetMember, Topic};
use leptos::{prelude::*, task::spawn_local};

use super::{
    people::People,
    principal_picker::{PrincipalPicker, principal_line, provider_words},
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::Glyph,
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
    let members = move || member_table(env, may, add, reload);
    let people = move || view! { <People env=env /> };
    view! {
        <Page title=words.members sub=words.members_text actions=add>
            <Tabs
                label=words.members
                tabs=vec![
                    Tab::new("members", words.members, members),
                    Tab::new("people", t().sign_in.who_has_access, people),
                ]
            />
            <Dialog open=open title=words.add_member>
                <AddMember env=env open=open reload=reload />
            </Dialog>
        </Page>
    }
}

fn member_table<V: IntoView + 'static>(
    env: Env,
    may: Signal<bool>,
    add: impl Fn() -> V + Copy + Send + Sync + 'static,
    reload: Trigger,
) -> AnyView {
    let words = &t().environment;
    let table = TableSpec::new(
        move |ask| ask.get(env.api("members")),
        |member: &Member| member.principal.id.clone(),
    )
    .column(
        Column::new("name", words.member, |member: &Member| {
            view! { <span class="row">{principal_line(&member.principal, true)}</span> }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("role", words.role, move |member: &Member| {
            let member = member.clone();
            move || match may.get() {
                true => {
                    view! { <RoleSelect env=env member=member.clone() reload=reload /> }.into_any()
                }
                false => view! { <StatePill state=member.role title=role_help(member.role) /> }
                    .into_any(),
            }
        })
        .sort()
        .width(11.0),
    )
    .column(
        Column::new("provider", words.provider, |member: &Member| {
            let provider = provider_words(&member.principal);
            view! { <span title=provider.clone()>{provider.clone()}</span> }
        })
        .grow(1),
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
    view! { <Table spec=table label=words.members /> }.into_any()
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
    let chosen = RwSignal::new(None::<Principal>);
    let role = RwSignal::new(Role::Member.as_str().to_owned());
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
    let ids = Signal::derive(move || {
        chosen.with(|chosen| chosen.iter().map(|one| one.id.clone()).collect::<Vec<_>>())
    });
    let roles = Role::ALL
        .map(|role| (role.as_str().to_owned(), role.label().to_owned(), role_help(role).to_owned()))
        .into();
    view! {
        <FormView form=form on_submit=submit>
            <PrincipalPicker label=words.member_search chosen=ids on_pick=move |one| chosen.set(Some(one)) />
            {move || chosen.get().map(|one| view! { <div class="picked">{principal_line(&one, true)}</div> })}
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
