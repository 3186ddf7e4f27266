use drover_api::{BrowserSession, ChangePassword, List};
use leptos::prelude::*;

use crate::{
    api, components::*, frame::sign_out_everywhere, i18n::t, icons::Glyph, remote::Remote,
    session::use_session, states::Tone,
};

/// Who one is, and where one is signed in.
#[component]
pub fn Profile() -> impl IntoView {
    let words = &t().account;
    let session = use_session();
    let sessions = Remote::new(|| api::get("session/all").json::<List<BrowserSession>>());
    let me = move || {
        session.user().map(|user| {
            view! {
                <KeyValues rows=vec![
                    (words.display_name, view! { {user.display_name} }.into_any()),
                    (words.login, view! { <code>{user.login}</code> }.into_any()),
                    (words.global_role, view! { <StatePill state=user.global_role /> }.into_any()),
                ] />
            }
        })
    };
    let everywhere = move || {
        view! {
            <Button
                small=true
                icon=Glyph::SignOut
                label=t().frame.sign_out_everywhere
                on_click=move |_| sign_out_everywhere(session)
            />
        }
    };
    view! {
        <Page title=words.profile narrow=true>
            <Card>{me}</Card>
            <Card title=words.sessions extra=everywhere flush=true>
                <Loaded remote=sessions lines=3 let:list>
                    <div class="scroll-x">
                        <table class="plain-table">
                            <thead>
                                <tr>
                                    <th>{words.browser}</th>
                                    <th>{words.address}</th>
                                    <th>{words.signed_in}</th>
                                    <th>{words.last_seen}</th>
                                    <th><span class="sr-only">{t().common.actions}</span></th>
                                </tr>
                            </thead>
                            <tbody>
                                {move || {
                                    list.get()
                                        .items
                                        .into_iter()
                                        .map(|one| session_row(one, sessions))
                                        .collect_view()
                                }}
                            </tbody>
                        </table>
                    </div>
                </Loaded>
            </Card>
        </Page>
    }
}

fn session_row(one: BrowserSession, sessions: Remote<List<BrowserSession>>) -> impl IntoView {
    let words = &t().account;
    let id = one.id;
    let end = move |_| {
        Confirm::new(words.end_session, words.sessions_text).ask(
            words.end_session,
            move || async move {
                api::delete(format!("session/all/{id}")).done().await?;
                use_toasts().success(words.session_ended);
                sessions.reload();
                Ok(())
            },
        );
    };
    let action = if one.current {
        view! { <Badge label=words.this_session tone=Tone::Ok /> }.into_any()
    } else {
        view! { <Button small=true label=words.end_session on_click=end /> }.into_any()
    };
    view! {
        <tr>
            <td title=one.user_agent.clone()>{browser_name(&one.user_agent)}</td>
            <td class="mono">{one.address}</td>
            <td><TimeAgo at=one.created_at /></td>
            <td><TimeAgo at=one.last_seen_at /></td>
            <td class="table-end">{action}</td>
        </tr>
    }
}

/// `Firefox · Linux` for a browser that calls itself something much longer.
fn browser_name(agent: &str) -> String {
    let first = |names: &[&'static str]| names.iter().copied().find(|name| agent.contains(name));
    // In this order: each of them also claims to be those after it.
    let browser =
        match first(&["Edg", "OPR", "Firefox", "HeadlessChrome", "Chrome", "Safari", "curl"]) {
            Some("Edg") => "Edge",
            Some("OPR") => "Opera",
            Some("HeadlessChrome") => "Chrome (headless)",
            Some(name) => name,
            None => return agent.chars().take(40).collect(),
        };
    match first(&["Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux"]) {
        Some(system) => format!("{browser} · {}", system.trim_end_matches(" X")),
        None => browser.to_owned(),
    }
}

/// Changes one's own password.
#[component]
pub fn Password() -> impl IntoView {
    let words = &t().account;
    let form = Form::new();
    let text = || RwSignal::new(String::new());
    let (current, new, again) = (text(), text(), text());
    let submit = move |()| {
        if new.get_untracked() != again.get_untracked() {
            return form.fail_field("again", words.passwords_differ);
        }
        let input = ChangePassword {
            current_password: current.get_untracked(),
            new_password: new.get_untracked(),
        };
        form.submit(
            move || async move { api::put("session/password", &input).done().await },
            move |()| {
                for field in [current, new, again] {
                    field.set(String::new());
                }
                use_toasts().success(words.password_changed);
            },
        );
    };
    view! {
        <Page title=words.change_password sub=words.change_password_text narrow=true>
            <div class="narrow">
                <Card>
                    <FormView form=form on_submit=submit>
                        <TextField
                            form=form
                            name="current_password"
                            label=words.current_password
                            value=current
                            kind="password"
                            autocomplete="current-password"
                            focus=true
                        />
                        <TextField
                            form=form
                            name="new_password"
                            label=words.new_password
                            value=new
                            kind="password"
                            autocomplete="new-password"
                            help=words.password_help
                        />
                        <TextField
                            form=form
                            name="again"
                            label=words.repeat_password
                            value=again
                            kind="password"
                            autocomplete="new-password"
                        />
                        <FormActions form=form label=words.change_password />
                    </FormView>
                </Card>
            </div>
        </Page>
    }
}

#[cfg(test)]
mod tests {
    use super::browser_name;

    #[test]
    fn browsers_are_named_shortly() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36 Edg/120.0";
        assert_eq!(browser_name(edge), "Edge · Windows");
        let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15";
        assert_eq!(browser_name(safari), "Safari · Mac OS");
        assert_eq!(browser_name("curl/8.0"), "curl");
        assert_eq!(browser_name("something else"), "something else");
    }
}
