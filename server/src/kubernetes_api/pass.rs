//! Sends a call on to a cluster and its answer back: as streams, with back-pressure both ways, and
//! no longer than the caller has the right to it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
    },
};
use drover_kubernetes::client::{Body as Answer, Cluster, Identity, RequestBody, empty, full};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::right::Right;
use crate::{
    clusters::kubernetes::failed,
    error::{Error, Result},
    passing::{Guarded, Raw, Revoked, Unread, clean, join, taken_away},
};

/// What is of the client's connection with Drover, and nobody else's business.
const OWN: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::VIA,
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A call's body.
pub(super) enum Sent {
    /// Read already.
    Whole(Bytes),
    /// As it comes.
    Stream(Unread),
}

impl Sent {
    pub(super) fn into_body(self, headers: &mut HeaderMap, revoked: Revoked) -> RequestBody {
        match self {
            Self::Whole(bytes) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                full(bytes)
            }
            Self::Stream(body) if body.is_empty() => empty(),
            Self::Stream(body) => Guarded::new(body.into_body(), revoked).boxed_unsync(),
        }
    }
}

/// The headers of a call as a cluster gets them. Who the caller is says the identity alone.
pub(super) fn passed(mut headers: HeaderMap, from: IpAddr) -> HeaderMap {
    clean(&mut headers);
    let is_own = |name: &HeaderName| {
        OWN.contains(name)
            || ["impersonate-", "x-remote-", "x-forwarded-"]
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
    };
    let own: Vec<HeaderName> = headers.keys().filter(|name| is_own(name)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    // The cluster's audit log has it among the addresses that a call came from.
    if let Ok(from) = HeaderValue::try_from(from.to_string()) {
        headers.insert(FORWARDED_FOR, from);
    }
    headers
}

/// A connection that the client asks to switch to another protocol.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

impl Upgrade {
    /// What a call asks for, taken out of it.
    pub(super) fn take(parts: &mut Parts) -> Option<Self> {
        let protocol = parts.headers.get(header::UPGRADE)?.clone();
        // To HTTP/2, say: nobody wants that here.
        let is_wanted = |protocol: &[u8]| {
            let protocol = protocol.to_ascii_lowercase();
            protocol.starts_with(b"spdy/") || protocol == b"websocket"
        };
        if !is_wanted(protocol.as_bytes()) {
            return None;
        }
        Some(Self { protocol, client: parts.extensions.remove::<OnUpgrade>()? })
    }

    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// The answer to a client whose cluster has switched.
    pub(super) async fn switch(
        self,
        answer: Response<Answer>,
        revoked: Revoked,
    ) -> Result<Response<Body>> {
        let mut headers = answer.headers().clone();
        let protocol = headers.get(header::UPGRADE).cloned();
        clean(&mut headers);
        let cluster = hyper::upgrade::on(answer).await.map_err(|error| {
            tracing::debug!(%error, "a cluster did not go on after its switch");
            broken("The cluster ended the connection.")
        })?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        headers.remove(header::SET_COOKIE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.unwrap_or(self.protocol));
        *response.headers_mut() = headers;
        response.extensions_mut().insert(Raw);
        tokio::spawn(join(self.client, TokioIo::new(cluster), revoked));
        Ok(response)
    }
}

pub(super) fn broken(why: &'static str) -> Error {
    Error::new(StatusCode::BAD_GATEWAY, "cluster_error", why)
}

/// Sends a call on and makes the answer.
pub(super) async fn send(
    cluster: &Cluster,
    right: Arc<Right>,
    mut parts: Parts,
    address: &str,
    from: IpAddr,
    body: Sent,
) -> Result<Response<Body>> {
    let upgrade = Upgrade::take(&mut parts);
    let mut headers = passed(std::mem::take(&mut parts.headers), from);
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut headers);
    }
    let body = body.into_body(&mut headers, right.revoked());
    let mut request =
        Request::builder().method(parts.method).uri(address).body(body).map_err(|_| {
            super::refuse::malformed("The address has characters that no address has.")
        })?;
    *request.headers_mut() = headers;
    let answer = tokio::select! {
        answer = cluster.raw(request, Identity::User(right.user())) => answer.map_err(failed)?,
        () = right.revoked() => return Err(taken_away()),
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = upgrade.ok_or_else(|| {
            broken("The cluster switched to another protocol without being asked to.")
        })?;
        return upgrade.switch(answer, right.revoked()).await;
    }
    let (mut parts, body) = answer.into_parts();
    clean(&mut parts.headers);
    // Those of an application in the cluster would be cookies of Drover's.
    parts.headers.remove(header::SET_COOKIE);
    let mut response = Response::from_parts(parts, Body::new(Guarded::new(body, right.revoked())));
    response.extensions_mut().insert(Raw);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_cluster_never_learns_the_callers_credentials() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer drv_x"),
            ("cookie", "drover_session=x"),
            ("host", "drover.test"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.test"),
            ("x-csrf-token", "x"),
            ("x-remote-user", "x"),
            ("impersonate-user", "x"),
            ("connection", "keep-alive, x-odd"),
            ("x-odd", "1"),
            ("transfer-encoding", "chunked"),
            ("accept", "application/json"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ] {
            given.insert(name, HeaderValue::from_static(value));
        }
        let passed = passed(given, Ipv4Addr::LOCALHOST.into());
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "x-forwarded-for", "x-stream-protocol-version"]);
        assert_eq!(passed["x-forwarded-for"], "127.0.0.1");
    }
}
