//! Filters (RFC 4515) and distinguished names (RFC 4514): escaping what people type, and checking
//! what administrators enter.

use std::fmt::Write;

/// The longest filter that an administrator may enter.
const LONGEST_FILTER: usize = 1024;
/// How deep it may nest: the parser goes one call deeper with each.
const DEEPEST_FILTER: usize = 16;

/// A value as it stands in a filter (RFC 4515, 3). Bytes outside of ASCII are escaped too, so that
/// binary values work the same way.
pub(crate) fn escape(value: impl AsRef<[u8]>) -> String {
    let value = value.as_ref();
    let mut escaped = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0..=0x1f | 0x7f.. => push_hex(&mut escaped, byte),
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "\\{byte:02x}");
}

/// Whether a filter can be used as a part of another: one pair of brackets around it all.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    if filter.is_empty() {
        return Ok(());
    }
    if filter.len() > LONGEST_FILTER {
        return Err(format!("A filter has at most {LONGEST_FILTER} characters."));
    }
    let depth = filter.bytes().fold((0_usize, 0_usize), |(now, deepest), byte| match byte {
        b'(' => (now + 1, deepest.max(now + 1)),
        b')' => (now.saturating_sub(1), deepest),
        _ => (now, deepest),
    });
    if depth.1 > DEEPEST_FILTER {
        return Err(format!("A filter nests at most {DEEPEST_FILTER} deep."));
    }
    if !filter.starts_with('(') || ldap3::parse_filter(filter).is_err() {
        let example = "(!(nsAccountLock=TRUE))";
        return Err(format!(
            "This is not an LDAP filter (RFC 4515). It is in brackets, such as `{example}`."
        ));
    }
    Ok(())
}

/// Whether this can be the name of an attribute or object class (RFC 4512, 1.4), with options such
/// as `;binary`.
pub(crate) fn is_attribute(name: &str) -> bool {
    let mut options = name.split(';');
    let name = options.next().unwrap_or_default();
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let described = name.starts_with(|first: char| first.is_ascii_alphabetic()) && word(name);
    let numbered = name.contains('.') && name.split('.').all(|arc| arc.parse::<u32>().is_ok());
    name.len() <= 128 && (described || numbered) && options.all(word)
}

/// A part of a DN: attributes and their values, more than one when they are joined by `+`.
type Rdn = Vec<(String, Vec<u8>)>;

/// Reads a DN (RFC 4514, 3), leniently about spaces around its signs.
fn parse_dn(dn: &str) -> Option<Vec<Rdn>> {
    if dn.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut rdns: Vec<Rdn> = vec![Vec::new()];
    let mut rest = dn;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if !is_attribute(name) {
            return None;
        }
        let (value, end, after) = parse_value(after)?;
        rdns.last_mut()?.push((name.to_ascii_lowercase(), value));
        match end {
            None => return Some(rdns),
            Some(b'+') => {}
            Some(_) => rdns.push(Vec::new()),
        }
        rest = after;
    }
}

/// The value up to the next sign, that sign, and what follows it.
fn parse_value(text: &str) -> Option<(Vec<u8>, Option<u8>, &str)> {
    let bytes = text.as_bytes();
    let mut value = Vec::new();
    // Spaces at the end do not belong to the value unless they are escaped.
    let mut solid = 0;
    let mut at = bytes.iter().take_while(|byte| **byte == b' ').count();
    let end = loop {
        match bytes.get(at) {
            None => break None,
            Some(sign @ (b',' | b';' | b'+')) => break Some(*sign),
            Some(b'"' | b'<' | b'>' | 0) => return None,
            Some(b'\\') => {
                let next = *bytes.get(at + 1)?;
                let pair = bytes.get(at + 1..at + 3).and_then(hex_pair);
                if let Some(byte) = pair {
                    value.push(byte);
                    at += 3;
                } else if next.is_ascii() && !next.is_ascii_alphanumeric() {
                    value.push(next);
                    at += 2;
                } else {
                    return None;
                }
                solid = value.len();
            }
            Some(byte) => {
                value.push(*byte);
                at += 1;
                if *byte != b' ' {
                    solid = value.len();
                }
            }
        }
    };
    value.truncate(solid);
    // A sign is ASCII, so this is the border of a character.
    Some((value, end, text.get(at + 1..).unwrap_or_default()))
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    if !pair.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
}

/// Whether this is a DN of at least one part.
pub(crate) fn is_dn(dn: &str) -> bool {
    parse_dn(dn).is_some_and(|rdns| !rdns.is_empty())
}

/// A value as it stands in a DN (RFC 4514, 2.4).
pub(crate) fn escape_dn_value(value: impl AsRef<[u8]>) -> String {
    let value = value.as_ref();
    let last = value.len().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                escaped.push('\\');
                escaped.push(char::from(byte));
            }
            b'#' if at == 0 => escaped.push_str("\\#"),
            b' ' if at == 0 || at == last => escaped.push_str("\\ "),
            0x20..=0x7e => escaped.push(char::from(byte)),
            _ => push_hex(&mut escaped, byte),
        }
    }
    escaped
}

/// The one way to write a DN, for comparing: names and values in lower case, as the attributes
/// that name entries ignore it, no spaces around signs, and one way of escaping.
pub(crate) fn normal_dn(dn: &str) -> String {
    let Some(rdns) = parse_dn(dn) else { return dn.trim().to_lowercase() };
    let parts = rdns.into_iter().map(|rdn| {
        let mut pairs: Vec<String> = rdn
            .into_iter()
            .map(|(name, value)| {
                let value = match std::str::from_utf8(&value) {
                    Ok(text) => text.to_lowercase().into_bytes(),
                    Err(_) => value,
                };
                format!("{name}={}", escape_dn_value(value))
            })
            .collect();
        pairs.sort_unstable();
        pairs.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Whether an entry is `base` or under it; both by [`normal_dn`].
pub(crate) fn is_under(dn: &str, base: &str) -> bool {
    base.is_empty()
        || dn == base
        || dn.strip_suffix(base).is_some_and(|head| head.ends_with(',') && !head.ends_with("\\,"))
}

/// The domain that an entry is in: the `dc` parts at the end of its DN, by [`normal_dn`].
pub(crate) fn domain_of(dn: &str) -> String {
    let rdns = parse_dn(dn).unwrap_or_default();
    let is_dc = |rdn: &&Rdn| matches!(rdn.as_slice(), [(name, _)] if name == "dc");
    let count = rdns.iter().rev().take_while(is_dc).count();
    let parts = rdns[rdns.len() - count..].iter().flatten().map(|(_, value)| {
        let value = String::from_utf8_lossy(value).to_lowercase();
        format!("dc={}", escape_dn_value(value))
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_what_means_something() {
        assert_eq!(escape("*"), "\\2a");
        assert_eq!(escape(")(uid=*"), "\\29\\28uid=\\2a");
        assert_eq!(escape("a\\b\0"), "a\\5cb\\00");
        assert_eq!(escape("Zoë"), "Zo\\c3\\ab");
        assert_eq!(escape([0xff, b'a']), "\\ffa");
    }

    #[test]
    fn takes_whole_filters_only() {
        for good in ["", "(uid=a)", "(&(a=b)(!(c=d)))", "(cn=Zo\\c3\\ab*)", "(a:1.2.3:=x)"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(40), ")".repeat(40));
        for bad in ["uid=a", "(uid=a)(b=c)", "(uid=a", "(a=b))(|(c=d)", "()", "(a)", &deep] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn compares_dns() {
        let same = [
            "CN=Team A,OU=Groups,DC=example,DC=test",
            "cn=team a, ou=groups ,dc=Example,dc=test",
            "cn = Team\\20A;ou=groups,dc=example,dc=test",
        ];
        for dn in same {
            assert_eq!(normal_dn(dn), "cn=team a,ou=groups,dc=example,dc=test");
            assert!(is_dn(dn));
        }
        assert_eq!(normal_dn("b=2+a=1,c=3"), "a=1+b=2,c=3");
        assert_eq!(normal_dn("cn=Smith\\, John,dc=x"), "cn=smith\\, john,dc=x");
        assert_eq!(normal_dn("cn=\\  x \\ ,dc=x"), "cn=\\  x \\ ,dc=x");
        assert_ne!(normal_dn("cn=a\\,dc=x"), normal_dn("cn=a,dc=x"));
        for bad in ["", "no", "=x", "cn=a,,dc=x", "cn=a,", "cn=\"a\"", "c n=a", "cn=a\\"] {
            assert!(!is_dn(bad), "{bad}");
        }
    }

    #[test]
    fn knows_what_is_under_a_base() {
        let base = "dc=example,dc=test";
        assert!(is_under("cn=a,dc=example,dc=test", base));
        assert!(is_under(base, base));
        assert!(!is_under("cn=a,dc=other,dc=test", base));
        assert!(!is_under("cn=adc=example,dc=test", base));
        assert!(!is_under("cn=a\\,dc=example,dc=test", base));
        assert_eq!(domain_of("CN=a,OU=dc,DC=Child,DC=test"), "dc=child,dc=test");
        assert_eq!(domain_of("cn=a"), "");
    }

    #[test]
    fn names_of_attributes() {
        for good in ["uid", "userCertificate;binary", "2.5.4.3", "x-y"] {
            assert!(is_attribute(good), "{good}");
        }
        for bad in ["", "a b", "uid)", "1", "2.5.", ";binary", "a=b", "-x"] {
            assert!(!is_attribute(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_value_stays_one_value(value in any::<Vec<u8>>()) {
            let filter = format!("(&(objectClass=person)(uid={}))", escape(&value));
            prop_assert!(ldap3::parse_filter(&filter).is_ok());
            let escaped = escape(&value);
            prop_assert!(!escaped.contains(['*', '(', ')', '\0']));
            let back = ldap3::ldap_unescape(escaped.as_str());
            if let Ok(text) = std::str::from_utf8(&value) {
                prop_assert_eq!(back.unwrap(), text);
            }
        }

        #[test]
        fn an_escaped_dn_value_comes_back(value in any::<Vec<u8>>(), text in "\\PC*") {
            for value in [value.as_slice(), text.as_bytes()] {
                let dn = format!("cn={},dc=x", escape_dn_value(value));
                let rdns = parse_dn(&dn);
                let wanted = vec![
                    vec![("cn".to_owned(), value.to_vec())],
                    vec![("dc".to_owned(), b"x".to_vec())],
                ];
                prop_assert_eq!(rdns, Some(wanted));
            }
        }

        #[test]
        fn nothing_upsets_the_readers(text in "\\PC*") {
            let once = normal_dn(&text);
            if is_dn(&text) {
                prop_assert_eq!(normal_dn(&once), once);
            }
            let _ = check_filter(&text);
            let _ = domain_of(&text);
        }
    }
}
