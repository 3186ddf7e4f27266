//! Whether settings can be used: checked before anything is stored or tried.

use drover_api::{ActiveDirectoryConfig, FieldError};

use crate::providers::ldap::{
    check_base, check_connection, check_filter_field, check_name, connection::parse_server,
};

/// What is wrong with the settings of an Active Directory.
pub fn check(config: &ActiveDirectoryConfig) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_connection(&config.connection, &mut errors);
    if config.connection.bind_dn.trim().is_empty() {
        errors.push(FieldError::new(
            "config.bind_dn",
            "Active Directory answers no anonymous searches: enter a service account, as a DN, as \
             `DOMAIN\\user` or as `user@example.com`.",
        ));
    }
    check_base("config.user_base", &config.user_base, true, &mut errors);
    check_base("config.group_base", &config.group_base, false, &mut errors);
    check_name("config.user_name_attribute", &config.user_name_attribute, true, &mut errors);
    check_name("config.user_mail_attribute", &config.user_mail_attribute, true, &mut errors);
    check_filter_field("config.user_filter", &config.user_filter, &mut errors);
    check_filter_field("config.group_filter", &config.group_filter, &mut errors);
    let netbios = &config.default_domain;
    // MS-ADTS, 1.1: at most 15 characters, no dots.
    if netbios.len() > 15 || netbios.contains(['\\', '@', '.', ' ', '/', ':']) {
        errors.push(FieldError::new(
            "config.default_domain",
            "This is the short name of the domain, such as `EXAMPLE`: at most 15 characters, no \
             dots.",
        ));
    }
    let dns = &config.dns_domain;
    if !dns.is_empty() && (dns.contains([':', '[']) || parse_server(dns, 1).is_none()) {
        errors.push(FieldError::new(
            "config.dns_domain",
            "This is the long name of the domain, such as `example.com`.",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> ActiveDirectoryConfig {
        let mut config = ActiveDirectoryConfig::new();
        config.connection.servers = vec!["dc1.example.com".into()];
        config.connection.bind_dn = "EXAMPLE\\drover".into();
        config.user_base = "dc=example,dc=com".into();
        config.default_domain = "EXAMPLE".into();
        config.dns_domain = "example.com".into();
        config
    }

    #[test]
    fn says_which_field_is_wrong() {
        assert!(check(&good()).is_empty(), "{:?}", check(&good()));
        type Change = fn(&mut ActiveDirectoryConfig);
        let changes: [(&str, Change); 6] = [
            ("config.servers", |config| config.connection.servers = vec!["a b".into()]),
            ("config.bind_dn", |config| config.connection.bind_dn = String::new()),
            ("config.user_base", |config| config.user_base = "example.com".into()),
            ("config.group_filter", |config| config.group_filter = "cn=a".into()),
            ("config.default_domain", |config| config.default_domain = "example.com".into()),
            ("config.dns_domain", |config| config.dns_domain = "example com".into()),
        ];
        for (field, change) in changes {
            let mut config = good();
            change(&mut config);
            let fields: Vec<_> = check(&config).into_iter().map(|error| error.field).collect();
            assert_eq!(fields, [field]);
        }
    }
}
