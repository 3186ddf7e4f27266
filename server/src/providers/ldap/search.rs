//! Searches: bounded in what they take and how long, page by page where a server gives no more at
//! once. Referrals are counted and never followed: they would lead passwords to other servers.

use std::{collections::HashMap, time::Duration};

use drover_api::TestStepKind;
use ldap3::{
    DerefAliases, Ldap, LdapError, LdapResult, ResultEntry, Scope, SearchOptions,
    controls::{Control, ControlType, PagedResults, RawControl},
};

use super::trouble::code;

/// Entries in a page: less than what servers give at most by default (Active Directory 1,000,
/// OpenLDAP and 389 Directory Server 500 to 2,000).
const PAGE: i32 = 500;
/// The largest value that is kept: a DN, a name, an id.
const LARGEST_VALUE: usize = 4096;
/// How many values of an attribute are kept.
const MOST_VALUES: usize = 5000;

/// What to search for.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a> {
    /// As which step it counts.
    pub(crate) step: TestStepKind,
    /// Where to begin.
    pub(crate) base: &'a str,
    /// How deep to go.
    pub(crate) scope: Scope,
    /// The filter, with all values escaped.
    pub(crate) filter: String,
    /// The attributes to read.
    pub(crate) attributes: &'a [String],
    /// How many entries to take at most.
    pub(crate) limit: usize,
    /// Whether fewer than there are would be wrong: then pages are asked for where the server
    /// needs it, and it is an error when it gives less.
    pub(crate) all: bool,
}

/// An entry, with the names of attributes in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Where it is.
    pub(crate) dn: String,
    attributes: HashMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    /// Reads one. `None` when the answer is not what the protocol says, or too large.
    fn parse(entry: ResultEntry) -> Option<Self> {
        let mut parts = entry.0.match_id(4)?.expect_constructed()?.into_iter();
        let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        if dn.len() > LARGEST_VALUE {
            return None;
        }
        let mut attributes = HashMap::new();
        for attribute in parts.next()?.expect_constructed()? {
            let mut parts = attribute.expect_constructed()?.into_iter();
            let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
            let values = parts
                .next()?
                .expect_constructed()?
                .into_iter()
                .filter_map(|value| value.expect_primitive())
                .filter(|value| value.len() <= LARGEST_VALUE)
                .take(MOST_VALUES)
                .collect();
            attributes.insert(name.to_ascii_lowercase(), values);
        }
        Some(Self { dn, attributes })
    }

    /// One with these attributes.
    #[cfg(test)]
    pub(crate) fn of(dn: &str, attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), vec![value.as_bytes().to_vec()]));
        Self { dn: dn.to_owned(), attributes: attributes.collect() }
    }

    /// All values of an attribute.
    pub(crate) fn values(&self, attribute: &str) -> &[Vec<u8>] {
        self.attributes.get(&attribute.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The first value.
    pub(crate) fn bytes(&self, attribute: &str) -> Option<&[u8]> {
        self.values(attribute).first().map(Vec::as_slice)
    }

    /// The first value as text, if it is that and not empty.
    pub(crate) fn text(&self, attribute: &str) -> Option<&str> {
        let text = std::str::from_utf8(self.bytes(attribute)?).ok()?;
        Some(text.trim()).filter(|text| !text.is_empty())
    }

    /// The first value as a number.
    pub(crate) fn number(&self, attribute: &str) -> Option<i64> {
        self.text(attribute)?.parse().ok()
    }

    /// All values that are text.
    pub(crate) fn texts(&self, attribute: &str) -> impl Iterator<Item = &str> {
        self.values(attribute).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }
}

/// What a search has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The entries.
    pub(crate) entries: Vec<Entry>,
    /// How often the server referred to another one.
    pub(crate) referrals: usize,
    /// Whether there are more than were taken.
    pub(crate) more: bool,
}

/// Why a search has found nothing.
#[derive(Debug)]
pub(crate) enum SearchError {
    /// The connection is of no use any more.
    Lost(LdapError),
    /// The server says no.
    Refused(LdapResult),
}

impl From<LdapError> for SearchError {
    fn from(error: LdapError) -> Self {
        Self::Lost(error)
    }
}

/// Asks once, without pages.
pub(crate) async fn once(
    ldap: &Ldap,
    query: &Query<'_>,
    limit: Duration,
) -> Result<Found, SearchError> {
    let mut found = Found::default();
    let result = tokio::time::timeout(limit, ask(ldap, query, limit, None, &mut found)).await;
    let result = result.map_err(LdapError::from)??;
    finish(found, result)
}

fn finish(mut found: Found, result: Option<LdapResult>) -> Result<Found, SearchError> {
    match result {
        None => found.more = true,
        Some(result) if result.rc == 0 => {}
        Some(result) if matches!(result.rc, code::SIZE_LIMIT | code::ADMIN_LIMIT) => {
            found.more = true;
        }
        Some(result) => return Err(SearchError::Refused(result)),
    }
    Ok(found)
}

/// Asks page by page (RFC 2696). The connection must be the caller's own: servers keep one such
/// search for each.
pub(crate) async fn paged(
    ldap: &Ldap,
    query: &Query<'_>,
    limit: Duration,
) -> Result<Found, SearchError> {
    let mut found = Found::default();
    let mut cookie = Vec::new();
    loop {
        let before = found.entries.len();
        let page = ask(ldap, query, limit, Some(cookie), &mut found);
        let result = tokio::time::timeout(limit, page).await.map_err(LdapError::from)??;
        let Some(result) = result else {
            found.more = true;
            return Ok(found);
        };
        if result.rc != 0 {
            return Err(SearchError::Refused(result));
        }
        cookie = next_cookie(&result.ctrls);
        // A server that gives empty pages for ever is not waited for.
        if cookie.is_empty() || found.entries.len() == before {
            return Ok(found);
        }
    }
}

/// One request; the result is `None` when it was ended because enough was found.
async fn ask(
    ldap: &Ldap,
    query: &Query<'_>,
    limit: Duration,
    cookie: Option<Vec<u8>>,
    found: &mut Found,
) -> Result<Option<LdapResult>, LdapError> {
    let mut ldap = ldap.clone();
    let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
    let mut options = SearchOptions::new().deref(DerefAliases::Never).timelimit(seconds);
    if let Some(cookie) = cookie {
        ldap.with_controls(RawControl::from(PagedResults { size: PAGE, cookie }));
    } else if !query.all {
        options = options.sizelimit(i32::try_from(query.limit).unwrap_or(i32::MAX));
    }
    ldap.with_search_options(options);
    let attributes = query.attributes.to_vec();
    let mut stream =
        ldap.streaming_search(query.base, query.scope, &query.filter, attributes).await?;
    while let Some(entry) = stream.next().await? {
        if entry.is_ref() {
            found.referrals += 1;
        } else if entry.is_intermediate() {
            continue;
        } else if found.entries.len() == query.limit {
            let id = stream.ldap_handle().last_id();
            stream.finish().await;
            ldap.abandon(id).await?;
            return Ok(None);
        } else {
            found.entries.extend(Entry::parse(entry));
        }
    }
    Ok(Some(stream.finish().await))
}

/// Where the next page begins: `SEQUENCE { INTEGER, OCTET STRING }`. Read here, as the crate's
/// reader panics over answers that are not so.
fn next_cookie(controls: &[Control]) -> Vec<u8> {
    let control = controls.iter().find_map(|control| match control {
        Control(Some(ControlType::PagedResults), raw) => raw.val.as_deref(),
        _ => None,
    });
    let inside = control.and_then(|value| ber(value, 0x30)).map(|(inside, _)| inside);
    let cookie = inside.and_then(|inside| ber(inside, 0x02)).and_then(|(_, rest)| ber(rest, 0x04));
    cookie.map(|(cookie, _)| cookie.to_vec()).unwrap_or_default()
}

/// What an element with this tag holds, and what follows it.
fn ber(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (long, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(value: &[u8]) -> Vec<Control> {
        let ctype = "1.2.840.113556.1.4.319".to_owned();
        let raw = RawControl { ctype, crit: false, val: Some(value.to_vec()) };
        vec![Control(Some(ControlType::PagedResults), raw)]
    }

    #[test]
    fn reads_the_cookie_and_nothing_else() {
        assert_eq!(next_cookie(&control(b"\x30\x07\x02\x01\x05\x04\x02ab")), b"ab");
        assert_eq!(next_cookie(&control(b"\x30\x81\x07\x02\x01\x05\x04\x02ab")), b"ab");
        assert!(next_cookie(&control(b"\x30\x05\x02\x01\x05\x04\x00")).is_empty());
        for broken in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x02\x01\x05"] {
            assert!(next_cookie(&control(broken)).is_empty());
        }
        assert!(next_cookie(&[]).is_empty());
    }
}
