//! Everyone who has a role in an environment, and where it comes from.

use drover_api::{EnvironmentPerson, PrincipalKind, RoleSource, Topic};
use leptos::prelude::*;

use super::principal_picker::provider_words;
use crate::{
    components::*,
    environment::Env,
    i18n::{fill, t},
    icons::Glyph,
    states::{Stated, role_help},
};

/// Who has access now, with all roles that reach each person.
#[component]
pub(super) fn People(env: Env) -> impl IntoView {
    let words = &t().sign_in;
    let table = TableSpec::new(
        move |ask| ask.get(env.api("people")),
        |person: &EnvironmentPerson| person.user_id.to_string(),
    )
    .column(
        Column::new("login", t().environment.member, |person: &EnvironmentPerson| {
            view! {
                <span class="two">
                    <span class="strong">{person.display_name.clone()}</span>
                    <span>{person.login.clone()}</span>
                </span>
            }
        })
        .grow(2),
    )
    .column(
        Column::new("role", words.role_now, |person: &EnvironmentPerson| {
            view! { <StatePill state=person.role title=role_help(person.role) /> }
        })
        .width(8.0),
    )
    .column(
        Column::new("sources", words.comes_from, |person: &EnvironmentPerson| {
            let all: Vec<_> = person.sources.iter().map(source_words).collect();
            let (first, rest) = all
                .split_first()
                .map_or_else(Default::default, |(first, rest)| (first.clone(), rest.join("; ")));
            view! {
                <span class="two" title=all.join("\n")>
                    <span>{first}</span>
                    {(!rest.is_empty()).then(|| view! { <span>{rest}</span> })}
                </span>
            }
        })
        .grow(4),
    )
    .name(|person| person.display_name.clone())
    .live(&[Topic::Environment, Topic::User, Topic::Provider])
    .empty(move || view! { <Empty glyph=Glyph::Users title=words.nobody_has_access /> });
    view! {
        <p class="muted">{words.who_has_access_text}</p>
        <Table spec=table label=words.who_has_access />
    }
}

/// "Owner through group platform-team, Example Corp · LDAP".
fn source_words(source: &RoleSource) -> String {
    let words = &t().sign_in;
    let role = source.role.label();
    let Some(principal) = &source.principal else {
        return words.from_admin.to_owned();
    };
    let text = match principal.kind {
        PrincipalKind::User => fill(words.from_self, &[("role", role)]),
        PrincipalKind::Group => {
            fill(words.from_group, &[("role", role), ("group", &principal.name)])
        }
    };
    match principal.provider.as_str() {
        "local" => text,
        _ => format!("{text}, {}", provider_words(principal)),
    }
}
