//! What of an application's headers passes, and how.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
};

use crate::web::OwnHeaders;

/// What Drover's own cookies are called.
const OURS: &str = "drover_";
/// What an application would say of the whole origin, which is Drover's.
const OF_ORIGIN: [HeaderName; 15] = [
    HeaderName::from_static("accept-ch"),
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("cross-origin-embedder-policy"),
    // With a sandbox, browsers would show nothing at all.
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("origin-agent-cluster"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("service-worker-allowed"),
    header::STRICT_TRANSPORT_SECURITY,
    // The password would be asked for in Drover's name.
    header::WWW_AUTHENTICATE,
];
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads; frame-ancestors 'none'";

/// The cookies that an application gets: all but Drover's.
pub fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let kept: Vec<&str> = given
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|cookie| !cookie.is_empty() && !is_ours(cookie))
        .collect();
    if kept.is_empty() { None } else { kept.join("; ").try_into().ok() }
}

fn is_ours(cookie: &str) -> bool {
    let name = cookie.split('=').next().unwrap_or_default().trim();
    name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

/// Puts what leads to the application's root to where that is for the browser: `target` is its
/// address in the cluster, `base` the one in Drover.
pub fn scope(headers: &mut HeaderMap, target: &str, base: &str, secure: bool) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let place = headers.get(&name).and_then(|place| place.to_str().ok());
        if let Some(place) = place.and_then(|place| relocated(place, target, base))
            && let Ok(place) = HeaderValue::try_from(place)
        {
            headers.insert(name, place);
        }
    }
    let set: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| scoped_cookie(value.to_str().ok()?, base, secure))
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in set {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Where a place of the application's is for the browser; none for what stays as it is.
fn relocated(place: &str, target: &str, base: &str) -> Option<String> {
    // `//host/…` is another site.
    if !place.starts_with('/') || place.starts_with("//") || place.starts_with("/\\") {
        return None;
    }
    let rest = place
        .strip_prefix(target)
        .filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    let rest = rest.unwrap_or(place);
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Some(format!("{base}{slash}{rest}"))
}

/// A cookie of the application's, for its own addresses alone.
fn scoped_cookie(cookie: &str, base: &str, secure: bool) -> Option<HeaderValue> {
    let mut parts = cookie.split(';').map(str::trim);
    let pair = parts.next()?;
    let lower = pair.to_ascii_lowercase();
    if is_ours(pair) || lower.starts_with("__host-") || !pair.contains('=') {
        return None;
    }
    let mut kept = vec![pair.to_owned()];
    for attribute in parts {
        let name = attribute.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        let stays = match name.as_str() {
            "path" | "domain" => false,
            // What a sandboxed page loads is another site's for the browser.
            "samesite" | "secure" | "partitioned" => !secure,
            _ => true,
        };
        if stays {
            kept.push(attribute.to_owned());
        }
    }
    kept.push(format!("Path={base}/"));
    if secure {
        kept.extend(["Secure".to_owned(), "SameSite=None".to_owned()]);
    }
    kept.join("; ").try_into().ok()
}

/// Keeps the answer from being a page of Drover's. For what a sandboxed page asks for, it says
/// that the page may read it.
pub fn sandbox(headers: &mut HeaderMap, is_sandboxed: bool) {
    for name in OF_ORIGIN {
        headers.remove(name);
    }
    // Beside the application's own: both hold.
    headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        // Addresses are secrets.
        (header::REFERRER_POLICY, "no-referrer"),
        // A sandboxed page is of another origin than what it loads.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if is_sandboxed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("null"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The answer to a browser that asks whether a sandboxed page may send something.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    sandbox(answer, true);
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
    if let Some(names) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response.extensions_mut().insert(OwnHeaders);
    Some(response)
}

/// Whether it is a page, in which an API server has put its own address before links.
pub fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
        && !headers.contains_key(header::CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "/api/v1/namespaces/a/services/b:80/proxy";
    const BASE: &str = "/k8s/forward/T";

    #[test]
    fn places_stay_below_the_address() {
        let at = |place: &str| relocated(place, TARGET, BASE);
        assert_eq!(at(&format!("{TARGET}/login?x=1")).unwrap(), format!("{BASE}/login?x=1"));
        assert_eq!(at(TARGET).unwrap(), format!("{BASE}/"));
        assert_eq!(at("/login").unwrap(), format!("{BASE}/login"));
        assert_eq!(at(&format!("{TARGET}x")).unwrap(), format!("{BASE}{TARGET}x"));
        for other in ["login", "https://other.test/x", "//other.test/x", "/\\other.test"] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn cookies_are_the_applications_own() {
        let set = |cookie: &str, secure: bool| {
            scoped_cookie(cookie, BASE, secure).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            set("a=1; Path=/; Domain=x.test; HttpOnly; SameSite=Lax", false).unwrap(),
            "a=1; HttpOnly; SameSite=Lax; Path=/k8s/forward/T/"
        );
        assert_eq!(
            set("a=1; SameSite=Strict", true).unwrap(),
            "a=1; Path=/k8s/forward/T/; Secure; SameSite=None"
        );
        for bad in ["drover_session=x", "Drover_Session=x; Path=/", "__Host-a=1; Path=/", "odd"] {
            assert_eq!(set(bad, false), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("drover_session=x; a=1"));
        headers.append("cookie", HeaderValue::from_static("DROVER_ticket=y;b=2"));
        assert_eq!(cookies(&headers).unwrap(), "a=1; b=2");
        headers.remove("cookie");
        assert_eq!(cookies(&headers), None);
    }

    #[test]
    fn an_application_says_nothing_of_drovers_origin() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("clear-site-data", "\"*\""),
            ("service-worker-allowed", "/"),
            ("www-authenticate", "Basic"),
            ("strict-transport-security", "max-age=0"),
            ("cross-origin-opener-policy", "same-origin"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "default-src 'self'"),
            ("content-type", "text/html"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        sandbox(&mut headers, false);
        for gone in [
            "clear-site-data",
            "service-worker-allowed",
            "www-authenticate",
            "strict-transport-security",
            "cross-origin-opener-policy",
            "access-control-allow-origin",
        ] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        let policies: Vec<_> = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies.len(), 2);
        assert!(SANDBOX.starts_with("sandbox ") && !SANDBOX.contains("allow-same-origin"));
        assert!(is_page(&headers));
        sandbox(&mut headers, true);
        assert_eq!(headers["access-control-allow-origin"], "null");
    }
}
