//! The address of a call: the engine's path, with or without a version, and the query.

use super::Refusal;

/// The longest path and query that are taken.
const LONGEST: usize = 64 << 10;

/// The address of a call, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// e.g. `v1.41`
    pub version: Option<String>,
    /// The path behind the version, decoded. Each is plain: no slash, dots alone, or odd character.
    pub segments: Vec<String>,
    /// The query's parameters, decoded, in their order.
    pub query: Vec<(String, String)>,
}

impl Address {
    /// Takes an address apart. `path` has no leading slash.
    ///
    /// # Errors
    /// For one that the engine could read in another way: it cleans up paths with `..` and `//`.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let malformed = || {
            Refusal::Malformed(
                "This address is not one of the Docker Engine's API: it is malformed.".into(),
            )
        };
        let query = query.unwrap_or_default();
        if path.len() + query.len() > LONGEST {
            return Err(malformed());
        }
        let mut segments = path
            .split('/')
            .map(|segment| decode(segment).filter(|segment| is_plain(segment)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(malformed)?;
        let version = segments.first().is_some_and(|first| is_version(first));
        let version = version.then(|| segments.remove(0));
        if segments.is_empty() {
            return Err(malformed());
        }
        let query = serde_urlencoded::from_str(query).map_err(|_| malformed())?;
        Ok(Self { version, segments, query })
    }

    /// The path and query to send to the engine. Characters that its router could take for
    /// something else (old ones split queries at `;`) are encoded.
    pub fn to_target(&self) -> String {
        let mut target = String::new();
        for segment in self.version.iter().chain(&self.segments) {
            target.push('/');
            target.push_str(segment);
        }
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&serde_urlencoded::to_string(&self.query).unwrap_or_default());
        }
        target
    }

    /// All values of a parameter.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, which is the one that engines take.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `v1.41`
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').and_then(|rest| rest.split_once('.')).is_some_and(|(major, minor)| {
        [major, minor]
            .iter()
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-:@+~=".contains(&b))
}

/// Undoes percent-encoding; `None` where it is malformed.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Option<(Option<String>, Vec<String>)> {
        Address::parse(path, None).ok().map(|address| (address.version, address.segments))
    }

    #[test]
    fn paths_are_taken_apart() {
        let plain = segments("containers/json").unwrap();
        assert_eq!(plain, (None, vec!["containers".into(), "json".into()]));
        let (version, path) = segments("v1.41/images/a%40sha256%3Aff/json").unwrap();
        assert_eq!(version.as_deref(), Some("v1.41"));
        assert_eq!(path, ["images", "a@sha256:ff", "json"]);
        assert_eq!(segments("version").unwrap().1, ["version"]);
    }

    #[test]
    fn what_an_engine_could_read_otherwise_is_refused() {
        for bad in [
            "",
            "v1.41",
            "v1.41/",
            "a//b",
            "a/",
            "a/../b",
            "a/./b",
            "a/%2e%2e/b",
            "a%2fb",
            "a%5cb",
            "a/%zz",
            "a/%",
            "a%00",
            "a;b",
            "a%3fb",
            "ä",
            "a b",
            "a%0d%0ab",
        ] {
            assert_eq!(segments(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_sent_is_what_was_read() {
        let address =
            Address::parse("v1.41/build", Some("t=a%2Fb&x=1;networkmode=host&y")).unwrap();
        assert_eq!(address.value("networkmode"), None);
        let target = address.to_target();
        assert_eq!(target, "/v1.41/build?t=a%2Fb&x=1%3Bnetworkmode%3Dhost&y=");
        let (path, query) = target[1..].split_once('?').unwrap();
        assert_eq!(Address::parse(path, Some(query)).unwrap(), address);
    }
}
