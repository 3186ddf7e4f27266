//! What a request asks for, as Kubernetes takes addresses apart for authorization and audit.

use std::collections::BTreeMap;

use hyper::Method;

use crate::status::{ApiError, Result};

/// A request, understood.
#[derive(Debug, Clone, Default)]
pub struct RequestInfo {
    /// Whether it is about a resource.
    pub is_resource: bool,
    /// `get`, `list`, `watch`, `create`, …
    pub verb: String,
    /// The address without its query.
    pub path: String,
    /// The API group, empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The plural.
    pub resource: String,
    /// `status`, `log`, …
    pub subresource: String,
    /// The object's name, or nothing.
    pub name: String,
    /// What follows a subresource, as a proxy has it.
    pub rest: String,
    /// The query.
    pub query: Query,
}

/// The parameters of an address.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Reads it.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter, if there is one that is not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on. Present without a value counts, as Kubernetes takes it.
    pub fn flag(&self, key: &str) -> bool {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, key: &str) -> Result<Option<i64>> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "strconv.ParseInt: parsing \"{text}\": invalid syntax"
                    ))
                })
            })
            .transpose()
    }
}

/// Undoes percent encoding.
pub fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|&c| char::from(c).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
                continue;
            }
            (b'+', _, _) if plus => out.push(b' '),
            (other, _, _) => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl RequestInfo {
    /// Takes a request apart.
    pub fn of(method: &Method, path: &str, query: &str) -> Self {
        let mut info = Self {
            path: path.to_owned(),
            verb: method.as_str().to_lowercase(),
            query: Query::parse(query),
            ..Self::default()
        };
        let parts: Vec<String> =
            path.split('/').filter(|p| !p.is_empty()).map(|p| decode(p, false)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        info.verb = match info.verb.as_str() {
            "post" => "create",
            "put" => "update",
            "head" => "get",
            other => other,
        }
        .to_owned();
        info.resource_path(rest);
        if info.name.is_empty() {
            info.collection_verb();
        }
        info
    }

    fn resource_path(&mut self, parts: &[&str]) {
        let parts = match parts {
            ["watch", rest @ ..] if !rest.is_empty() => {
                self.verb = "watch".to_owned();
                rest
            }
            other => other,
        };
        let rest = match parts {
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = (*namespace).to_owned();
                match rest {
                    // The namespace itself, or a part of it.
                    [] | ["status" | "finalize", ..] => parts,
                    _ => rest,
                }
            }
            _ => parts,
        };
        let mut words = rest.iter();
        self.resource = words.next().map(|&word| word.to_owned()).unwrap_or_default();
        self.name = words.next().map(|&word| word.to_owned()).unwrap_or_default();
        self.subresource = words.next().map(|&word| word.to_owned()).unwrap_or_default();
        let more: Vec<_> = words.copied().collect();
        self.rest = more.join("/");
    }

    fn collection_verb(&mut self) {
        match self.verb.as_str() {
            "get" if self.query.flag("watch") => "watch",
            "get" => "list",
            "delete" => "deletecollection",
            _ => return,
        }
        .clone_into(&mut self.verb);
        // A list of one name counts as that name.
        let selected = self.query.get("fieldSelector").and_then(|selector| {
            selector.split(',').find_map(|term| term.strip_prefix("metadata.name="))
        });
        if let Some(name) = selected {
            self.name = name.trim_start_matches('=').to_owned();
        }
    }

    /// Whether the address names an object.
    pub fn names_object(&self) -> bool {
        !matches!(self.verb.as_str(), "list" | "watch" | "deletecollection")
    }

    /// `pods/log`.
    pub fn full_resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            sub => format!("{}/{sub}", self.resource),
        }
    }
}

/// Headers that matter, by lower-case name.
pub type Headers = BTreeMap<String, Vec<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str, query: &str) -> (String, String, String, String, String) {
        let info = RequestInfo::of(&method, path, query);
        (info.verb, info.namespace, info.resource, info.name, info.subresource)
    }

    #[test]
    fn addresses_are_taken_apart() {
        let words = |a: &str, b: &str, c: &str, d: &str, e: &str| {
            (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned(), e.to_owned())
        };
        assert_eq!(of(Method::GET, "/api/v1/pods", "watch=1"), words("watch", "", "pods", "", ""));
        assert_eq!(
            of(Method::GET, "/api/v1/namespaces/a/pods/b/log", ""),
            words("get", "a", "pods", "b", "log")
        );
        assert_eq!(
            of(Method::PUT, "/api/v1/namespaces/a/finalize", ""),
            words("update", "a", "namespaces", "a", "finalize")
        );
        assert_eq!(
            of(Method::DELETE, "/apis/apps/v1/namespaces/a/deployments", ""),
            words("deletecollection", "a", "deployments", "", "")
        );
        assert_eq!(
            of(Method::GET, "/api/v1/namespaces/a", ""),
            words("get", "a", "namespaces", "a", "")
        );
    }
}
