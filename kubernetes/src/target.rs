//! What a request to a cluster's API is about, read from its method, path and query as an API
//! server reads them.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>

use std::borrow::Cow;

/// What a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Kubernetes' word for what is done: `get`, `list`, `create`…; of what is no resource the
    /// method in small letters.
    pub verb: &'static str,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, e.g. `pods`; empty for what is none, such as `/version`.
    pub resource: String,
    /// E.g. `log` or `exec`; may be empty.
    pub subresource: String,
    /// Empty for what is in none.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Nothing is written: every `dryRun` of the query says `All`.
    pub dry_run: bool,
}

/// Why a request is not passed on.
pub type Malformed = &'static str;

impl Target {
    /// Reads a request. The path begins with `/`, and is as it was sent.
    ///
    /// # Errors
    /// When the path can be read in more than one way.
    pub fn read(method: &str, path: &str, query: Option<&str>) -> Result<Self, Malformed> {
        let parts = parts(path)?;
        let mut parts = parts.iter().map(|part| &**part).collect::<Vec<&str>>();
        let mut target = Self { dry_run: is_dry_run(query), ..Self::default() };
        let is_watch = flag(query, "watch");
        let verb = match method {
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            "OPTIONS" => "options",
            _ => "get",
        };
        target.verb = verb;
        match parts.as_slice() {
            ["api", _, _, ..] => parts.drain(..2),
            ["apis", group, _, _, ..] => {
                target.group = (*group).to_owned();
                parts.drain(..3)
            }
            _ => return Ok(target),
        };
        let mut by_prefix = false;
        if parts.first() == Some(&"watch") && parts.len() > 1 {
            (target.verb, by_prefix) = ("watch", true);
            parts.remove(0);
        }
        if let ["namespaces", namespace, ..] = parts.as_slice() {
            target.namespace = (*namespace).to_owned();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts.drain(..2);
            }
        }
        let nth = |n: usize| parts.get(n).map(|part| (*part).to_owned()).unwrap_or_default();
        (target.resource, target.name, target.subresource) = (nth(0), nth(1), nth(2));
        if target.name.is_empty() && !by_prefix {
            target.verb = match verb {
                "get" if is_watch => "watch",
                "get" => "list",
                "delete" => "deletecollection",
                other => other,
            };
        }
        Ok(target)
    }

    /// The type as kubectl takes it, with the subresource: `pods/exec`, `deployments.apps`.
    pub fn type_name(&self) -> String {
        let mut name = self.resource.clone();
        if !self.group.is_empty() {
            name = format!("{name}.{}", self.group);
        }
        if !self.subresource.is_empty() {
            name = format!("{name}/{}", self.subresource);
        }
        name
    }

    /// Whether a connection is opened by it that carries anything: a shell, say.
    pub fn connects(&self) -> bool {
        self.group.is_empty()
            && match self.resource.as_str() {
                "pods" => {
                    matches!(self.subresource.as_str(), "attach" | "exec" | "portforward" | "proxy")
                }
                "services" | "nodes" => self.subresource == "proxy",
                _ => false,
            }
    }

    /// Whether it is only a question, put as an object.
    pub fn is_review(&self) -> bool {
        matches!(self.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
            && (self.resource.ends_with("reviews"))
    }

    /// Whether it changes something, or may through a connection.
    pub fn writes(&self) -> bool {
        let reads = matches!(self.verb, "get" | "list" | "watch" | "options");
        self.connects() || !reads && !self.dry_run && !self.is_review()
    }
}

/// The parts of a path, decoded. What comes behind `proxy` is an application's own and may have
/// empty parts and encoded slashes; nothing may lead upwards.
fn parts(path: &str) -> Result<Vec<Cow<'_, str>>, Malformed> {
    let rest = path.strip_prefix('/').ok_or("The path must begin with a slash.")?;
    let mut parts = Vec::new();
    let mut is_applications = false;
    let raw: Vec<&str> = rest.split('/').collect();
    for (n, raw_part) in raw.iter().enumerate() {
        let part = decode(raw_part)?;
        if part.chars().any(char::is_control) {
            return Err("The path has a control character.");
        }
        if part.split(['/', '\\']).any(|step| matches!(step, "." | "..")) {
            return Err("The path has a part that is `.` or `..`.");
        }
        if !is_applications {
            let is_last = n + 1 == raw.len();
            if part.is_empty() && !is_last {
                return Err("The path has two slashes in a row.");
            }
            // The names of objects have none of these, and an API server would see another path.
            if part.contains(['/', '\\', '%', ';', '?', '#']) {
                return Err("A part of the path has a character that no name has.");
            }
        }
        is_applications |= part == "proxy" && leads_to_applications(&parts);
        if !part.is_empty() {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Whether `proxy` behind these parts is the subresource, and not somebody's name.
fn leads_to_applications(parts: &[Cow<'_, str>]) -> bool {
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    matches!(
        parts.as_slice(),
        ["api", _, "nodes", _] | ["api", _, "namespaces", _, "pods" | "services", _]
    )
}

fn decode(part: &str) -> Result<Cow<'_, str>, Malformed> {
    const WRONG: Malformed =
        "A `%` in the path is not followed by two hexadecimal digits, or the path is not UTF-8.";
    if !part.contains('%') {
        return Ok(part.into());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'x')).to_digit(16);
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(byte.ok_or(WRONG)?);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| WRONG)
}

/// The values of a parameter, as they stand.
fn values<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    query.unwrap_or_default().split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key).ok()? == name).then(|| decode(value).unwrap_or_default())
    })
}

fn flag(query: Option<&str>, name: &str) -> bool {
    values(query, name).any(|value| matches!(&*value, "1" | "true"))
}

fn is_dry_run(query: Option<&str>) -> bool {
    let mut some = false;
    let all = values(query, "dryRun").all(|value| {
        some = true;
        value == "All"
    });
    some && all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Target {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        Target::read(method, path, query).unwrap()
    }

    fn told(method: &str, path: &str) -> String {
        let target = read(method, path);
        let (kind, place) = (target.type_name(), format!("{}/{}", target.namespace, target.name));
        format!("{} {kind} {place}", target.verb)
    }

    #[test]
    fn requests_are_read_as_an_api_server_reads_them() {
        for (method, path, expected) in [
            ("GET", "/api/v1/pods", "list pods /"),
            ("GET", "/api/v1/pods?watch=true", "watch pods /"),
            ("GET", "/api/v1/watch/pods", "watch pods /"),
            ("GET", "/api/v1/namespaces/shop/pods/web-1", "get pods shop/web-1"),
            ("GET", "/api/v1/namespaces/shop/pods/web-1/log?follow=1", "get pods/log shop/web-1"),
            ("POST", "/api/v1/namespaces/shop/pods/web-1/exec", "create pods/exec shop/web-1"),
            ("GET", "/api/v1/namespaces/shop", "get namespaces shop/shop"),
            ("PUT", "/api/v1/namespaces/shop/finalize", "update namespaces/finalize shop/shop"),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/shop/deployments",
                "deletecollection deployments.apps shop/",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                "patch deployments.apps/scale shop/web",
            ),
            ("POST", "/apis/batch/v1/namespaces/shop/jobs", "create jobs.batch shop/"),
            (
                "GET",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aadmin",
                "get clusterroles.rbac.authorization.k8s.io /system:admin",
            ),
            ("GET", "/version", "get  /"),
            ("GET", "/apis/apps/v1", "get  /"),
            ("GET", "/api/v1/", "get  /"),
            ("GET", "/", "get  /"),
            (
                "GET",
                "/api/v1/namespaces/shop/services/web:80/proxy/a//b%2Fc",
                "get services/proxy shop/web:80",
            ),
            (
                "GET",
                "/api/v1/namespaces/shop/services/http:proxy:80/proxy/",
                "get services/proxy shop/http:proxy:80",
            ),
        ] {
            assert_eq!(told(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for path in [
            "api/v1",
            "/api/v1//pods",
            "//api/v1/pods",
            "/api/v1/namespaces/a/../b/pods",
            "/api/v1/namespaces/a/%2e%2e/b/pods",
            "/api/v1/namespaces/a/%2E./b",
            "/api/v1/namespaces/a%2Fpods/x",
            "/api/v1/namespaces/a%252e/x",
            "/api/v1/namespaces/a\\..\\b",
            "/api/v1/namespaces/a%5c..%5cb",
            "/api/v1/namespaces/a/pods/x;y",
            "/api/v1/namespaces/a/pods/%zz",
            "/api/v1/namespaces/a/pods/%ff",
            "/api/v1/namespaces/a/pods/x%0a",
            "/api/v1/./pods",
            "/api/v1/namespaces/a/services/b/proxy/../../../pods",
            "/api/v1/namespaces/a/services/b/proxy/..%2f..%2fx",
            // Not an application's yet.
            "/api/v1/proxy//x",
            "/api/v1/namespaces/a/pods/proxy//exec",
        ] {
            assert!(Target::read("GET", path, None).is_err(), "{path}");
        }
    }

    #[test]
    fn what_writes_is_known() {
        let writes = |method: &str, path: &str| read(method, path).writes();
        assert!(writes("POST", "/api/v1/namespaces/a/pods"));
        assert!(writes("PATCH", "/api/v1/namespaces/a/pods/b?dryRun=None"));
        assert!(writes("PATCH", "/api/v1/namespaces/a/pods/b?dryRun=All&dryRun=x"));
        assert!(!writes("PATCH", "/api/v1/namespaces/a/pods/b?fieldManager=x&dryRun=All"));
        assert!(writes("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh"));
        assert!(writes("GET", "/api/v1/namespaces/a/services/b/proxy/x"));
        assert!(!writes("GET", "/api/v1/namespaces/a/pods/b/log"));
        assert!(!writes("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!writes("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"));
        assert!(writes("POST", "/api/v1/namespaces/a/serviceaccounts/b/token"));
        assert!(!writes("GET", "/api/v1/namespaces/a/configmaps/b"));
    }
}
