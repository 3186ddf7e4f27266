//! The table of hosts.

use drover_api::{AgentClone, AgentUpgrade, Endpoint, HostFacts};
use indexmap::IndexMap;
use sqlx::{PgConnection, PgExecutor, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{self, HostRow};
use crate::agents::AgentRow;

type Labels = IndexMap<String, String>;

/// Why a row is no host.
#[derive(Debug, thiserror::Error)]
#[error("the mode `{0}` of a host is unknown")]
struct UnknownMode(String);

/// A row as it is stored.
struct Row {
    id: Uuid,
    environment_id: Uuid,
    name: String,
    labels: Json<Labels>,
    endpoint: Json<Endpoint>,
    tls: Option<Vec<u8>>,
    mode: String,
    facts: Option<Json<HostFacts>>,
    last_contact_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    version: i64,
    agent_version: Option<String>,
    agent_too_old: Option<bool>,
    agent_address: Option<String>,
    agent_open_since: Option<OffsetDateTime>,
    agent_upgrade: Option<Json<AgentUpgrade>>,
    agent_clone: Option<Json<AgentClone>>,
}

impl TryFrom<Row> for HostRow {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let mode = model::parse_mode(&row.mode)
            .ok_or_else(|| sqlx::Error::Decode(UnknownMode(row.mode).into()))?;
        let agent = row.agent_version.map(|version| AgentRow {
            version,
            too_old: row.agent_too_old.unwrap_or_default(),
            address: row.agent_address,
            open_since: row.agent_open_since,
            upgrade: row.agent_upgrade.map(|upgrade| upgrade.0),
            clone: row.agent_clone.map(|clone| clone.0),
        });
        Ok(Self {
            id: row.id,
            environment_id: row.environment_id,
            name: row.name,
            labels: row.labels.0,
            endpoint: row.endpoint.0,
            tls: row.tls,
            mode,
            facts: row.facts.map(|facts| facts.0),
            last_contact_at: row.last_contact_at,
            created_at: row.created_at,
            version: row.version,
            agent,
        })
    }
}

/// All hosts, or those of one environment, or one.
async fn select(
    db: impl PgExecutor<'_>,
    environment_id: Option<Uuid>,
    id: Option<Uuid>,
) -> sqlx::Result<Vec<HostRow>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT h.id, h.environment_id, h.name::text AS "name!",
               h.labels AS "labels: Json<Labels>", h.endpoint AS "endpoint: Json<Endpoint>", h.tls,
               h.mode, h.facts AS "facts: Json<HostFacts>", h.last_contact_at, h.created_at,
               h.version, a.version AS "agent_version?", a.too_old AS "agent_too_old?",
               a.address AS "agent_address?", t.opened_at AS "agent_open_since?",
               a.upgrade AS "agent_upgrade?: Json<AgentUpgrade>",
               a.clone AS "agent_clone?: Json<AgentClone>"
           FROM hosts h LEFT JOIN agents a ON a.host_id = h.id
               LEFT JOIN tunnels t ON t.agent_id = h.id
           WHERE ($1::uuid IS NULL OR h.environment_id = $1) AND ($2::uuid IS NULL OR h.id = $2)
           ORDER BY h.id"#,
        environment_id,
        id
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(HostRow::try_from).collect()
}

/// All hosts of all environments.
pub async fn all(db: &PgPool) -> sqlx::Result<Vec<HostRow>> {
    select(db, None, None).await
}

/// All hosts of an environment.
pub async fn in_environment(db: &PgPool, environment_id: Uuid) -> sqlx::Result<Vec<HostRow>> {
    select(db, Some(environment_id), None).await
}

/// A host, if it is in this environment.
pub async fn get(db: &PgPool, environment_id: Uuid, id: Uuid) -> sqlx::Result<Option<HostRow>> {
    Ok(select(db, Some(environment_id), Some(id)).await?.pop())
}

/// Adds a host, and answers its id.
pub async fn insert(
    db: impl PgExecutor<'_>,
    environment_id: Uuid,
    name: &str,
    labels: &Labels,
    endpoint: &Endpoint,
    tls: Option<&[u8]>,
) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO hosts (id, environment_id, name, labels, endpoint, tls, mode)
         VALUES ($1, $2, $3::text::citext, $4, $5, $6, 'active')",
        id,
        environment_id,
        name,
        Json(labels) as _,
        Json(endpoint) as _,
        tls
    )
    .execute(db)
    .await?;
    Ok(id)
}

/// A host, locked until the transaction ends.
pub async fn lock(
    tx: &mut PgConnection,
    environment_id: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<HostRow>> {
    let there = sqlx::query_scalar!(
        "SELECT id FROM hosts WHERE id = $1 AND environment_id = $2 FOR UPDATE",
        id,
        environment_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    if there.is_none() {
        return Ok(None);
    }
    Ok(select(tx, Some(environment_id), Some(id)).await?.pop())
}

/// Writes all that a person can change.
pub async fn update(tx: &mut PgConnection, row: &HostRow) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE hosts SET name = $2::text::citext, labels = $3, endpoint = $4, tls = $5, mode = $6,
             version = version + 1
         WHERE id = $1",
        row.id,
        row.name,
        Json(&row.labels) as _,
        Json(&row.endpoint) as _,
        row.tls,
        model::mode_name(row.mode)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a host; false when it was gone already.
pub async fn delete(db: &PgPool, environment_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let gone =
        sqlx::query!("DELETE FROM hosts WHERE id = $1 AND environment_id = $2", id, environment_id)
            .execute(db)
            .await?;
    Ok(gone.rows_affected() == 1)
}

/// Keeps what a host's engine said of itself.
pub async fn set_facts(db: &PgPool, id: Uuid, facts: &HostFacts) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE hosts SET facts = $2, last_contact_at = now() WHERE id = $1",
        id,
        Json(facts) as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps when a host was last heard of.
pub async fn set_last_contact(db: &PgPool, id: Uuid, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE hosts SET last_contact_at = greatest(last_contact_at, $2) WHERE id = $1",
        id,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The stored credentials of a registry: user name and encrypted password.
pub async fn registry(
    db: &PgPool,
    environment_id: Uuid,
    address: &str,
) -> sqlx::Result<Option<(String, Vec<u8>)>> {
    let row = sqlx::query!(
        "SELECT username, password FROM registries WHERE environment_id = $1 AND address = $2",
        environment_id,
        address
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.username, row.password)))
}
