//! What can be wrong with the settings of an OpenID provider before anybody is asked.

use drover_api::{FieldError, OpenidConfig};

use crate::providers::http::{check_ca, check_client_id, parse_address, wrong};

const SCOPES: usize = 20;
const CLAIM_LENGTH: usize = 200;
const SKEW_SECONDS: u32 = 300;
/// `none` is left out: with it the provider would never show its page.
const PROMPTS: [&str; 3] = ["login", "consent", "select_account"];
/// What the presets leave to the administrator.
const PLACEHOLDERS: [&str; 4] = ["HOST", "REALM", "TENANT", "DOMAIN"];
/// What Microsoft has in place of a tenant for the accounts of all.
const SHARED_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// All that is wrong with these settings.
pub fn check(config: &OpenidConfig) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(issuer(&config.issuer).err().map(|message| wrong("issuer", message)));
    errors.extend(check_ca(config.ca.as_deref()));
    errors.extend(check_client_id(&config.client_id));
    errors.extend(scopes(&config.scopes).err().map(|message| wrong("scopes", message)));
    errors.extend(prompt(&config.prompt).err().map(|message| wrong("prompt", message)));
    let claims = [
        ("id_claim", &config.id_claim, true),
        ("login_claim", &config.login_claim, true),
        ("name_claim", &config.name_claim, false),
        ("mail_claim", &config.mail_claim, false),
        ("groups_claim", &config.groups_claim, false),
    ];
    for (field, name, needed) in claims {
        errors.extend(claim(name, needed).err().map(|message| wrong(field, message)));
    }
    if config.clock_skew_seconds > SKEW_SECONDS {
        errors.push(wrong("clock_skew_seconds", format!("At most {SKEW_SECONDS} seconds.")));
    }
    errors
}

fn issuer(issuer: &str) -> Result<(), String> {
    let words = issuer.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words {
        if PLACEHOLDERS.contains(&word) {
            return Err(format!("Replace {word} by your own."));
        }
    }
    if issuer.contains("/.well-known/") {
        return Err("Enter the issuer alone, without /.well-known/openid-configuration.".into());
    }
    let url = parse_address(issuer)?;
    let first = url.path_segments().and_then(|mut path| path.next()).unwrap_or_default();
    if url.host_str() == Some("login.microsoftonline.com") && SHARED_TENANTS.contains(&first) {
        return Err(format!(
            "Enter the id of your own tenant in place of {first}: with it, any company's accounts \
             would come in."
        ));
    }
    Ok(())
}

/// RFC 6749, 3.3.
fn scopes(scopes: &[String]) -> Result<(), String> {
    if scopes.len() > SCOPES {
        return Err(format!("At most {SCOPES} scopes."));
    }
    let allowed = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~');
    for scope in scopes {
        if scope.is_empty() || scope.len() > CLAIM_LENGTH || !scope.chars().all(allowed) {
            return Err(
                "A scope is one word of at most 200 letters, digits and signs, without spaces, \
                 quotes and backslashes."
                    .into(),
            );
        }
    }
    Ok(())
}

fn prompt(prompt: &str) -> Result<(), String> {
    match prompt.split_whitespace().find(|word| !PROMPTS.contains(word)) {
        Some(_) => Err(format!("Leave it empty, or take words of {}.", PROMPTS.join(", "))),
        None if prompt.len() > CLAIM_LENGTH => Err(format!("At most {CLAIM_LENGTH} characters.")),
        None => Ok(()),
    }
}

fn claim(name: &str, needed: bool) -> Result<(), String> {
    if needed && name.is_empty() {
        return Err("Enter the name of the claim.".into());
    }
    if name.chars().count() > CLAIM_LENGTH {
        return Err(format!("At most {CLAIM_LENGTH} characters."));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("The name of a claim has no spaces and line ends.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use drover_api::OpenidPreset;

    use super::*;

    fn good() -> OpenidConfig {
        OpenidConfig {
            issuer: "https://id.example.com".into(),
            client_id: "drover".into(),
            ..OpenidConfig::preset(OpenidPreset::Generic)
        }
    }

    #[track_caller]
    fn only(config: OpenidConfig, field: &str) -> String {
        let errors = check(&config);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, [format!("config.{field}")], "{errors:?}");
        errors[0].message.clone()
    }

    #[test]
    fn good_settings_pass() {
        assert_eq!(check(&good()), []);
        let prompts = OpenidConfig { prompt: "login consent".into(), ..good() };
        assert_eq!(check(&prompts), []);
    }

    #[test]
    fn every_field_has_its_limits() {
        only(OpenidConfig { issuer: "http://id.example.com".into(), ..good() }, "issuer");
        only(OpenidConfig { ca: Some("no certificate".into()), ..good() }, "ca");
        only(OpenidConfig { client_id: String::new(), ..good() }, "client_id");
        only(OpenidConfig { client_id: "a b".into(), ..good() }, "client_id");
        only(OpenidConfig { scopes: vec!["two words".into()], ..good() }, "scopes");
        only(OpenidConfig { scopes: vec!["a".into(); 21], ..good() }, "scopes");
        only(OpenidConfig { prompt: "none".into(), ..good() }, "prompt");
        only(OpenidConfig { id_claim: String::new(), ..good() }, "id_claim");
        only(OpenidConfig { groups_claim: "a".repeat(201), ..good() }, "groups_claim");
        only(OpenidConfig { clock_skew_seconds: 301, ..good() }, "clock_skew_seconds");
    }

    #[test]
    fn presets_say_what_is_left_to_enter() {
        for (preset, word) in [
            (OpenidPreset::Keycloak, "HOST"),
            (OpenidPreset::Entra, "TENANT"),
            (OpenidPreset::Okta, "DOMAIN"),
        ] {
            let config =
                OpenidConfig { client_id: "drover".into(), ..OpenidConfig::preset(preset) };
            assert_eq!(only(config, "issuer"), format!("Replace {word} by your own."));
        }
        let common = "https://login.microsoftonline.com/common/v2.0";
        assert!(
            only(OpenidConfig { issuer: common.into(), ..good() }, "issuer").contains("tenant")
        );
        let whole = "https://id.example.com/.well-known/openid-configuration";
        only(OpenidConfig { issuer: whole.into(), ..good() }, "issuer");
    }
}
