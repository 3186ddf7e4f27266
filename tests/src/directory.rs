//! A company's directory: who is in it, and how a server is connected to it.

use std::fmt::Write as _;

use drover_api::{DirectorySecurity, LdapConfig, LdapPreset, Provider, TestReport};
use serde_json::{Value, json};

use crate::{Client, LDAP_SERVICE, LDAP_SUFFIX, Slapd, group_dn, group_ldif, user_dn, user_ldif};

/// What the directory's people sign in with.
pub const LDAP_PASSWORD: &str = "password-of-the-directory";

/// Groups on each of the levels of [`large_company`].
pub const LEVEL: usize = 200;

/// 10,000 people, `user0` and so on, and 1,000 groups nested 5 deep, as LDIF: 200 groups on each
/// level, of which each is in one of the next. People are in one of the lowest, and through it in
/// one of each level.
pub fn large_company() -> String {
    let mut ldif = String::new();
    for n in 0..10_000 {
        ldif.push_str(&user_ldif(&format!("user{n}"), LDAP_PASSWORD));
    }
    for level in 0..5 {
        for n in 0..LEVEL {
            let mut members = String::new();
            if level == 0 {
                for member in (n..10_000).step_by(LEVEL) {
                    let _ = writeln!(members, "{}", user_dn(&format!("user{member}")));
                }
            } else {
                members = group_dn(&format!("level{}-{n}", level - 1));
            }
            let members: Vec<&str> = members.lines().collect();
            ldif.push_str(&group_ldif(&format!("level{level}-{n}"), &members));
        }
    }
    ldif
}

/// Settings for a directory of the harness, by LDAPS with its own authority.
pub fn ldap_config(slapd: &Slapd) -> LdapConfig {
    let mut config = LdapConfig::preset(LdapPreset::OpenLdap);
    config.connection.servers = vec![slapd.tls_server()];
    config.connection.security = DirectorySecurity::Ldaps;
    config.connection.ca = Some(slapd.ca("ca"));
    config.connection.bind_dn = LDAP_SERVICE.0.into();
    config.connection.connect_timeout_seconds = 2;
    config.connection.search_timeout_seconds = 2;
    config.user_base = format!("ou=people,{LDAP_SUFFIX}");
    config.group_base = format!("ou=groups,{LDAP_SUFFIX}");
    config
}

/// The settings as a provider's `config`.
pub fn provider_config(slapd: &Slapd) -> Value {
    let mut config = serde_json::to_value(ldap_config(slapd)).unwrap();
    config["kind"] = "ldap".into();
    config
}

/// Makes a provider, tests it by signing in as somebody, and switches it on for everybody.
pub async fn connect(admin: &Client, slapd: &Slapd, name: &str, tester: &str) -> Provider {
    let new = json!({
        "name": name, "config": provider_config(slapd), "secret": LDAP_SERVICE.1,
        "access_mode": "unrestricted",
    });
    let made: Provider = admin.post("/v1/identity-providers", new).await.expect(201).json();
    let path = format!("/v1/identity-providers/{}", made.id);
    let who = json!({ "login": tester, "password": LDAP_PASSWORD });
    let report: TestReport = admin.post(&format!("{path}/test"), who).await.expect(200).json();
    assert!(report.signed_in, "{report:?}");
    admin.patch(&path, json!({ "enabled": true })).await.expect(200).json()
}
