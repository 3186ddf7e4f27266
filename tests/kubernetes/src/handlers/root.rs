//! Addresses that are no resources: versions, health, discovery, OpenAPI.

use hyper::{
    Method, Request,
    body::Incoming,
    header::{ACCEPT, IF_NONE_MATCH},
};
use serde_json::json;

use crate::{
    cluster::Cluster,
    discovery, openapi,
    request::RequestInfo,
    respond::{self, Answer},
    status::{ApiError, Result},
};

/// Answers such a request.
///
/// # Errors
/// When there is nothing at the address.
pub fn handle(
    cluster: &Cluster,
    info: &RequestInfo,
    request: &Request<Incoming>,
) -> Result<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let served = cluster.catalog.now();
    let parts: Vec<&str> = info.path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Ok(respond::json(200, &discovery::paths(&served))),
        ["version"] => Ok(respond::json(200, &version(cluster))),
        [check @ ("healthz" | "livez" | "readyz"), rest @ ..] => health(check, rest, info),
        ["api"] | ["apis"] if discovery::wants_aggregated(&accept) => {
            let known = request.headers().get(IF_NONE_MATCH).and_then(|mark| mark.to_str().ok());
            Ok(discovery::aggregated(&served, parts[0] == "api", known))
        }
        ["api"] => Ok(respond::json(200, &discovery::core_versions())),
        ["apis"] => Ok(respond::json(200, &discovery::group_list(&served))),
        ["api", "v1"] => Ok(respond::json(200, &discovery::resource_list(&served, "", "v1"))),
        ["apis", group] => discovery::group(&served, group)
            .map(|group| respond::json(200, &group))
            .ok_or_else(ApiError::no_such_path),
        ["apis", group, version] if !served.of_version(group, version).is_empty() => {
            Ok(respond::json(200, &discovery::resource_list(&served, group, version)))
        }
        ["openapi", "v2"] => openapi::v2(cluster, &served, &accept),
        ["openapi", "v3"] => Ok(respond::text(200, openapi::index(&served).to_string())),
        ["openapi", "v3", rest @ ..] => openapi::document(&served, rest, &accept),
        ["metrics"] => Ok(respond::text(200, metrics(cluster))),
        [".well-known", "openid-configuration"] => Ok(respond::json(
            200,
            &json!({
                "issuer": crate::authn::ISSUER,
                "jwks_uri": format!("{}/openid/v1/jwks", crate::authn::ISSUER),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["HS256"],
            }),
        )),
        _ => Err(ApiError::no_such_path()),
    }
}

/// The metric that tells which deprecated APIs are in use; none are served here.
fn metrics(cluster: &Cluster) -> String {
    format!(
        "# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_storage_objects gauge\n{}",
        cluster
            .store
            .storages()
            .iter()
            .map(|key| {
                let resource = crate::status::qualified(&key.1, &key.0);
                let count = cluster.store.list(key, None).objects.len();
                format!("apiserver_storage_objects{{resource=\"{resource}\"}} {count}\n")
            })
            .collect::<String>()
    )
}

fn version(cluster: &Cluster) -> serde_json::Value {
    let (minor, patch) = cluster.options.version;
    json!({
        "major": "1",
        "minor": minor.to_string(),
        "emulationMajor": "1",
        "emulationMinor": minor.to_string(),
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": minor.saturating_sub(1).to_string(),
        "gitVersion": format!("v1.{minor}.{patch}"),
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-08-26T00:00:00Z",
        "goVersion": "go1.26.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

const CHECKS: &[&str] = &[
    "ping",
    "log",
    "etcd",
    "etcd-readiness",
    "informer-sync",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
    "shutdown",
];

fn checks(kind: &str) -> Vec<&'static str> {
    CHECKS
        .iter()
        .copied()
        .filter(|check| {
            kind == "readyz" || !matches!(*check, "etcd-readiness" | "informer-sync" | "shutdown")
        })
        .collect()
}

fn health(kind: &str, rest: &[&str], info: &RequestInfo) -> Result<Answer> {
    let checks = checks(kind);
    if !rest.is_empty() {
        let name = rest.join("/");
        return if checks.contains(&name.as_str()) {
            Ok(respond::text(200, "ok"))
        } else {
            Err(ApiError::no_such_path())
        };
    }
    let excluded: Vec<&str> = info.query.all("exclude").collect();
    if !info.query.0.iter().any(|(key, _)| key == "verbose") {
        return Ok(respond::text(200, "ok"));
    }
    let mut lines = String::new();
    for check in checks {
        if excluded.contains(&check) {
            lines.push_str(&format!("[+]{check} excluded: ok\n"));
        } else {
            lines.push_str(&format!("[+]{check} ok\n"));
        }
    }
    Ok(respond::text(200, format!("{lines}{kind} check passed\n")))
}
