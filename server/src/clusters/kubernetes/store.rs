//! The tables of clusters, and of what environments have of them.

use drover_api::{ClusterSource, NamespaceLimits, PodSecurity};
use sqlx::{PgConnection, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::seen::Seen;

/// A cluster.
#[derive(Debug, Clone)]
pub struct ClusterRow {
    pub id: Uuid,
    pub name: String,
    pub source: ClusterSource,
    pub server: Option<String>,
    /// Sealed: see [`drover_kubernetes::client::Access::to_sealable`].
    pub access: Option<Vec<u8>>,
    pub allow_private_address: bool,
    /// What was last seen.
    pub seen: Option<Seen>,
    pub last_contact: Option<OffsetDateTime>,
    /// The agent that connected last.
    pub agent: Option<AgentRow>,
    pub created_at: OffsetDateTime,
    pub version: i64,
}

/// A cluster's agent.
#[derive(Debug, Clone)]
pub struct AgentRow {
    pub version: String,
    /// From where it dialled.
    pub address: Option<String>,
}

/// What an environment has of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    pub environment_id: Uuid,
    pub environment: String,
    pub cluster_id: Uuid,
    pub whole_cluster: bool,
    /// By name; empty for a whole cluster.
    pub namespaces: Vec<String>,
    pub pod_security: PodSecurity,
    pub limits: NamespaceLimits,
    pub version: i64,
}

pub fn source_name(source: ClusterSource) -> &'static str {
    match source {
        ClusterSource::Kubeconfig => "kubeconfig",
        ClusterSource::Agent => "agent",
    }
}

fn pod_security_name(standard: PodSecurity) -> &'static str {
    match standard {
        PodSecurity::Baseline => "baseline",
        PodSecurity::Privileged => "privileged",
    }
}

/// All clusters, or one.
pub async fn clusters(db: &PgPool, id: Option<Uuid>) -> sqlx::Result<Vec<ClusterRow>> {
    let rows = sqlx::query!(
        r#"SELECT id, name::text AS "name!", source, server, access, allow_private_address,
               seen AS "seen: Json<Seen>", last_contact, agent_version, agent_address, created_at,
               version
           FROM kubernetes_clusters WHERE $1::uuid IS NULL OR id = $1 ORDER BY id"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ClusterRow {
            id: row.id,
            name: row.name,
            source: match row.source.as_str() {
                "agent" => ClusterSource::Agent,
                _ => ClusterSource::Kubeconfig,
            },
            server: row.server,
            access: row.access,
            allow_private_address: row.allow_private_address,
            seen: row.seen.map(|seen| seen.0),
            last_contact: row.last_contact,
            agent: row
                .agent_version
                .map(|version| AgentRow { version, address: row.agent_address }),
            created_at: row.created_at,
            version: row.version,
        })
        .collect())
}

/// What a cluster is made of.
pub struct NewCluster<'a> {
    pub name: &'a str,
    pub source: ClusterSource,
    pub server: Option<&'a str>,
    pub access: Option<&'a [u8]>,
    pub allow_private_address: bool,
}

pub async fn insert(db: &PgPool, new: &NewCluster<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO kubernetes_clusters (id, name, source, server, access, allow_private_address)
         VALUES ($1, $2::text::citext, $3, $4, $5, $6) RETURNING id",
        Uuid::now_v7(),
        new.name,
        source_name(new.source),
        new.server,
        new.access,
        new.allow_private_address
    )
    .fetch_one(db)
    .await
}

/// What of a cluster changes; what is absent stays.
#[derive(Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub server: Option<&'a str>,
    pub access: Option<&'a [u8]>,
    pub allow_private_address: Option<bool>,
}

/// Changes a cluster that is still of this version, where one is named.
pub async fn update(
    db: &PgPool,
    id: Uuid,
    version: Option<i64>,
    change: &Change<'_>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE kubernetes_clusters SET name = coalesce($3::text::citext, name),
             server = coalesce($4, server), access = coalesce($5, access),
             allow_private_address = coalesce($6, allow_private_address), version = version + 1
         WHERE id = $1 AND ($2::bigint IS NULL OR version = $2)",
        id,
        version,
        change.name,
        change.server,
        change.access,
        change.allow_private_address
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a cluster; fails while environments stand on it.
pub async fn delete(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let done =
        sqlx::query!("DELETE FROM kubernetes_clusters WHERE id = $1", id).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers what was seen, for the time that the cluster is away.
pub async fn remember(db: &PgPool, id: Uuid, seen: &Seen, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE kubernetes_clusters SET seen = $2, last_contact = $3 WHERE id = $1",
        id,
        Json(seen) as _,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What environments have of clusters: of all, of one cluster, or one environment's.
pub async fn shares(
    db: &PgPool,
    cluster: Option<Uuid>,
    environment: Option<Uuid>,
) -> sqlx::Result<Vec<Share>> {
    let rows = sqlx::query!(
        r#"SELECT k.environment_id, e.name::text AS "environment!", k.cluster_id, k.whole_cluster,
               k.pod_security, k.limits AS "limits: Json<NamespaceLimits>", k.version,
               array(SELECT n.name FROM kubernetes_namespaces n
                   WHERE n.environment_id = k.environment_id ORDER BY n.name) AS "namespaces!"
           FROM kubernetes_environments k JOIN environments e ON e.id = k.environment_id
           WHERE ($1::uuid IS NULL OR k.cluster_id = $1)
             AND ($2::uuid IS NULL OR k.environment_id = $2)
           ORDER BY k.environment_id"#,
        cluster,
        environment
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Share {
            environment_id: row.environment_id,
            environment: row.environment,
            cluster_id: row.cluster_id,
            whole_cluster: row.whole_cluster,
            namespaces: row.namespaces,
            pod_security: match row.pod_security.as_str() {
                "privileged" => PodSecurity::Privileged,
                _ => PodSecurity::Baseline,
            },
            limits: row.limits.0,
            version: row.version,
        })
        .collect())
}

/// Why an environment cannot have what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is no such cluster.
    NoCluster,
    /// An environment is the whole cluster, or has parts of it that the whole would take.
    Whole { environment: String },
    /// A namespace is another environment's.
    Namespace { name: String, environment: String },
}

/// Gives an environment its part of a cluster: these namespaces and no others of it, or the whole.
pub async fn claim(
    tx: &mut PgConnection,
    environment: Uuid,
    cluster: Uuid,
    namespaces: Option<&[String]>,
) -> sqlx::Result<Result<(), Taken>> {
    // One after the other for each cluster: else two could both be the whole of it.
    let there =
        sqlx::query_scalar!("SELECT id FROM kubernetes_clusters WHERE id = $1 FOR UPDATE", cluster)
            .fetch_optional(&mut *tx)
            .await?;
    if there.is_none() {
        return Ok(Err(Taken::NoCluster));
    }
    let other = sqlx::query_scalar!(
        r#"SELECT e.name::text AS "name!"
           FROM kubernetes_environments k JOIN environments e ON e.id = k.environment_id
           WHERE k.cluster_id = $1 AND k.environment_id <> $2 AND ($3 OR k.whole_cluster) LIMIT 1"#,
        cluster,
        environment,
        namespaces.is_none()
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(environment) = other {
        return Ok(Err(Taken::Whole { environment }));
    }
    sqlx::query!(
        "INSERT INTO kubernetes_environments (environment_id, cluster_id, whole_cluster)
         VALUES ($1, $2, $3)
         ON CONFLICT (environment_id) DO UPDATE SET whole_cluster = $3,
             version = kubernetes_environments.version + 1",
        environment,
        cluster,
        namespaces.is_none()
    )
    .execute(&mut *tx)
    .await?;
    let namespaces = namespaces.unwrap_or_default();
    sqlx::query!(
        "DELETE FROM kubernetes_namespaces WHERE environment_id = $1 AND name <> ALL($2)",
        environment,
        namespaces
    )
    .execute(&mut *tx)
    .await?;
    let taken = sqlx::query!(
        r#"SELECT n.name, e.name::text AS "environment!"
           FROM kubernetes_namespaces n JOIN environments e ON e.id = n.environment_id
           WHERE n.cluster_id = $1 AND n.name = ANY($2) AND n.environment_id <> $3 LIMIT 1"#,
        cluster,
        namespaces,
        environment
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = taken {
        return Ok(Err(Taken::Namespace { name: row.name, environment: row.environment }));
    }
    sqlx::query!(
        "INSERT INTO kubernetes_namespaces (cluster_id, name, environment_id)
         SELECT $1, unnest($2::text[]), $3 ON CONFLICT DO NOTHING",
        cluster,
        namespaces,
        environment
    )
    .execute(tx)
    .await?;
    Ok(Ok(()))
}

/// Changes what pods must keep to, and the limits of namespaces.
pub async fn update_share(
    tx: &mut PgConnection,
    environment: Uuid,
    pod_security: Option<PodSecurity>,
    limits: Option<&NamespaceLimits>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE kubernetes_environments SET pod_security = coalesce($2, pod_security),
             limits = coalesce($3, limits), version = version + 1
         WHERE environment_id = $1",
        environment,
        pod_security.map(pod_security_name),
        limits.map(Json) as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets go of a namespace.
pub async fn release(db: &PgPool, environment: Uuid, namespace: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM kubernetes_namespaces WHERE environment_id = $1 AND name = $2",
        environment,
        namespace
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An address of a manifest: takes the place of an earlier one.
pub async fn set_manifest(
    db: &PgPool,
    id: Uuid,
    hash: &[u8],
    expires_at: OffsetDateTime,
    image: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE kubernetes_clusters SET manifest_token = $2, manifest_expires_at = $3,
             manifest_image = $4, manifest_fetched_at = NULL
         WHERE id = $1",
        id,
        hash,
        expires_at,
        image
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a manifest, once, for an agent with this key; answers the cluster's id and name, and the
/// agent's image.
pub async fn take_manifest(
    db: &PgPool,
    hash: &[u8],
    public_key: &[u8],
) -> sqlx::Result<Option<(Uuid, String, Option<String>)>> {
    let row = sqlx::query!(
        r#"UPDATE kubernetes_clusters SET manifest_fetched_at = now(), agent_key = $2
           WHERE manifest_token = $1 AND manifest_fetched_at IS NULL AND manifest_expires_at > now()
           RETURNING id, name::text AS "name!", manifest_image"#,
        hash,
        public_key
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.name, row.manifest_image)))
}
