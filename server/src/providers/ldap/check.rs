//! Whether settings can be used: checked before anything is stored or tried.

use drover_api::{DirectoryConnection, DirectorySecurity, FieldError, LdapConfig};

use super::{connection::parse_server, filter};
use crate::providers::tls;

const MOST_SERVERS: usize = 8;
const LONGEST_DN: usize = 1024;
const LARGEST_CA: usize = 256 * 1024;
const MOST_CLASSES: usize = 16;

/// What is wrong with the settings of an LDAP directory.
pub fn check(config: &LdapConfig) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_connection(&config.connection, &mut errors);
    let account = config.connection.bind_dn.trim();
    if !account.is_empty() && !filter::is_dn(account) {
        errors.push(FieldError::new(
            "config.bind_dn",
            "The service account is a DN, such as `cn=drover,ou=services,dc=example,dc=com`.",
        ));
    }
    check_base("config.user_base", &config.user_base, true, &mut errors);
    check_base("config.group_base", &config.group_base, false, &mut errors);
    let needed = [
        ("config.user_object_class", &config.user_object_class),
        ("config.user_login_attribute", &config.user_login_attribute),
        ("config.user_name_attribute", &config.user_name_attribute),
        ("config.user_mail_attribute", &config.user_mail_attribute),
        ("config.id_attribute", &config.id_attribute),
    ];
    for (field, name) in needed {
        check_name(field, name, true, &mut errors);
    }
    let optional = [
        ("config.user_member_of_attribute", &config.user_member_of_attribute),
        ("config.group_member_attribute", &config.group_member_attribute),
        ("config.group_member_uid_attribute", &config.group_member_uid_attribute),
    ];
    for (field, name) in optional {
        check_name(field, name, false, &mut errors);
    }
    check_filter_field("config.user_filter", &config.user_filter, &mut errors);
    check_filter_field("config.group_filter", &config.group_filter, &mut errors);
    check_groups(config, &mut errors);
    errors
}

fn check_groups(config: &LdapConfig, errors: &mut Vec<FieldError>) {
    if config.group_base.trim().is_empty() {
        return;
    }
    check_name("config.group_name_attribute", &config.group_name_attribute, true, errors);
    let classes = &config.group_object_classes;
    if classes.is_empty() || classes.len() > MOST_CLASSES {
        errors.push(FieldError::new(
            "config.group_object_classes",
            format!("Enter 1 to {MOST_CLASSES} object classes, such as `groupOfNames`."),
        ));
    }
    for class in classes {
        check_name("config.group_object_classes", class, true, errors);
    }
    let ways = [
        &config.user_member_of_attribute,
        &config.group_member_attribute,
        &config.group_member_uid_attribute,
    ];
    if ways.iter().all(|attribute| attribute.is_empty()) {
        errors.push(FieldError::new(
            "config.group_member_attribute",
            "Nothing says who is in a group: enter an attribute of members, or of `memberOf`.",
        ));
    }
}

/// What is wrong with where a directory is.
pub(in crate::providers) fn check_connection(
    connection: &DirectoryConnection,
    errors: &mut Vec<FieldError>,
) {
    let mut wrong = |field: &str, message: String| errors.push(FieldError::new(field, message));
    if !(1..=MOST_SERVERS).contains(&connection.servers.len()) {
        wrong("config.servers", format!("Enter 1 to {MOST_SERVERS} servers."));
    }
    for server in &connection.servers {
        let parsed = parse_server(server.trim(), 1);
        if parsed.is_none() {
            wrong(
                "config.servers",
                format!(
                    "`{}` is not a server. Enter `host` or `host:port`, without `ldap://`.",
                    super::cut(server)
                ),
            );
        }
        let address = parsed.is_some_and(|(host, _)| host.starts_with('['));
        if address && connection.security != DirectorySecurity::Plain {
            wrong(
                "config.servers",
                "With TLS, enter the name that stands in the server's certificate instead of an \
                 IPv6 address."
                    .into(),
            );
        }
    }
    if let Some(ca) = &connection.ca {
        if ca.len() > LARGEST_CA {
            wrong("config.ca", format!("The certificates have at most {} KiB.", LARGEST_CA / 1024));
        } else if let Err(error) = tls::client_config(Some(ca)) {
            wrong("config.ca", error.to_string());
        }
    }
    if !(1..=60).contains(&connection.connect_timeout_seconds) {
        wrong("config.connect_timeout_seconds", "Enter 1 to 60 seconds.".into());
    }
    if !(1..=120).contains(&connection.search_timeout_seconds) {
        wrong("config.search_timeout_seconds", "Enter 1 to 120 seconds.".into());
    }
    let account = &connection.bind_dn;
    if account.len() > LONGEST_DN || account.contains(char::is_control) {
        wrong("config.bind_dn", format!("A DN has at most {LONGEST_DN} characters, in one line."));
    }
}

/// What is wrong with a search base.
pub(in crate::providers) fn check_base(
    field: &str,
    base: &str,
    needed: bool,
    errors: &mut Vec<FieldError>,
) {
    let message = if base.trim().is_empty() {
        if !needed {
            return;
        }
        "Enter the DN under which to search, such as `dc=example,dc=com`.".to_owned()
    } else if base.len() > LONGEST_DN {
        format!("A DN has at most {LONGEST_DN} characters.")
    } else if !filter::is_dn(base) {
        "This is not a DN (RFC 4514), such as `ou=people,dc=example,dc=com`.".to_owned()
    } else {
        return;
    };
    errors.push(FieldError::new(field, message));
}

/// What is wrong with the name of an attribute or object class.
pub(in crate::providers) fn check_name(
    field: &str,
    name: &str,
    needed: bool,
    errors: &mut Vec<FieldError>,
) {
    if (name.is_empty() && needed) || !(name.is_empty() || filter::is_attribute(name)) {
        let message =
            "Enter one name of letters, digits and `-`, as the directory's schema has it.";
        errors.push(FieldError::new(field, message));
    }
}

/// What is wrong with a filter.
pub(in crate::providers) fn check_filter_field(
    field: &str,
    filter: &str,
    errors: &mut Vec<FieldError>,
) {
    if let Err(message) = filter::check_filter(filter) {
        errors.push(FieldError::new(field, message));
    }
}

#[cfg(test)]
mod tests {
    use drover_api::LdapPreset;

    use super::*;

    fn good() -> LdapConfig {
        let mut config = LdapConfig::preset(LdapPreset::OpenLdap);
        config.connection.servers = vec!["ldap.example.com".into(), "ldap2:1636".into()];
        config.connection.bind_dn = "cn=drover,dc=example,dc=com".into();
        config.user_base = "ou=people,dc=example,dc=com".into();
        config.group_base = "ou=groups,dc=example,dc=com".into();
        config
    }

    #[test]
    fn takes_good_settings() {
        assert!(check(&good()).is_empty(), "{:?}", check(&good()));
        for preset in [LdapPreset::FreeIpa, LdapPreset::Ds389] {
            let good = good();
            let config = LdapConfig {
                connection: good.connection,
                user_base: good.user_base,
                group_base: good.group_base,
                ..LdapConfig::preset(preset)
            };
            assert!(check(&config).is_empty());
        }
    }

    #[test]
    fn says_which_field_is_wrong() {
        type Change = fn(&mut LdapConfig);
        let changes: [(&str, Change); 14] = [
            ("config.servers", |config| config.connection.servers.clear()),
            ("config.servers", |config| config.connection.servers[0] = "ldap://a".into()),
            ("config.servers", |config| config.connection.servers[0] = "[::1]".into()),
            ("config.ca", |config| config.connection.ca = Some("no certificate".into())),
            ("config.connect_timeout_seconds", |config| {
                config.connection.connect_timeout_seconds = 0;
            }),
            ("config.search_timeout_seconds", |config| {
                config.connection.search_timeout_seconds = 121;
            }),
            ("config.bind_dn", |config| config.connection.bind_dn = "EXAMPLE\\drover".into()),
            ("config.user_base", |config| config.user_base = String::new()),
            ("config.user_base", |config| config.user_base = "people".into()),
            ("config.user_login_attribute", |config| {
                config.user_login_attribute = "uid=*)(a".into();
            }),
            ("config.user_filter", |config| config.user_filter = "(a=b))(c=d".into()),
            ("config.group_object_classes", |config| config.group_object_classes.clear()),
            ("config.group_filter", |config| config.group_filter = "x".repeat(2000)),
            ("config.group_member_attribute", |config| {
                config.group_member_attribute = String::new();
                config.group_member_uid_attribute = String::new();
            }),
        ];
        for (field, change) in changes {
            let mut config = good();
            change(&mut config);
            let fields: Vec<_> = check(&config).into_iter().map(|error| error.field).collect();
            assert_eq!(fields, [field]);
        }
    }
}
