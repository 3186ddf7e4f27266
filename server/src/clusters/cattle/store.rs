//! The table of instances, and what the engine writes beside it.

use std::collections::HashMap;

use drover_api::{CrossHostNetworkStatus, Scheduling};
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

use super::{
    health::{Finding, Kept, Subject},
    place::{Claims, Neighbour},
    plan::Instance,
};

struct InstanceRow {
    id: Uuid,
    service: String,
    ordinal: i32,
    host_id: Uuid,
    moving_from: Option<Uuid>,
    claims: Json<Claims>,
}

impl From<InstanceRow> for Instance {
    fn from(row: InstanceRow) -> Self {
        Self {
            id: row.id,
            service: row.service,
            ordinal: row.ordinal,
            host_id: row.host_id,
            moving_from: row.moving_from,
            claims: row.claims.0,
        }
    }
}

pub(super) async fn instances(db: &PgPool, stack: Uuid) -> sqlx::Result<Vec<Instance>> {
    let rows = sqlx::query_as!(
        InstanceRow,
        r#"SELECT id, service, ordinal, host_id, moving_from, claims AS "claims: Json<Claims>"
           FROM instances WHERE stack_id = $1 ORDER BY service, ordinal"#,
        stack
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Instance::from).collect())
}

/// What the other stacks of an environment have, by host.
pub(super) async fn neighbours(
    db: &PgPool,
    environment: Uuid,
    except: Uuid,
) -> sqlx::Result<HashMap<Uuid, Vec<Neighbour>>> {
    let rows = sqlx::query!(
        r#"SELECT i.host_id, s.name, i.service, i.ordinal, i.claims AS "claims: Json<Claims>"
           FROM instances i JOIN stacks s ON s.id = i.stack_id
           WHERE s.environment_id = $1 AND s.id <> $2"#,
        environment,
        except
    )
    .fetch_all(db)
    .await?;
    let mut all: HashMap<Uuid, Vec<Neighbour>> = HashMap::new();
    for row in rows {
        all.entry(row.host_id).or_default().push(Neighbour {
            stack: row.name,
            service: row.service,
            ordinal: row.ordinal,
            claims: row.claims.0,
        });
    }
    Ok(all)
}

/// Makes an instance; `None` when there is one of this service and ordinal already.
pub(super) async fn add(
    db: &PgPool,
    stack: Uuid,
    service: &str,
    ordinal: i32,
    host: Uuid,
    claims: &Claims,
) -> sqlx::Result<Option<Instance>> {
    let row = sqlx::query_as!(
        InstanceRow,
        r#"INSERT INTO instances (id, stack_id, service, ordinal, host_id, claims)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
           RETURNING id, service, ordinal, host_id, moving_from, claims AS "claims: Json<Claims>""#,
        Uuid::now_v7(),
        stack,
        service,
        ordinal,
        host,
        Json(claims) as _
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Instance::from))
}

/// What an instance takes has changed with its service.
pub(super) async fn set_claims(db: &PgPool, id: Uuid, claims: &Claims) -> sqlx::Result<()> {
    sqlx::query!("UPDATE instances SET claims = $2 WHERE id = $1", id, Json(claims) as _)
        .execute(db)
        .await?;
    Ok(())
}

/// Gives an instance another host. `politely`: what it has on the old one stays until the new one
/// is ready.
pub(super) async fn move_to(db: &PgPool, id: Uuid, host: Uuid, politely: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE instances SET host_id = $2, health = NULL,
             moving_from = CASE WHEN $3 THEN host_id ELSE moving_from END
         WHERE id = $1 AND host_id <> $2",
        id,
        host,
        politely
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How an environment places its containers.
pub(super) async fn scheduling(db: &PgPool, environment: Uuid) -> sqlx::Result<Scheduling> {
    let found = sqlx::query_scalar!(
        r#"SELECT scheduling AS "scheduling: Json<Scheduling>" FROM environments WHERE id = $1"#,
        environment
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| found.0).unwrap_or_default())
}

pub(super) async fn remove(db: &PgPool, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM instances WHERE id = ANY($1)", ids).execute(db).await?;
    Ok(())
}

/// What the keeper of a network works from.
pub(super) struct NetworkRow {
    pub id: Uuid,
    pub scheduling: Scheduling,
    /// As it was last written.
    pub status: Option<CrossHostNetworkStatus>,
    /// The host on which Drover makes or has made the swarm.
    pub made_on: Option<Uuid>,
}

/// The environments whose networks are to be looked after.
pub(super) async fn networks(db: &PgPool) -> sqlx::Result<Vec<NetworkRow>> {
    select_networks(db, None, true).await
}

/// One of those.
pub(super) async fn network(db: &PgPool, environment: Uuid) -> sqlx::Result<Option<NetworkRow>> {
    Ok(select_networks(db, Some(environment), true).await?.pop())
}

/// The same for an environment that may be switched off, or be going.
pub(super) async fn network_of_any(
    db: &PgPool,
    environment: Uuid,
) -> sqlx::Result<Option<NetworkRow>> {
    Ok(select_networks(db, Some(environment), false).await?.pop())
}

async fn select_networks(
    db: &PgPool,
    only: Option<Uuid>,
    active: bool,
) -> sqlx::Result<Vec<NetworkRow>> {
    let rows = sqlx::query!(
        r#"SELECT id, scheduling AS "scheduling: Json<Scheduling>",
               cross_host_network AS "status: Json<CrossHostNetworkStatus>", swarm_made_on
           FROM environments
           WHERE cluster_kind = 'cattle' AND ($1::uuid IS NULL OR id = $1)
               AND (NOT $2 OR state = 'active')"#,
        only,
        active
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| NetworkRow {
            id: row.id,
            scheduling: row.scheduling.0,
            status: row.status.map(|status| status.0),
            made_on: row.swarm_made_on,
        })
        .collect())
}

/// Writes how a network stands; true when that has changed.
pub(super) async fn set_network_status(
    db: &PgPool,
    environment: Uuid,
    status: &CrossHostNetworkStatus,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE environments SET cross_host_network = $2
         WHERE id = $1 AND cross_host_network IS DISTINCT FROM $2",
        environment,
        Json(status) as _
    )
    .execute(db)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Writes where Drover makes the swarm of a network.
pub(super) async fn set_swarm_made_on(
    db: &PgPool,
    environment: Uuid,
    host: Option<Uuid>,
) -> sqlx::Result<()> {
    sqlx::query!("UPDATE environments SET swarm_made_on = $2 WHERE id = $1", environment, host)
        .execute(db)
        .await?;
    Ok(())
}

/// What is known of the health of an instance's container.
pub(super) struct HealthRow {
    pub environment: Uuid,
    pub stack: Uuid,
    pub host: Uuid,
    pub kept: Kept,
}

/// The health of the containers of one stack, or of all stacks.
pub(super) async fn healths(db: &PgPool, stack: Option<Uuid>) -> sqlx::Result<Vec<HealthRow>> {
    let rows = sqlx::query!(
        r#"SELECT s.environment_id, i.stack_id, i.host_id, i.health AS "health!: Json<Kept>"
           FROM instances i JOIN stacks s ON s.id = i.stack_id
           WHERE i.health IS NOT NULL AND ($1::uuid IS NULL OR i.stack_id = $1)"#,
        stack
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| HealthRow {
            environment: row.environment_id,
            stack: row.stack_id,
            host: row.host_id,
            kept: row.health.0,
        })
        .collect())
}

/// Keeps what checks say of an instance's container; whether it is out of DNS stays, unless it is
/// another container.
pub(super) async fn set_health(
    db: &PgPool,
    subject: &Subject,
    finding: &Finding,
) -> sqlx::Result<()> {
    let kept = Kept {
        container: subject.container.clone(),
        health: Some(finding.health),
        why: finding.why.clone(),
        hidden: false,
    };
    sqlx::query!(
        "UPDATE instances SET health = $2::jsonb || CASE WHEN health ->> 'container' = $3
             THEN jsonb_build_object('hidden', health -> 'hidden') ELSE '{}' END
         WHERE id = $1 AND host_id = $4",
        subject.instance,
        Json(kept) as _,
        subject.container,
        subject.host
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps whether an instance's container is out of DNS.
pub(super) async fn set_hidden(
    db: &PgPool,
    instance: Uuid,
    container: &str,
    hidden: bool,
) -> sqlx::Result<()> {
    let kept = Kept { container: container.to_owned(), health: None, why: None, hidden };
    sqlx::query!(
        "UPDATE instances SET health = CASE WHEN health ->> 'container' = $3
             THEN health || jsonb_build_object('hidden', $4::boolean) ELSE $2 END
         WHERE id = $1",
        instance,
        Json(kept) as _,
        container,
        hidden
    )
    .execute(db)
    .await?;
    Ok(())
}
