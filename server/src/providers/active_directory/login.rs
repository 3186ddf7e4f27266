//! The ways to write a login: `alice`, `EXAMPLE\alice` and `alice@example.com`.

/// A login as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login<'a> {
    /// `sAMAccountName`, in the default domain.
    Short(&'a str),
    /// With a domain: its NetBIOS or its DNS name.
    Domain { domain: &'a str, name: &'a str },
    /// A user principal name (MS-ADTS, 5.1.1.1.1).
    Principal { name: &'a str, suffix: &'a str },
}

impl<'a> Login<'a> {
    /// Takes it apart. `None` when a part is empty.
    pub(super) fn parse(login: &'a str) -> Option<Self> {
        let parsed = if let Some((domain, name)) = login.split_once('\\') {
            Self::Domain { domain, name }
        } else if let Some((name, suffix)) = login.rsplit_once('@') {
            Self::Principal { name, suffix }
        } else {
            Self::Short(login)
        };
        let whole = match &parsed {
            Self::Short(name) => !name.is_empty(),
            Self::Domain { domain: a, name: b } | Self::Principal { name: a, suffix: b } => {
                !a.is_empty() && !b.is_empty()
            }
        };
        whole.then_some(parsed)
    }
}

/// `dc=example,dc=com` of `example.com`.
pub(super) fn domain_dn(dns: &str) -> String {
    let parts =
        dns.trim_end_matches('.').split('.').map(|part| format!("dc={}", part.to_lowercase()));
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_logins_apart() {
        assert_eq!(Login::parse("alice"), Some(Login::Short("alice")));
        let domain = Login::Domain { domain: "EXAMPLE", name: "alice" };
        assert_eq!(Login::parse("EXAMPLE\\alice"), Some(domain));
        let principal = Login::Principal { name: "alice@work", suffix: "example.com" };
        assert_eq!(Login::parse("alice@work@example.com"), Some(principal));
        for bad in ["", "\\alice", "EXAMPLE\\", "@example.com", "alice@"] {
            assert_eq!(Login::parse(bad), None, "{bad}");
        }
        assert_eq!(domain_dn("Example.COM"), "dc=example,dc=com");
    }
}
