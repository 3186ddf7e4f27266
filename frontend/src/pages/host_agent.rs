//! A host's agent: its version and how that fits, its upgrade, the warning of a copy of it.

use drover_api::{AgentFit, Host, HostAgent, Permission};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api,
    components::*,
    environment::Env,
    format,
    i18n::{fill, machines},
    icons::Glyph,
    remote::Remote,
    states::{Stated, Tone},
};

impl Stated for AgentFit {
    fn tone(self) -> Tone {
        match self {
            Self::Current => Tone::Ok,
            Self::Outdated => Tone::Info,
            Self::TooOld => Tone::Bad,
            Self::Newer | Self::Unknown => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = machines();
        match self {
            Self::Current => words.current,
            Self::Outdated => words.outdated,
            Self::TooOld => words.too_old,
            Self::Newer => words.newer,
            Self::Unknown => words.never_connected,
        }
    }
}

/// Whether the server offers its agent a newer version.
pub(super) fn is_old(host: &Host) -> bool {
    let fit = host.agent.as_ref().map(|agent| agent.fit);
    matches!(fit, Some(AgentFit::Outdated | AgentFit::TooOld))
}

/// Whether an upgrade of its agent is under way.
pub(super) fn is_upgrading(host: &Host) -> bool {
    host.agent.as_ref().is_some_and(|agent| upgrading(agent).is_some())
}

/// The version that it is to have, while an upgrade is under way.
fn upgrading(agent: &HostAgent) -> Option<String> {
    let upgrade = agent.upgrade.as_ref().filter(|upgrade| upgrade.error.is_none())?;
    (upgrade.version != agent.version).then(|| upgrade.version.clone())
}

/// The version, and how it fits where that is not as it should be.
#[component]
pub(super) fn AgentVersion(agent: HostAgent) -> impl IntoView {
    let under = match upgrading(&agent) {
        Some(version) => {
            let text = fill(machines().upgrading, &[("version", &version)]);
            Some(view! { <Badge tone=Tone::Info label=text /> }.into_any())
        }
        None if matches!(agent.fit, AgentFit::Current) => None,
        None => Some(view! { <StatePill state=agent.fit /> }.into_any()),
    };
    view! {
        <span class="two">
            {(!agent.version.is_empty()).then(|| view! { <span class="nums">{agent.version.clone()}</span> })}
            {under.map(|under| view! { <span>{under}</span> })}
        </span>
    }
}

/// A copy of the machine that tries to be this host: what to do.
pub(super) fn clone_warning(agent: &HostAgent) -> Option<AnyView> {
    let words = machines();
    let clone = agent.clone.as_ref()?;
    let values = [
        ("hostname", clone.hostname.as_str()),
        ("address", clone.address.as_str()),
        ("time", &format::date_time(clone.at)),
    ];
    let text = fill(words.clone_text, &values);
    Some(
        view! {
            <Notice tone=Tone::Bad>
                <div class="strong">{words.clone_title}</div>
                <div>{text}</div>
            </Notice>
        }
        .into_any(),
    )
}

/// The card of a host's agent.
#[component]
pub(super) fn AgentCard(
    env: Env,
    /// The host's path in the API.
    path: String,
    host: Remote<Host>,
    agent: HostAgent,
) -> impl IntoView {
    let words = machines();
    let name = host.look(|host| host.map(|host| host.name.clone())).unwrap_or_default();
    let since = if agent.connected { words.connected_since } else { words.last_heard };
    let mut rows = vec![
        (
            words.agent,
            view! {
                <span class="row-wrap">
                    {(!agent.version.is_empty()).then(|| agent.version.clone())}
                    <StatePill state=agent.fit />
                </span>
            }
            .into_any(),
        ),
        (since, view! { <TimeAgoOr at=agent.since /> }.into_any()),
    ];
    if let Some(address) = agent.address.clone() {
        rows.push((
            words.from_address,
            view! { <span class="mono break">{address}</span> }.into_any(),
        ));
    }
    let progress = upgrading(&agent).map(|version| {
        view! { <Notice>{fill(words.upgrading, &[("version", &version)])}</Notice> }
    });
    let failed = agent.upgrade.as_ref().and_then(|upgrade| {
        let error = upgrade.error.as_ref()?;
        let values = [("version", upgrade.version.as_str()), ("error", error)];
        Some(fill(words.upgrade_failed, &values))
    });
    let failed = failed.map(|text| view! { <Notice tone=Tone::Bad>{text}</Notice> });
    let too_old = (agent.fit == AgentFit::TooOld)
        .then(|| view! { <Notice tone=Tone::Warn>{words.too_old_text}</Notice> });
    let busy = RwSignal::new(false);
    let upgrade = move |_| {
        let (path, name) = (format!("{path}/agent/upgrade"), name.clone());
        busy.set(true);
        spawn_local(async move {
            match api::post(path, &()).json::<Host>().await {
                Ok(newer) => {
                    use_toasts().success(fill(words.upgrade_asked, &[("name", &name)]));
                    host.set(newer);
                }
                Err(error) => use_toasts().error(&error),
            }
            busy.try_set(false);
        });
    };
    let offered =
        matches!(agent.fit, AgentFit::Outdated | AgentFit::TooOld) && upgrading(&agent).is_none();
    let button = (offered && env.may(Permission::ManageHosts)).then(|| {
        view! {
            <div class="row">
                <Button icon=Glyph::Upgrade label=words.upgrade busy=busy on_click=upgrade />
            </div>
        }
    });
    view! {
        <Card title=words.agent>
            <div class="stack">
                <KeyValues rows=rows />
                {progress} {failed} {too_old} {button}
            </div>
        </Card>
    }
    .into_any()
}
