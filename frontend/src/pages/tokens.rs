//! The registration tokens of an environment.

use drover_api::{Permission, RegistrationToken, RegistrationTokenState, Topic};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::use_env,
    i18n::{fill, machines, t},
    icons::Glyph,
    states::{Stated, Tone},
};

impl Stated for RegistrationTokenState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Expired | Self::UsedUp | Self::Revoked => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = machines();
        match self {
            Self::Active => words.token_active,
            Self::Expired => words.token_expired,
            Self::UsedUp => words.token_used,
            Self::Revoked => words.token_revoked,
        }
    }
}

/// The page.
#[component]
pub fn RegistrationTokens() -> impl IntoView {
    let words = machines();
    let env = use_env();
    let reload = Trigger::new();
    let revoke = move |token: &RegistrationToken| {
        let path = env.api(&format!("registration-tokens/{}", token.id));
        let name = if token.name.is_empty() { &token.prefix } else { &token.name };
        let name = name.clone();
        MenuItem::danger(Glyph::Trash, words.revoke, move || {
            let path = path.clone();
            Confirm::new(words.revoke_title, words.revoke_text).names(vec![name.clone()]).ask(
                words.revoke,
                move || {
                    let path = path.clone();
                    async move {
                        api::delete(path).done().await?;
                        reload.notify();
                        Ok(())
                    }
                },
            );
        })
        .disabled_if(token.state != RegistrationTokenState::Active)
    };
    let table = TableSpec::new(
        move |_| api::get(env.api("registration-tokens")),
        |token: &RegistrationToken| token.id.to_string(),
    )
    .column(
        Column::new("name", words.token, |token: &RegistrationToken| {
            let name = match token.name.as_str() {
                "" => words.unnamed.to_owned(),
                name => name.to_owned(),
            };
            view! {
                <span class="two">
                    <span class="strong truncate" title=name.clone()>{name.clone()}</span>
                    <span class="mono truncate">{format!("{}…", token.prefix)}</span>
                </span>
            }
        })
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |token: &RegistrationToken| {
            view! { <StatePill state=token.state /> }
        })
        .width(7.5),
    )
    .column(
        Column::new("hosts", words.token_hosts, |token: &RegistrationToken| {
            let n = token.hosts.to_string();
            match token.most_hosts {
                Some(most) => fill(words.of_most, &[("n", &n), ("most", &most.to_string())]),
                None => n,
            }
        })
        .end()
        .width(6.0),
    )
    .column(
        Column::new("labels", t().common.labels, |token: &RegistrationToken| {
            let labels = token.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            view! { <Tags labels=labels /> }
        })
        .grow(2),
    )
    .column(
        Column::new("expires_at", words.expires, |token: &RegistrationToken| {
            view! { <TimeAgo at=token.expires_at /> }
        })
        .width(8.0),
    )
    .column(
        Column::new("created_by", words.created_by, |token: &RegistrationToken| {
            view! { <span class="truncate" title=token.created_by.clone()>{token.created_by.clone()}</span> }
        })
        .width(8.0),
    )
    .name(|token| token.prefix.clone())
    .actions(move |token| vec![revoke(token)])
    .no_search()
    .live(&[Topic::Host])
    .reload_on(reload)
    .empty(move || view! { <Empty glyph=Glyph::Key title=words.no_tokens text=words.no_tokens_text /> });
    let add = move || {
        env.may(Permission::ManageHosts).then(|| {
            view! { <ButtonLink look=Look::Primary icon=Glyph::Plus href=env.path("hosts/new") label=words.add_title /> }
        })
    };
    view! {
        <Page
            title=words.tokens
            sub=words.tokens_text
            crumbs=vec![(env.path("hosts"), t().engine.hosts.to_owned())]
            actions=add
        >
            <Table spec=table label=words.tokens />
        </Page>
    }
}
