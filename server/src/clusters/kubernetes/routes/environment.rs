//! What an environment has of its cluster.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{
    EnvironmentCluster, FieldError, NamespaceLimits, NewNamespace, Topic, UpdateEnvironmentCluster,
};
use drover_kubernetes::index::Scope;
use indexmap::IndexMap;
use uuid::Uuid;

use super::super::{
    keep,
    live::Live,
    share::{self, check_namespace, check_namespaces, of_environment, refused},
    store::{self, Share},
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{IfMatch, Json, Path, etag},
};

/// The most entries of a quota.
const MOST_LIMITS: usize = 50;

async fn answer(app: &App, environment: Uuid) -> Result<(HeaderMap, Json<EnvironmentCluster>)> {
    let share = of_environment(app, environment).await?;
    let row = store::clusters(&app.db, Some(share.cluster_id)).await?.pop();
    let row = row.ok_or_else(|| Error::not_found("cluster"))?;
    let live = app.kubernetes.live(row.id);
    let namespaces = match &live {
        Some(live) if share.whole_cluster => all_namespaces(live),
        _ => share.namespaces,
    };
    let status = live.map(|live| live.status());
    let seen = status.as_ref().map(|status| status.seen.clone()).or(row.seen).unwrap_or_default();
    let version = share.version;
    let shown = EnvironmentCluster {
        cluster_id: row.id,
        cluster_name: row.name,
        state: status.as_ref().map_or(drover_api::ClusterState::Connecting, |s| s.state),
        reason: status.as_ref().and_then(|status| status.reason.clone()),
        last_contact: status.and_then(|s| s.last_contact).or(row.last_contact).map(Into::into),
        version: seen.version,
        whole_cluster: share.whole_cluster,
        namespaces,
        pod_security: share.pod_security,
        limits: share.limits,
        api_address: format!("{}/k8s/clusters/{}", app.settings.public_url(), share.cluster_id),
    };
    Ok((etag(version), Json(shown)))
}

/// All namespaces of a cluster, by name, as far as it has told them.
fn all_namespaces(live: &Live) -> Vec<String> {
    let Some(list) = live.index.opened("namespaces") else { return Vec::new() };
    let mut names: Vec<String> =
        list.select(&Scope::all(), |_| true).iter().map(|row| row.name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Show what an environment has of its cluster
#[utoipa::path(get, path = "/v1/environments/{environment_id}/kubernetes", tag = "kubernetes",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = EnvironmentCluster)))]
pub(super) async fn get(
    State(app): State<App>,
    access: EnvironmentAccess,
) -> Result<(HeaderMap, Json<EnvironmentCluster>)> {
    answer(&app, access.id).await
}

fn is_quantity(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let exponent = || {
        let rest = suffix.strip_prefix(['e', 'E'])?;
        let rest = rest.trim_start_matches(['+', '-']);
        (!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())).then_some(())
    };
    let suffixes =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    text.len() <= 30
        && number.parse::<f64>().is_ok()
        && (suffixes.contains(&suffix) || exponent().is_some())
}

fn check_limits(limits: &NamespaceLimits) -> Vec<FieldError> {
    let all: [(&str, &IndexMap<String, String>); 3] = [
        ("quota", &limits.quota),
        ("default_limit", &limits.default_limit),
        ("default_request", &limits.default_request),
    ];
    let mut errors = Vec::new();
    for (field, entries) in all {
        if entries.len() > MOST_LIMITS {
            errors.push(FieldError::new(format!("limits.{field}"), "At most 50."));
        }
        for (name, value) in entries {
            let field = format!("limits.{field}.{name}");
            let fits = (1..=150).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
            if !fits {
                errors.push(FieldError::new(&field, "A resource, such as `requests.cpu`."));
            }
            if !is_quantity(value) {
                errors.push(FieldError::new(&field, "A quantity, such as `500m` or `2Gi`."));
            }
        }
    }
    errors
}

/// Change the limits of an environment's namespaces, what its pods must keep to, or (administrators)
/// which namespaces it has
#[utoipa::path(patch, path = "/v1/environments/{environment_id}/kubernetes", tag = "kubernetes",
    request_body(content = UpdateEnvironmentCluster, example = json!({ "limits": { "quota": { "pods": "50" } } })),
    params(("environment_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = EnvironmentCluster)))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateEnvironmentCluster>,
) -> Result<(HeaderMap, Json<EnvironmentCluster>)> {
    let share = of_environment(&app, access.id).await?;
    if_match.check(share.version)?;
    let errors = input.limits.as_ref().map(check_limits).unwrap_or_default();
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let mut tx = app.db.begin().await?;
    if let Some(namespaces) = &input.namespaces {
        // Namespaces are taken from what everybody on the cluster could have.
        if !super::super::caller::is_administrator(&caller) {
            return Err(Error::forbidden("Only an administrator may do this."));
        }
        check_namespaces("namespaces", namespaces)?;
        store::claim(&mut tx, access.id, share.cluster_id, Some(namespaces))
            .await?
            .map_err(|taken| refused("namespaces", taken))?;
        note.detail("namespaces", serde_json::json!(namespaces));
    }
    store::update_share(&mut tx, access.id, input.pod_security, input.limits.as_ref()).await?;
    tx.commit().await?;
    note.target(access.id, &share.environment);
    if let Some(standard) = input.pod_security {
        note.detail("pod_security", serde_json::json!(standard));
    }
    changed(&app, &share).await;
    answer(&app, access.id).await
}

/// Tells every replica that what an environment has of its cluster is otherwise than before.
async fn changed(app: &App, share: &Share) {
    let (topic, environment) = (Topic::KubernetesCluster, Some(share.environment_id));
    app.events.updated(topic, environment, share.cluster_id).await;
    app.kubernetes.changed.notify_one();
}

fn live(app: &App, share: &Share) -> Result<std::sync::Arc<Live>> {
    app.kubernetes.live(share.cluster_id).ok_or_else(|| {
        Error::unavailable("cluster_unreachable", "The cluster is not connected yet.")
    })
}

/// Make a namespace in an environment
///
/// It belongs to the environment, with its roles and limits. One that exists already is taken by
/// an administrator only, by changing the environment's namespaces.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/kubernetes/namespaces",
    tag = "kubernetes",
    request_body(content = NewNamespace, example = json!({ "name": "shop" })),
    params(("environment_id" = Uuid, Path)), responses((status = 201, body = EnvironmentCluster)))]
pub(super) async fn create_namespace(
    State(app): State<App>,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<NewNamespace>,
) -> Result<(StatusCode, HeaderMap, Json<EnvironmentCluster>)> {
    if let Some(why) = check_namespace(&input.name) {
        return Err(Error::invalid_field("name", why));
    }
    let share = of_environment(&app, access.id).await?;
    note.target(&input.name, &input.name);
    let live = live(&app, &share)?;
    live.connected()?;
    keep::create_namespace(&live, &share, &input.name).await?;
    if !share.whole_cluster {
        let mut namespaces = share.namespaces.clone();
        namespaces.push(input.name.clone());
        let mut tx = app.db.begin().await?;
        store::claim(&mut tx, access.id, share.cluster_id, Some(&namespaces))
            .await?
            .map_err(|taken| refused("name", taken))?;
        tx.commit().await?;
        for object in keep::namespace_objects(&share, &input.name) {
            keep::apply(&live, &object).await?;
        }
    }
    changed(&app, &share).await;
    let (headers, body) = answer(&app, access.id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Delete a namespace of an environment, and all that is in it
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/kubernetes/namespaces/{namespace}",
    tag = "kubernetes",
    params(("environment_id" = Uuid, Path), ("namespace" = String, Path)),
    responses((status = 204, description = "It is being deleted")))]
pub(super) async fn remove_namespace(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, String)>,
) -> Result<StatusCode> {
    let Path((_, namespace)) = path;
    let share = of_environment(&app, access.id).await?;
    let has = share.whole_cluster && !share::is_system(&namespace)
        || share.namespaces.contains(&namespace);
    if !has || check_namespace(&namespace).is_some() {
        return Err(Error::not_found("namespace"));
    }
    if share.namespaces.len() == 1 {
        let why = "It is the environment's last namespace. Delete the environment instead.";
        return Err(Error::conflict("last_namespace", why));
    }
    let live = live(&app, &share)?;
    live.connected()?;
    keep::delete_namespace(&live, &namespace).await?;
    store::release(&app.db, access.id, &namespace).await?;
    changed(&app, &share).await;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::is_quantity;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in ["1", "500m", "0.5", "2Gi", "1e3", "12E6", "100k", "+1"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "m", "1 Gi", "1gb", "1e", "ten", "1.2.3"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }
}
