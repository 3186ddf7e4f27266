//! Clusters, as administrators bring them in and look after them.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{
    Change, CheckKubeconfig, ClusterAgent, ClusterEnvironment, ClusterNamespace, ClusterSource,
    ClusterState, FieldError, ImportCluster, KubeconfigCheck, KubernetesCluster, List, Timestamp,
    Topic, UpdateCluster,
};
use drover_kubernetes::client::Identity;
use serde_json::Value;
use uuid::Uuid;

use super::super::{
    access,
    share::is_system,
    store::{self, ClusterRow, NewCluster, Share},
};
use crate::{
    agents::version,
    app::App,
    audit::Note,
    error::{Error, Result, is_unique_violation},
    events,
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
};

/// The largest kubeconfig.
const LARGEST_KUBECONFIG: usize = 256 << 10;

fn show(app: &App, row: ClusterRow, shares: &[Share]) -> KubernetesCluster {
    let live = app.kubernetes.live(row.id);
    let status = live.map(|live| live.status());
    let seen = status.as_ref().map(|status| status.seen.clone()).or(row.seen).unwrap_or_default();
    let waiting = || match row.source {
        ClusterSource::Agent => ClusterState::Waiting,
        ClusterSource::Kubeconfig => ClusterState::Connecting,
    };
    let environment = |share: &Share| ClusterEnvironment {
        id: share.environment_id,
        name: share.environment.clone(),
        namespaces: (!share.whole_cluster).then(|| share.namespaces.clone()),
    };
    KubernetesCluster {
        id: row.id,
        name: row.name,
        source: row.source,
        state: status.as_ref().map_or_else(waiting, |status| status.state),
        reason: status.as_ref().and_then(|status| status.reason.clone()),
        last_contact: status
            .and_then(|status| status.last_contact)
            .or(row.last_contact)
            .map(Timestamp),
        agent: row.agent.map(|agent| ClusterAgent {
            fit: version::fit(&agent.version, false),
            version: agent.version,
            address: agent.address,
        }),
        server: row.server,
        allow_private_address: row.allow_private_address,
        version: seen.version,
        provider: seen.provider,
        nodes: seen.nodes,
        nodes_ready: seen.nodes_ready,
        pods: seen.pods,
        environments: shares
            .iter()
            .filter(|share| share.cluster_id == row.id)
            .map(environment)
            .collect(),
        created_at: Timestamp(row.created_at),
        version_number: row.version,
    }
}

async fn find(app: &App, id: Uuid) -> Result<ClusterRow> {
    let found = store::clusters(&app.db, Some(id)).await?.pop();
    found.ok_or_else(|| Error::not_found("cluster"))
}

async fn answer(app: &App, id: Uuid) -> Result<(HeaderMap, Json<KubernetesCluster>)> {
    let row = find(app, id).await?;
    let shares = store::shares(&app.db, Some(id), None).await?;
    Ok((etag(row.version), Json(show(app, row, &shares))))
}

/// List the Kubernetes clusters
#[utoipa::path(get, path = "/v1/kubernetes/clusters", tag = "kubernetes", params(ListQuery),
    responses((status = 200, body = List<KubernetesCluster>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<KubernetesCluster>>> {
    let shares = store::shares(&app.db, None, None).await?;
    let rows = store::clusters(&app.db, None).await?;
    let clusters = rows.into_iter().map(|row| show(&app, row, &shares)).collect();
    query
        .page(
            clusters,
            &["name", "state", "version", "nodes", "created_at"],
            "name",
            |cluster| format!("{} {}", cluster.name, cluster.server.as_deref().unwrap_or("")),
            |cluster, field| match field {
                "state" => SortKey::Number(cluster.state as i64),
                "version" => SortKey::text(cluster.version.as_deref().unwrap_or_default()),
                "nodes" => SortKey::Number(cluster.nodes.into()),
                "created_at" => SortKey::Number(cluster.created_at.unix_ms()),
                _ => SortKey::text(&cluster.name),
            },
        )
        .map(Json)
}

fn check_name(name: &str) -> Option<FieldError> {
    let fits = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| FieldError::new("name", "A name has 1 to 64 characters."))
}

fn check_input(name: Option<&str>, kubeconfig: Option<&str>) -> Result<()> {
    let mut errors: Vec<_> = name.and_then(check_name).into_iter().collect();
    if kubeconfig.is_some_and(|text| text.len() > LARGEST_KUBECONFIG) {
        errors.push(FieldError::new("kubeconfig", "At most 256 KiB."));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is a cluster with this name.")
    } else {
        error.into()
    }
}

/// Look into a kubeconfig
///
/// Tells its contexts, and with `context` tries to connect: nothing is kept.
#[utoipa::path(post, path = "/v1/kubernetes/clusters/check", tag = "kubernetes",
    request_body(content = CheckKubeconfig, example = json!({ "kubeconfig": "apiVersion: v1\nkind: Config\n…", "context": "production" })),
    responses((status = 200, body = KubeconfigCheck)))]
pub(super) async fn check(Json(input): Json<CheckKubeconfig>) -> Result<Json<KubeconfigCheck>> {
    check_input(None, Some(&input.kubeconfig))?;
    let mut found = access::contexts(&input.kubeconfig)?;
    if let Some(context) = &input.context {
        let access = access::choose(&input.kubeconfig, Some(context))?;
        found.connection = Some(access::try_out(&access, input.allow_private_address).await);
    }
    Ok(Json(found))
}

/// Bring a cluster in
///
/// By a kubeconfig, or without one for a cluster whose agent will dial in. A cluster that cannot
/// be reached now is taken too, and connected to when it is there.
#[utoipa::path(post, path = "/v1/kubernetes/clusters", tag = "kubernetes",
    request_body(content = ImportCluster, example = json!({ "name": "production", "kubeconfig": "apiVersion: v1\nkind: Config\n…" })),
    responses((status = 201, body = KubernetesCluster)))]
pub(super) async fn import(
    State(app): State<App>,
    note: Note,
    Json(input): Json<ImportCluster>,
) -> Result<(StatusCode, HeaderMap, Json<KubernetesCluster>)> {
    let name = input.name.trim();
    check_input(Some(name), input.kubeconfig.as_deref())?;
    let access = match &input.kubeconfig {
        Some(text) => Some(access::choose(text, input.context.as_deref())?),
        None => None,
    };
    if let Some(access) = &access {
        access::check_address(access, input.allow_private_address).await?;
    }
    let sealed = access.as_ref().map(|access| access::seal(&app, access));
    let new = NewCluster {
        name,
        source: match access {
            Some(_) => ClusterSource::Kubeconfig,
            None => ClusterSource::Agent,
        },
        server: access.as_ref().map(|access| access.server.as_str()),
        access: sealed.as_deref(),
        allow_private_address: input.allow_private_address,
    };
    let id = store::insert(&app.db, &new).await.map_err(name_taken)?;
    note.target(id, name);
    note.detail("server", new.server.unwrap_or_default());
    note.detail("allow_private_address", input.allow_private_address);
    app.events.updated(Topic::KubernetesCluster, None, id).await;
    let (headers, body) = answer(&app, id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Show a cluster
#[utoipa::path(get, path = "/v1/kubernetes/clusters/{cluster_id}", tag = "kubernetes",
    params(("cluster_id" = Uuid, Path)), responses((status = 200, body = KubernetesCluster)))]
pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<(HeaderMap, Json<KubernetesCluster>)> {
    answer(&app, id).await
}

/// Rename a cluster, or renew its address and credentials
#[utoipa::path(patch, path = "/v1/kubernetes/clusters/{cluster_id}", tag = "kubernetes",
    request_body = UpdateCluster,
    params(("cluster_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = KubernetesCluster)))]
pub(super) async fn update(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateCluster>,
) -> Result<(HeaderMap, Json<KubernetesCluster>)> {
    let name = input.name.as_deref().map(str::trim);
    check_input(name, input.kubeconfig.as_deref())?;
    let row = find(&app, id).await?;
    if_match.check(row.version)?;
    let allowed = input.allow_private_address.unwrap_or(row.allow_private_address);
    let access = match (&input.kubeconfig, row.source) {
        (Some(_), ClusterSource::Agent) => {
            let why = "This cluster is reached through its agent, which has no kubeconfig.";
            return Err(Error::invalid_field("kubeconfig", why));
        }
        (Some(text), ClusterSource::Kubeconfig) => {
            Some(access::choose(text, input.context.as_deref())?)
        }
        (None, _) => None,
    };
    if let Some(access) = &access {
        access::check_address(access, allowed).await?;
    }
    let sealed = access.as_ref().map(|access| access::seal(&app, access));
    let change = store::Change {
        name,
        server: access.as_ref().map(|access| access.server.as_str()),
        access: sealed.as_deref(),
        allow_private_address: input.allow_private_address,
    };
    let done = store::update(&app.db, id, Some(row.version), &change).await.map_err(name_taken)?;
    if !done {
        return Err(Error::changed_meanwhile());
    }
    note.target(id, name.unwrap_or(&row.name));
    note.detail("credentials", access.is_some());
    app.events.updated(Topic::KubernetesCluster, None, id).await;
    answer(&app, id).await
}

/// Forget a cluster
///
/// What runs in it goes on, and Drover's roles stay there. Environments that stand on it must be
/// deleted first.
#[utoipa::path(delete, path = "/v1/kubernetes/clusters/{cluster_id}", tag = "kubernetes",
    params(("cluster_id" = Uuid, Path)),
    responses((status = 204, description = "Forgotten")))]
pub(super) async fn remove(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<StatusCode> {
    let row = find(&app, id).await?;
    note.target(id, &row.name);
    let shares = store::shares(&app.db, Some(id), None).await?;
    let in_use = |names: &str| {
        let why = format!("Environments stand on this cluster ({names}). Delete them first.");
        Error::conflict("cluster_in_use", why)
    };
    if !shares.is_empty() {
        let names: Vec<_> = shares.iter().take(5).map(|share| share.environment.as_str()).collect();
        return Err(in_use(&names.join(", ")));
    }
    let gone = store::delete(&app.db, id).await.map_err(|error| match error {
        // One that was made in this moment.
        sqlx::Error::Database(ref refused) if refused.is_foreign_key_violation() => in_use("…"),
        error => error.into(),
    })?;
    if !gone {
        return Err(Error::not_found("cluster"));
    }
    app.events.publish(events::event(Topic::KubernetesCluster, None, id, Change::Removed)).await;
    app.kubernetes.changed.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// List a cluster's namespaces, and whose they are
#[utoipa::path(get, path = "/v1/kubernetes/clusters/{cluster_id}/namespaces", tag = "kubernetes",
    params(("cluster_id" = Uuid, Path)),
    responses((status = 200, body = List<ClusterNamespace>)))]
pub(super) async fn namespaces(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<List<ClusterNamespace>>> {
    let live = app.kubernetes.live(id);
    let Some(live) = live else {
        find(&app, id).await?;
        let why = "The cluster is not connected yet.";
        return Err(Error::unavailable("cluster_unreachable", why));
    };
    let path = "/api/v1/namespaces";
    let found: Value =
        live.connected()?.get_json(path, Identity::Drover).await.map_err(super::super::failed)?;
    let shares = live.shares();
    let owner = |name: &str| {
        let has = |share: &&Share| share.namespaces.iter().any(|namespace| namespace == name);
        shares.iter().find(has).map(|share| share.environment.clone())
    };
    let names = found["items"].as_array().into_iter().flatten();
    let names = names.filter_map(|item| item["metadata"]["name"].as_str());
    Ok(Json(List::whole(
        names
            .map(|name| ClusterNamespace {
                name: name.to_owned(),
                environment: owner(name),
                system: is_system(name),
            })
            .collect(),
    )))
}
