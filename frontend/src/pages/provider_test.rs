//! The test of an identity provider, and its report.

use drover_api::{TestProvider, TestReport, TestSignIn, TestStep, TestStepKind, TestedPerson};
use leptos::prelude::*;

use super::{
    principal_picker::principal_line,
    provider::{switch_button, takes_passwords},
    providers::Provider,
};
use crate::{
    api,
    components::*,
    i18n::{fill, plural, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::Tone,
};

/// Tests the settings (the draft, if there is one), and shows what the last test found.
#[component]
pub(super) fn TestTab(provider: Signal<Provider>, remote: Remote<Provider>) -> impl IntoView {
    let words = &t().sign_in;
    let form = Form::new();
    let (login, password) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (id, kind) = provider.with_untracked(|p| (p.id, p.kind));
    let passwords = takes_passwords(kind);
    // Which of the two buttons is at work.
    let connecting = RwSignal::new(false);
    let run = move |input: TestProvider| {
        let path = format!("identity-providers/{id}/test");
        form.submit(
            move || async move { api::post(path, &input).json::<TestReport>().await },
            move |report| {
                // Shown at once; whether it may be switched on now comes with the next answer.
                if let Some(mut newest) = remote.look(|now| now.cloned()) {
                    newest.last_test = Some(report);
                    remote.set(newest);
                }
                remote.reload();
                _ = password.try_set(String::new());
            },
        );
    };
    let connection = move |_| {
        connecting.set(true);
        run(TestProvider::default());
    };
    let leave = move || {
        form.submit(
            move || async move {
                let path = format!("identity-providers/{id}/test-sign-in");
                api::post(path, &()).json::<TestSignIn>().await
            },
            // A page of the provider's: it sends the browser back here.
            move |to| _ = window().location().set_href(&to.url),
        );
    };
    let submit = move |()| {
        connecting.set(false);
        if passwords {
            run(TestProvider {
                login: Some(login.get_untracked()),
                password: Some(password.get_untracked()),
            });
        } else {
            leave();
        }
    };
    let busy = form.busy();
    let empty = Signal::derive(move || {
        passwords
            && (login.with(|login| login.trim().is_empty()) || password.with(String::is_empty))
    });
    let fields = passwords.then(|| {
        view! {
            <div class="form-row">
                <TextField form=form name="login" label=t().account.login value=login />
                <TextField form=form name="password" label=t().account.password value=password kind="password" autocomplete="new-password" />
            </div>
        }
    });
    let text = if passwords { words.test_text } else { words.test_text_redirect };
    let report = Memo::new(move |_| provider.with(|p| p.last_test.clone()));
    view! {
        <Card title=words.test>
            <FormView form=form on_submit=submit>
                <p class="muted">
                    {text} {move || provider.with(|p| p.draft.is_some()).then(|| format!(" {}", words.test_draft))}
                </p>
                {fields}
                <FormProblem form=form />
                <div class="row-wrap">
                    <Button
                        look=Look::Primary
                        icon=Glyph::Bolt
                        label=words.test_sign_in
                        submit=true
                        busy=Signal::derive(move || busy.get() && !connecting.get())
                        disabled=Signal::derive(move || busy.get() || empty.get())
                    />
                    <Button
                        label=words.test_connection
                        busy=Signal::derive(move || busy.get() && connecting.get())
                        disabled=busy
                        on_click=connection
                    />
                </div>
            </FormView>
        </Card>
        <div aria-live="polite" class="stack">
            {move || match report.get() {
                Some(report) => view_report(report, provider, remote),
                None => view! { <Card><Empty glyph=Glyph::Bolt title=words.test_none text=words.test_none_text /></Card> }
                    .into_any(),
            }}
        </div>
    }
}

fn view_report(
    report: TestReport,
    provider: Signal<Provider>,
    remote: Remote<Provider>,
) -> AnyView {
    let words = &t().sign_in;
    let failed = report.steps.iter().find(|step| !step.ok).map(|step| step_name(step.step));
    let (tone, sentence) = match (failed, report.signed_in) {
        (Some(step), _) => (Tone::Bad, fill(words.report_failed, &[("step", step)])),
        (None, true) => (Tone::Ok, words.report_worked.to_owned()),
        (None, false) => (Tone::Info, words.report_connection.to_owned()),
    };
    let steps = report.steps.into_iter().map(view_step).collect_view();
    let (at, draft) = (report.at, report.draft);
    let when = move || {
        view! {
            <span class="small faint">
                <TimeAgo at=at /> {draft.then(|| format!(" · {}", words.report_of_draft))}
            </span>
        }
    };
    let next = move || {
        provider.with(|p| (p.tested && !p.enabled).then(|| p.clone())).map(|ready| {
            view! {
                <Notice>
                    <div class="row-wrap between">
                        <div class="danger-text">
                            <div class="strong">{words.next_on}</div>
                            {words.next_on_text}
                        </div>
                        {switch_button(&ready, remote)}
                    </div>
                </Notice>
            }
        })
    };
    view! {
        {next}
        <Card title=words.report extra=when>
            <div class="stack">
                <Notice tone=tone>{sentence}</Notice>
                <ol class="checks">{steps}</ol>
            </div>
        </Card>
        {report.person.map(view_person)}
    }
    .into_any()
}

fn view_step(step: TestStep) -> AnyView {
    let (glyph, tone) = match step.ok {
        true => (Glyph::CheckCircle, "tone-ok"),
        false => (Glyph::Error, "tone-bad"),
    };
    let took = match step.duration_ms {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => crate::format::duration(ms as f64),
    };
    view! {
        <li data-ok=step.ok.to_string()>
            <Icon glyph=glyph class=tone size=18 />
            <div class="grow">
                <div class="row between">
                    <span class="strong">{step_name(step.step)}</span>
                    <span class="small faint nums tight">{took}</span>
                </div>
                <div class="break">{step.message}</div>
                {step.detail.map(|detail| view! { <pre class="code wrap">{detail}</pre> })}
            </div>
        </li>
    }
    .into_any()
}

fn step_name(step: TestStepKind) -> &'static str {
    let words = &t().sign_in;
    match step {
        TestStepKind::Connection => words.step_connection,
        TestStepKind::Tls => words.step_tls,
        TestStepKind::Bind => words.step_bind,
        TestStepKind::UserSearch => words.step_user_search,
        TestStepKind::UserBind => words.step_user_bind,
        TestStepKind::Groups => words.step_groups,
        TestStepKind::Discovery => words.step_discovery,
        TestStepKind::Keys => words.step_keys,
        TestStepKind::Client => words.step_client,
        TestStepKind::Token => words.step_token,
        TestStepKind::IdToken => words.step_id_token,
        TestStepKind::User => words.step_user,
    }
}

fn view_person(person: TestedPerson) -> AnyView {
    let words = &t().sign_in;
    let rules = match person.refused {
        Some(reason) => view! {
            <Notice tone=Tone::Warn>{fill(words.would_not_enter, &[("reason", &reason)])}</Notice>
        }
        .into_any(),
        None => view! { <Notice tone=Tone::Ok>{words.would_enter}</Notice> }.into_any(),
    };
    let principal = person.principal;
    let mut rows = vec![(t().common.name, view! { {principal.name} }.into_any())];
    let code = |text: String| view! { <code class="break">{text}</code> }.into_any();
    for (name, value) in [
        (t().account.login, principal.login),
        (t().account.email, person.email),
        (words.place, principal.detail),
        (words.principal, Some(principal.id)),
    ] {
        if let Some(value) = value {
            rows.push((name, code(value)));
        }
    }
    view! {
        <Card title=words.person>
            <div class="stack">{rules} <KeyValues rows=rows /> {group_list(person.groups)}</div>
        </Card>
    }
    .into_any()
}

/// Groups, counted; many of them in a list that scrolls.
pub(super) fn group_list(groups: Vec<drover_api::Principal>) -> AnyView {
    let words = &t().sign_in;
    if groups.is_empty() {
        return view! { <p class="faint">{words.no_groups_found}</p> }.into_any();
    }
    let count = plural(groups.len() as u64, words.groups_found);
    let lines =
        groups.iter().map(|group| view! { <li>{principal_line(group, false)}</li> }).collect_view();
    view! {
        <div class="stack-s">
            <span class="field-label">{count}</span>
            <ul class="line-list line-list-scroll" tabindex="0">{lines}</ul>
        </div>
    }
    .into_any()
}
