//! Claims as a person with groups.

use drover_api::OpenidConfig;
use serde_json::{Map, Value};

use crate::providers::{Named, Person, ProviderError, Scheme, http::cut};

const MAX_GROUPS: usize = 5000;
const MAX_LENGTH: usize = 500;

/// What a provider says of a person.
pub(super) type Claims = Map<String, Value>;

/// The person of these claims, who is known to be `known` if the claims do not name them. Neither
/// credential nor session are set.
pub(super) fn person(
    config: &OpenidConfig,
    claims: &Claims,
    known: Option<&str>,
) -> Result<Person, ProviderError> {
    let id = match find(claims, &config.id_claim) {
        Some(Value::String(id)) if !id.is_empty() && id.chars().count() <= MAX_LENGTH => id.clone(),
        Some(_) => {
            return Err(ProviderError::Misconfigured(format!(
                "The claim {} is not a text of 1 to {MAX_LENGTH} characters: choose another claim \
                 to name people by.",
                config.id_claim
            )));
        }
        None if let Some(known) = known => known.to_owned(),
        None => {
            return Err(ProviderError::Misconfigured(format!(
                "The provider does not send the claim {}. It sends: {}.",
                config.id_claim,
                names(claims)
            )));
        }
    };
    let email = text(claims, &config.mail_claim);
    let login =
        text(claims, &config.login_claim).or_else(|| email.clone()).unwrap_or_else(|| id.clone());
    let display_name = text(claims, &config.name_claim).unwrap_or_else(|| login.clone());
    let groups = groups(claims, &config.groups_claim)?;
    let (credential, session) = (None, None);
    Ok(Person { id, login, display_name, email, detail: None, groups, credential, session })
}

/// Whether the claims say which groups there are.
pub(super) fn tell_groups(config: &OpenidConfig, claims: &Claims) -> bool {
    config.groups_claim.is_empty() || find(claims, &config.groups_claim).is_some()
}

/// Only what it is called; what the claims say stays with the provider.
pub(super) fn names(claims: &Claims) -> String {
    let names: Vec<_> = claims.keys().map(String::as_str).collect();
    cut(&names.join(", "))
}

/// The names that are not empty, once each and sorted.
fn groups(claims: &Claims, path: &str) -> Result<Vec<Named>, ProviderError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = match find(claims, path) {
        None if is_elsewhere(claims, path) => {
            return Err(ProviderError::Misconfigured(format!(
                "The provider leaves out the claim {path} because this person is in too many \
                 groups. In Entra ID, let the application's group claims hold only the groups \
                 assigned to the application."
            )));
        }
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(values)) => {
            let texts = values.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| not_texts(path))?
        }
        Some(_) => return Err(not_texts(path)),
    };
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    if names.len() > MAX_GROUPS {
        return Err(ProviderError::Misconfigured(format!(
            "The claim {path} has {} groups; at most {MAX_GROUPS} are taken. Let the provider \
             send fewer.",
            names.len()
        )));
    }
    if names.iter().any(|name| name.chars().count() > MAX_LENGTH) {
        return Err(ProviderError::Misconfigured(format!(
            "The claim {path} has a group with a name of more than {MAX_LENGTH} characters."
        )));
    }
    Ok(names.into_iter().map(group).collect())
}

/// A group, which has but a name.
pub(super) fn group(name: &str) -> Named {
    let (login, detail) = (None, None);
    Named { scheme: Scheme::Group, id: name.into(), name: name.into(), login, detail }
}

fn not_texts(path: &str) -> ProviderError {
    ProviderError::Misconfigured(format!(
        "The claim {path} is neither a text nor a list of texts: choose another claim for groups."
    ))
}

/// Whether a claim is said to be somewhere else (OpenID Connect Core 1.0, 5.6.2): what Entra ID
/// does with people in more than 200 groups.
fn is_elsewhere(claims: &Claims, path: &str) -> bool {
    claims.get("_claim_names").and_then(|names| names.get(path)).is_some()
}

fn text(claims: &Claims, path: &str) -> Option<String> {
    let text = find(claims, path)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.chars().take(MAX_LENGTH).collect())
}

/// A claim by its path. Names may have dots themselves, as `https://example.com/groups` has: the
/// longest name that is there counts.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return None;
    }
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(at, _)| {
        let inner = claims.get(&path[..at])?.as_object()?;
        find(inner, &path[at + 1..])
    })
}

#[cfg(test)]
mod tests {
    use drover_api::OpenidPreset;
    use serde_json::json;

    use super::*;

    fn read(groups_claim: &str, claims: Value) -> Result<Person, ProviderError> {
        let config = OpenidConfig {
            groups_claim: groups_claim.into(),
            ..OpenidConfig::preset(OpenidPreset::Generic)
        };
        person(&config, claims.as_object().unwrap(), None)
    }

    fn group_names(groups_claim: &str, claims: Value) -> Vec<String> {
        let groups = read(groups_claim, claims).unwrap().groups;
        groups.into_iter().map(|group| group.name).collect()
    }

    #[test]
    fn a_person_has_a_login_and_a_name_whatever_is_missing() {
        let person = read(
            "groups",
            json!({ "sub": "7", "preferred_username": "grace",
            "name": "Grace Hopper", "email": "grace@example.com" }),
        )
        .unwrap();
        assert_eq!((person.id.as_str(), person.login.as_str()), ("7", "grace"));
        assert_eq!(person.display_name, "Grace Hopper");
        assert_eq!(person.email.as_deref(), Some("grace@example.com"));
        let person = read("groups", json!({ "sub": "7", "email": "g@example.com" })).unwrap();
        assert_eq!(
            (person.login.as_str(), person.display_name.as_str()),
            ("g@example.com", "g@example.com")
        );
        assert_eq!(read("groups", json!({ "sub": "7" })).unwrap().login, "7");
    }

    #[test]
    fn without_an_id_nobody_comes_in() {
        for claims in [
            json!({ "name": "Grace" }),
            json!({ "sub": "" }),
            json!({ "sub": 7 }),
            json!({ "sub": null }),
            json!({ "sub": "a".repeat(501) }),
        ] {
            let error = read("groups", claims).unwrap_err();
            assert!(matches!(&error, ProviderError::Misconfigured(why) if why.contains("sub")));
        }
    }

    #[test]
    fn groups_are_a_list_or_one_text_somewhere() {
        let with = |groups: Value| json!({ "sub": "7", "groups": groups });
        assert_eq!(group_names("groups", with(json!(["b", "a", "b", ""]))), ["a", "b"]);
        assert_eq!(group_names("groups", with(json!("a b"))), ["a b"]);
        assert!(group_names("groups", with(json!(null))).is_empty());
        assert!(group_names("groups", json!({ "sub": "7" })).is_empty());
        assert!(group_names("", with(json!(["a"]))).is_empty());
        let nested = json!({ "sub": "7", "resource_access": { "my.app": { "roles": ["x"] } } });
        assert_eq!(group_names("resource_access.my.app.roles", nested), ["x"]);
        let named = json!({ "sub": "7", "https://example.com/groups": ["x"] });
        assert_eq!(group_names("https://example.com/groups", named), ["x"]);
    }

    #[test]
    fn groups_that_cannot_be_read_let_nobody_in() {
        let too_many: Vec<_> = (0..=MAX_GROUPS).map(|n| n.to_string()).collect();
        for groups in [
            json!([1]),
            json!({ "a": 1 }),
            json!([{ "name": "a" }]),
            json!(true),
            json!(too_many),
            json!(["a".repeat(501)]),
        ] {
            let error = read("groups", json!({ "sub": "7", "groups": groups })).unwrap_err();
            assert!(matches!(error, ProviderError::Misconfigured(_)), "{error:?}");
        }
        let many: Vec<_> = (0..MAX_GROUPS).map(|n| n.to_string()).collect();
        assert_eq!(group_names("groups", json!({ "sub": "7", "groups": many })).len(), MAX_GROUPS);
    }

    #[test]
    fn groups_that_entra_leaves_out_are_not_no_groups() {
        let claims = json!({ "sub": "7", "_claim_names": { "groups": "src1" } });
        let error = read("groups", claims).unwrap_err();
        assert!(error.to_string().contains("assigned to the application"), "{error}");
    }
}
