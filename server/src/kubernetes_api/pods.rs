//! What pods a *restricted* member may make where the cluster itself does not judge: namespaces
//! that are open to more than the *baseline* standard.
//!
//! Nor does such a member enter a pod of others that could take over its node.
//!
//! What is judged is not what the client has written but what the cluster makes of it, in a dry
//! run: only an API server knows what its patches, its YAML and its Protocol Buffers come to. A
//! patch then goes to the very revision that it was judged on.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};
use drover_kubernetes::{
    client::{Cluster, Identity, Impersonation, empty, full},
    pod_security,
    target::Target,
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::{pass::broken, refuse};
use crate::{
    clusters::kubernetes::failed,
    error::{Error, Result},
    passing::clean,
};

/// The longest object that an API server answers, with what it adds of its own.
const LONGEST_ANSWER: usize = 16 << 20;
/// How long an answer may take.
const SLOWEST_ANSWER: Duration = Duration::from_secs(60);

/// Whether a call writes pods, or what leads to some.
pub(super) fn are_written(target: &Target) -> bool {
    matches!(target.verb, "create" | "update" | "patch")
        && matches!(target.subresource.as_str(), "" | "ephemeralcontainers")
        && pod_security::bears_pods(&target.group, &target.resource)
        && !target.dry_run
}

/// Whether a call leads into a pod, as a shell does.
pub(super) fn are_entered(target: &Target) -> bool {
    target.connects()
        && target.resource == "pods"
        && matches!(target.subresource.as_str(), "exec" | "attach")
}

/// A call that writes such an object, or enters one.
pub(super) struct Work<'a> {
    pub cluster: &'a Cluster,
    pub user: &'a Impersonation,
    pub target: &'a Target,
    /// Path and query.
    pub address: &'a str,
}

/// What comes of it.
pub(super) enum Verdict {
    /// It may be sent, as this.
    Passes(Bytes),
    /// The cluster does not take it, and says why.
    Answered(Response<Body>),
}

/// What an answer of the cluster is.
enum Answer {
    Object(Value),
    Refused(Response<Body>),
}

impl Work<'_> {
    /// Has the cluster try it, and judges the result.
    pub(super) async fn judge(
        &self,
        method: &Method,
        headers: &HeaderMap,
        mut object: Bytes,
    ) -> Result<Verdict> {
        if method == Method::PATCH {
            let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind != "application/apply-patch+yaml" {
                let add = Pin::of(kind)?;
                let found = match self.ask(Method::GET, self.path(), &[], None).await? {
                    Answer::Object(found) => found,
                    Answer::Refused(answer) => return Ok(Verdict::Answered(answer)),
                };
                let revision = found["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                object = add.to(&object, revision)?;
            }
        }
        let sign = if self.address.contains('?') { '&' } else { '?' };
        let address = format!("{}{sign}dryRun=All", self.address);
        let kept: Vec<_> = [header::CONTENT_TYPE, header::USER_AGENT]
            .into_iter()
            .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
            .collect();
        let result = self.ask(method.clone(), &address, &kept, Some(object.clone())).await?;
        let made = match result {
            Answer::Object(made) => made,
            Answer::Refused(answer) => return Ok(Verdict::Answered(answer)),
        };
        let target = self.target;
        match pod_security::breaks_baseline(&target.group, &target.resource, &made) {
            Some(why) => {
                let name = made["metadata"]["name"].as_str().unwrap_or(&target.name);
                Err(refuse::pod(&target.type_name(), name, &why))
            }
            None => Ok(Verdict::Passes(object)),
        }
    }

    /// Refuses to enter a pod that could take over its node: others have made it, for themselves.
    pub(super) async fn check_entered(&self) -> Result<()> {
        let target = self.target;
        let path = format!("/api/v1/namespaces/{}/pods/{}", target.namespace, target.name);
        match self.ask(Method::GET, &path, &[], None).await? {
            Answer::Object(pod) => match pod_security::breaks_baseline("", "pods", &pod) {
                Some(why) => Err(refuse::entered(&target.name, &why)),
                None => Ok(()),
            },
            // The cluster will say so to the call itself.
            Answer::Refused(_) => Ok(()),
        }
    }

    fn path(&self) -> &str {
        self.address.split('?').next().unwrap_or_default()
    }

    async fn ask(
        &self,
        method: Method,
        address: &str,
        headers: &[(header::HeaderName, HeaderValue)],
        body: Option<Bytes>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::ACCEPT, "application/json")
            .body(body.map_or_else(empty, full))
            .map_err(|_| refuse::malformed("The address has characters that no address has."))?;
        request.headers_mut().extend(headers.iter().cloned());
        let ask = async {
            let answer = self.cluster.raw(request, Identity::User(self.user)).await;
            let (parts, body) = answer.map_err(failed)?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|_| broken("The cluster's answer was cut off."))?.to_bytes();
            Ok::<_, Error>((parts, body))
        };
        let (mut parts, body) = tokio::time::timeout(SLOWEST_ANSWER, ask)
            .await
            .map_err(|_| broken("The cluster did not answer within a minute."))??;
        if parts.status.is_success() {
            let object = serde_json::from_slice(&body);
            let object = object.map_err(|_| broken("The cluster's answer is no JSON."))?;
            return Ok(Answer::Object(object));
        }
        clean(&mut parts.headers);
        parts.headers.remove(header::CONTENT_LENGTH);
        Ok(Answer::Refused(Response::from_parts(parts, Body::from(body))))
    }
}

/// How a patch is bound to a revision.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pin {
    /// By a `test` before its steps.
    Steps,
    /// By the revision among what it sets.
    Fields,
}

impl Pin {
    fn of(kind: &str) -> Result<Self> {
        match kind {
            "application/json-patch+json" => Ok(Self::Steps),
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                Ok(Self::Fields)
            }
            _ => Err(Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_patch",
                "Your role here, restricted, may patch pods and workloads by JSON patch, merge patch, strategic merge patch or server-side apply (YAML) only.",
            )),
        }
    }

    fn to(self, patch: &[u8], revision: &str) -> Result<Bytes> {
        let malformed = || refuse::malformed("The patch is not the JSON that it should be.");
        let mut patch: Value = serde_json::from_slice(patch).map_err(|_| malformed())?;
        match self {
            Self::Steps => {
                let steps = patch.as_array_mut().ok_or_else(malformed)?;
                let test = json!({
                    "op": "test", "path": "/metadata/resourceVersion", "value": revision,
                });
                steps.insert(0, test);
            }
            Self::Fields => {
                let fields = patch.as_object_mut().ok_or_else(malformed)?;
                let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
                let metadata = metadata.as_object_mut().ok_or_else(malformed)?;
                metadata.insert("resourceVersion".into(), revision.into());
            }
        }
        Ok(patch.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Target {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        Target::read(method, path, query).unwrap()
    }

    #[test]
    fn what_makes_pods_is_judged() {
        for (method, path) in [
            ("POST", "/api/v1/namespaces/a/pods"),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/b"),
            ("PATCH", "/apis/batch/v1beta1/namespaces/a/cronjobs/b?dryRun=none"),
            ("PATCH", "/api/v1/namespaces/a/pods/b/ephemeralcontainers"),
        ] {
            assert!(are_written(&read(method, path)), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/api/v1/namespaces/a/pods"),
            ("DELETE", "/api/v1/namespaces/a/pods/b"),
            ("POST", "/api/v1/namespaces/a/pods/b/exec"),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale"),
            ("POST", "/api/v1/namespaces/a/pods?dryRun=All"),
            ("POST", "/api/v1/namespaces/a/services"),
        ] {
            assert!(!are_written(&read(method, path)), "{method} {path}");
        }
    }

    #[test]
    fn patches_go_to_the_revision_that_was_judged() {
        let steps = Pin::of("application/json-patch+json").unwrap();
        let pinned = steps.to(br#"[{"op":"remove","path":"/a"}]"#, "7").unwrap();
        let pinned: Value = serde_json::from_slice(&pinned).unwrap();
        assert_eq!(pinned[0]["op"], "test");
        assert_eq!(pinned[0]["value"], "7");
        assert_eq!(pinned[1]["op"], "remove");
        let fields = Pin::of("application/strategic-merge-patch+json").unwrap();
        for patch in [r#"{"spec":{}}"#, r#"{"spec":{},"metadata":{"resourceVersion":"1"}}"#] {
            let pinned = fields.to(patch.as_bytes(), "7").unwrap();
            let pinned: Value = serde_json::from_slice(&pinned).unwrap();
            assert_eq!(pinned["metadata"]["resourceVersion"], "7");
            assert!(pinned["spec"].is_object());
        }
        assert!(fields.to(b"[]", "7").is_err());
        assert!(steps.to(b"{}", "7").is_err());
        assert!(Pin::of("application/apply-patch+cbor").is_err());
    }
}
