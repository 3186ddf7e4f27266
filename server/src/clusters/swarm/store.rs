//! The table `swarms`: what Drover knows and wants of an environment's swarm.

use drover_api::{EndpointMode, PublishMode, SwarmDefaults};
use sqlx::PgPool;
use uuid::Uuid;

/// A row; its defaults where there is none yet.
#[derive(Debug, Clone)]
pub(super) struct SwarmRow {
    /// The engine's id of the swarm that the environment stands on.
    pub cluster_id: Option<String>,
    /// Sealed [`super::keys::Keys`].
    pub keys: Option<Vec<u8>>,
    pub defaults: SwarmDefaults,
    pub version: i64,
}

impl Default for SwarmRow {
    fn default() -> Self {
        Self { cluster_id: None, keys: None, defaults: SwarmDefaults::default(), version: 1 }
    }
}

/// Every environment that stands on a swarm, or will.
pub(super) async fn environments(db: &PgPool) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("SELECT id FROM environments WHERE cluster_kind = 'swarm' ORDER BY id")
        .fetch_all(db)
        .await
}

/// The environment's name.
pub(super) async fn environment_name(db: &PgPool, environment: Uuid) -> sqlx::Result<String> {
    let name = sqlx::query_scalar!(
        r#"SELECT name::text AS "name!" FROM environments WHERE id = $1"#,
        environment
    )
    .fetch_optional(db)
    .await?;
    Ok(name.unwrap_or_default())
}

pub(super) async fn get(db: &PgPool, environment: Uuid) -> sqlx::Result<SwarmRow> {
    let row = sqlx::query!(
        "SELECT cluster_id, keys, publish_mode, endpoint_mode, version FROM swarms
         WHERE environment_id = $1",
        environment
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map_or_else(SwarmRow::default, |row| SwarmRow {
        cluster_id: row.cluster_id,
        keys: row.keys,
        defaults: SwarmDefaults {
            publish_mode: match row.publish_mode.as_str() {
                "host" => PublishMode::Host,
                _ => PublishMode::Ingress,
            },
            endpoint_mode: match row.endpoint_mode.as_str() {
                "dnsrr" => EndpointMode::Dnsrr,
                _ => EndpointMode::Vip,
            },
        },
        version: row.version,
    }))
}

/// Remembers which swarm the environment stands on (none: it was dissolved), and what lets
/// machines into it.
pub(super) async fn set_cluster(
    db: &PgPool,
    environment: Uuid,
    cluster_id: Option<&str>,
    keys: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO swarms (environment_id, cluster_id, keys) VALUES ($1, $2, $3)
         ON CONFLICT (environment_id) DO UPDATE SET cluster_id = $2, keys = $3,
             version = swarms.version + 1",
        environment,
        cluster_id,
        keys
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps what lets machines in, after it was made anew.
pub(super) async fn set_keys(db: &PgPool, environment: Uuid, keys: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("UPDATE swarms SET keys = $2 WHERE environment_id = $1", environment, keys)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn set_defaults(
    db: &PgPool,
    environment: Uuid,
    defaults: SwarmDefaults,
) -> sqlx::Result<()> {
    let publish_mode = match defaults.publish_mode {
        PublishMode::Ingress => "ingress",
        PublishMode::Host => "host",
    };
    let endpoint_mode = match defaults.endpoint_mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    };
    sqlx::query!(
        "INSERT INTO swarms (environment_id, publish_mode, endpoint_mode) VALUES ($1, $2, $3)
         ON CONFLICT (environment_id) DO UPDATE SET publish_mode = $2, endpoint_mode = $3,
             version = swarms.version + 1",
        environment,
        publish_mode,
        endpoint_mode
    )
    .execute(db)
    .await?;
    Ok(())
}
