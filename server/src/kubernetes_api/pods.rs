//! What pods a *restricted* member may make where the cluster itself does not judge: namespaces
//! that are open to more than the *baseline* standard.
//!
//! Nor does such a member enter a pod of others that could take over its node.
//!
//! What is judged is not what the client has written but what the cluster makes of it, in a dry
//! run: only an API server knows what its patches, its YAML and its Protocol Buffers come to. A
//! patch then goes to the very revision that it was judged on; when that is not the newest any more,
//! it is judged again.

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
/// Where the revision of an object stands in it.
const REVISION: &str = "/metadata/resourceVersion";
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
pub(super) struct Judged {
    pub verdict: Verdict,
    /// Whether it was Drover that bound a patch to a revision: a conflict is then none of the
    /// caller's.
    pub bound: bool,
}

/// See [`Judged`].
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
    ) -> Result<Judged> {
        let mut bound = false;
        if method == Method::PATCH {
            let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind != "application/apply-patch+yaml" {
                let add = Pin::of(kind)?;
                let found = match self.ask(Method::GET, self.path(), &[], None).await? {
                    Answer::Object(found) => found,
                    Answer::Refused(answer) => {
                        return Ok(Judged { verdict: Verdict::Answered(answer), bound });
                    }
                };
                let revision = found["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                (object, bound) = add.to(&object, revision)?;
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
            Answer::Refused(answer) => {
                return Ok(Judged { verdict: Verdict::Answered(answer), bound });
            }
        };
        let target = self.target;
        match pod_security::breaks_baseline(&target.group, &target.resource, &made) {
            Some(why) => {
                let name = made["metadata"]["name"].as_str().unwrap_or(&target.name);
                Err(refuse::pod(&target.type_name(), name, &why))
            }
            None => Ok(Judged { verdict: Verdict::Passes(object), bound }),
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
    /// By a last step that sets it.
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

    /// The patch, bound to the revision that its writer names, or else to this one: then it is
    /// true.
    fn to(self, patch: &[u8], revision: &str) -> Result<(Bytes, bool)> {
        let malformed = || refuse::malformed("The patch is not the JSON that it should be.");
        let mut patch: Value = serde_json::from_slice(patch).map_err(|_| malformed())?;
        let own = match self {
            Self::Steps => {
                let steps = patch.as_array_mut().ok_or_else(malformed)?;
                let sets = |step: &&Value| {
                    step["path"] == REVISION && (step["op"] == "add" || step["op"] == "replace")
                };
                let own = steps.iter().rev().find(sets);
                let own = own.and_then(|step| named(&step["value"]));
                let value = own.as_deref().unwrap_or(revision);
                // The last word is not to be taken back by a later step.
                steps.push(json!({ "op": "add", "path": REVISION, "value": value }));
                own
            }
            Self::Fields => {
                let fields = patch.as_object_mut().ok_or_else(malformed)?;
                let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
                let metadata = metadata.as_object_mut().ok_or_else(malformed)?;
                let own = metadata.get("resourceVersion").and_then(named);
                let value = own.as_deref().unwrap_or(revision);
                metadata.insert("resourceVersion".into(), value.into());
                own
            }
        };
        Ok((patch.to_string().into(), own.is_none()))
    }
}

/// The revision that a patch names. To an API server an empty one, and zero, are any revision.
fn named(revision: &Value) -> Option<String> {
    let revision = revision.as_str()?;
    revision.parse::<u64>().is_ok_and(|number| number > 0).then(|| revision.to_owned())
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
        let read = |(patch, bound): (Bytes, bool)| {
            (serde_json::from_slice::<Value>(&patch).unwrap(), bound)
        };
        let remove = r#"{"op":"remove","path":"/a"}"#;
        let (patch, bound) = read(steps.to(format!("[{remove}]").as_bytes(), "7").unwrap());
        assert_eq!(patch[0]["op"], "remove");
        assert_eq!(patch[1]["path"], REVISION);
        assert_eq!((&patch[1]["value"], bound), (&json!("7"), true));
        // Whoever names a revision means it.
        let own = format!(r#"[{{"op":"replace","path":"{REVISION}","value":"1"}},{remove}]"#);
        let (patch, bound) = read(steps.to(own.as_bytes(), "7").unwrap());
        assert_eq!((&patch[2]["value"], bound), (&json!("1"), false));
        // One that stands for all of them binds nothing.
        for any in [r#""""#, r#""0""#, r#""00""#, "0", "null"] {
            let own = format!(r#"[{{"op":"add","path":"{REVISION}","value":{any}}}]"#);
            let (patch, bound) = read(steps.to(own.as_bytes(), "7").unwrap());
            assert_eq!((&patch[1]["value"], bound), (&json!("7"), true), "{any}");
        }
        let fields = Pin::of("application/strategic-merge-patch+json").unwrap();
        for (patch, revision, by_drover) in [
            (r#"{"spec":{}}"#, "7", true),
            (r#"{"spec":{},"metadata":{"resourceVersion":null}}"#, "7", true),
            (r#"{"spec":{},"metadata":{"resourceVersion":"0"}}"#, "7", true),
            (r#"{"spec":{},"metadata":{"resourceVersion":"1"}}"#, "1", false),
        ] {
            let (patch, bound) = read(fields.to(patch.as_bytes(), "7").unwrap());
            assert_eq!(
                (&patch["metadata"]["resourceVersion"], bound),
                (&json!(revision), by_drover)
            );
            assert!(patch["spec"].is_object());
        }
        assert!(fields.to(b"[]", "7").is_err());
        assert!(steps.to(b"{}", "7").is_err());
        assert!(Pin::of("application/apply-patch+cbor").is_err());
    }
}
