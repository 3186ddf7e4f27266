//! The tables `replicas` and `tunnels`.

use sqlx::PgPool;
use uuid::Uuid;

/// Where a tunnel ends.
pub struct End {
    /// The replica.
    pub replica: Uuid,
    /// Where it is reached.
    pub address: String,
    /// The agent's process.
    pub process: Uuid,
}

/// Where the tunnel of a host or cluster ends, if it has one.
pub async fn end_of(db: &PgPool, agent: Uuid) -> sqlx::Result<Option<End>> {
    sqlx::query_as!(
        End,
        "SELECT r.id AS replica, r.address, t.process
         FROM tunnels t JOIN replicas r ON r.id = t.replica_id WHERE t.agent_id = $1",
        agent
    )
    .fetch_optional(db)
    .await
}

/// The newest tunnel of a host or cluster is this one.
pub async fn claim(
    db: &PgPool,
    agent: Uuid,
    replica: Uuid,
    id: Uuid,
    process: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO tunnels (agent_id, replica_id, id, process) VALUES ($1, $2, $3, $4)
         ON CONFLICT (agent_id) DO UPDATE SET replica_id = excluded.replica_id,
             id = excluded.id, process = excluded.process, opened_at = now()",
        agent,
        replica,
        id,
        process
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A tunnel has ended, unless there is a newer one.
pub async fn release(db: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM tunnels WHERE id = $1", id).execute(db).await?;
    Ok(())
}

/// This replica is there. True when it was not in the table (any more): then its tunnels are not
/// either.
pub async fn beat(db: &PgPool, replica: Uuid, address: &str, version: &str) -> sqlx::Result<bool> {
    let known = sqlx::query!(
        "UPDATE replicas SET seen_at = now(), address = $2 WHERE id = $1",
        replica,
        address
    )
    .execute(db)
    .await?;
    if known.rows_affected() == 1 {
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO replicas (id, address, version) VALUES ($1, $2, $3)",
        replica,
        address,
        version
    )
    .execute(db)
    .await?;
    Ok(true)
}

/// Forgets replicas that have not been seen for a while, and with them their tunnels.
pub async fn sweep(db: &PgPool, seconds: f64) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "DELETE FROM replicas WHERE seen_at < now() - make_interval(secs => $1)",
        seconds
    )
    .execute(db)
    .await?;
    Ok(gone.rows_affected())
}

/// This replica ends.
pub async fn leave(db: &PgPool, replica: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM replicas WHERE id = $1", replica).execute(db).await?;
    Ok(())
}
