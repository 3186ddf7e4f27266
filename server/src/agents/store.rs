//! The tables `agents` and `registration_tokens`.

use drover_api::{AgentClone, AgentUpgrade, RegistrationToken, RegistrationTokenState};
use indexmap::IndexMap;
use sqlx::{PgConnection, PgExecutor, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

type Labels = IndexMap<String, String>;

/// An agent, as far as its host's row tells.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    /// The agent's version; empty until it has connected once.
    pub version: String,
    /// It was refused for that at its last try.
    pub too_old: bool,
    /// From where it dials.
    pub address: Option<String>,
    /// When its tunnel was opened, while it has one.
    pub open_since: Option<OffsetDateTime>,
    /// The newest upgrade that was asked for.
    pub upgrade: Option<AgentUpgrade>,
    /// Another machine has tried with its key.
    pub clone: Option<AgentClone>,
}

/// What a tunnel is checked against.
pub struct Known {
    /// The host's environment; none of a cluster.
    pub environment_id: Option<Uuid>,
    /// The name of the host or cluster.
    pub name: String,
    /// The agent's key.
    pub public_key: Vec<u8>,
    /// The process that has a tunnel now.
    pub process: Option<Uuid>,
}

/// What is known of the agent of a host or cluster.
pub async fn known(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Known>> {
    sqlx::query_as!(
        Known,
        r#"SELECT h.environment_id AS "environment_id?", h.name::text AS "name!",
               a.public_key AS "public_key!", t.process AS "process?"
           FROM agents a JOIN hosts h ON h.id = a.host_id
               LEFT JOIN tunnels t ON t.agent_id = a.host_id
           WHERE a.host_id = $1
           UNION ALL
           SELECT NULL, c.name::text, c.agent_key, t.process
           FROM kubernetes_clusters c LEFT JOIN tunnels t ON t.agent_id = c.id
           WHERE c.id = $1 AND c.agent_key IS NOT NULL"#,
        id
    )
    .fetch_optional(db)
    .await
}

/// An agent has connected.
pub async fn connected(db: &PgPool, host: Uuid, version: &str, address: &str) -> sqlx::Result<()> {
    // An upgrade to this version, or past it, is done.
    sqlx::query!(
        "UPDATE agents SET version = $2, too_old = false, address = $3, connected_at = now(),
             upgrade = CASE WHEN upgrade ->> 'version' = $2 THEN NULL ELSE upgrade END
         WHERE host_id = $1",
        host,
        version,
        address
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The agent of a cluster has connected.
pub async fn cluster_connected(
    db: &PgPool,
    cluster: Uuid,
    version: &str,
    address: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE kubernetes_clusters SET agent_version = $2, agent_address = $3 WHERE id = $1",
        cluster,
        version,
        address
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An agent is back. If it was to become another version, that has failed.
pub async fn note_return(db: &PgPool, host: Uuid, version: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE agents SET upgrade = upgrade || jsonb_build_object('error',
             'The agent has come back as ' || $2::text || '.')
         WHERE host_id = $1 AND upgrade ->> 'version' <> $2 AND upgrade ->> 'error' IS NULL
             AND (upgrade ->> 'asked_at')::timestamptz < now() - interval '20 seconds'",
        host,
        version
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An agent was refused since it is too old.
pub async fn too_old(db: &PgPool, host: Uuid, version: &str, address: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE agents SET version = $2, too_old = true, address = $3 WHERE host_id = $1",
        host,
        version,
        address
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Another machine has tried with the key of a host.
pub async fn set_clone(db: &PgPool, host: Uuid, clone: Option<&AgentClone>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE agents SET clone = $2 WHERE host_id = $1", host, clone.map(Json) as _)
        .execute(db)
        .await?;
    Ok(())
}

/// An upgrade is asked for, or has failed.
pub async fn set_upgrade(db: &PgPool, host: Uuid, upgrade: &AgentUpgrade) -> sqlx::Result<()> {
    sqlx::query!("UPDATE agents SET upgrade = $2 WHERE host_id = $1", host, Json(upgrade) as _)
        .execute(db)
        .await?;
    Ok(())
}

/// A row of `registration_tokens`.
struct TokenRow {
    id: Uuid,
    name: String,
    prefix: String,
    labels: Json<Labels>,
    most_hosts: Option<i32>,
    hosts: i32,
    created_by: String,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
}

impl From<TokenRow> for RegistrationToken {
    fn from(row: TokenRow) -> Self {
        let state = if row.revoked_at.is_some() {
            RegistrationTokenState::Revoked
        } else if row.expires_at <= OffsetDateTime::now_utc() {
            RegistrationTokenState::Expired
        } else if row.most_hosts.is_some_and(|most| row.hosts >= most) {
            RegistrationTokenState::UsedUp
        } else {
            RegistrationTokenState::Active
        };
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            state,
            labels: row.labels.0,
            most_hosts: row.most_hosts.and_then(|most| most.try_into().ok()),
            hosts: row.hosts.try_into().unwrap_or_default(),
            created_by: row.created_by,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
        }
    }
}

/// The tokens of an environment, the newest first.
pub async fn tokens(db: &PgPool, environment: Uuid) -> sqlx::Result<Vec<RegistrationToken>> {
    let rows = sqlx::query_as!(
        TokenRow,
        r#"SELECT id, name, prefix, labels AS "labels: Json<Labels>", most_hosts, hosts,
               created_by, created_at, expires_at, revoked_at
           FROM registration_tokens WHERE environment_id = $1 ORDER BY id DESC"#,
        environment
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A new token.
pub struct NewToken<'a> {
    /// Where its hosts go.
    pub environment_id: Uuid,
    /// For people.
    pub name: &'a str,
    /// The secret's beginning.
    pub prefix: &'a str,
    /// SHA-256 of the secret.
    pub hash: &'a [u8],
    /// Of its hosts.
    pub labels: &'a Labels,
    /// How many hosts it may bring.
    pub most_hosts: Option<i32>,
    /// Who makes it.
    pub created_by: &'a str,
    /// From now on.
    pub hours: i32,
}

/// Makes a token.
pub async fn insert_token(db: &PgPool, new: &NewToken<'_>) -> sqlx::Result<RegistrationToken> {
    let row = sqlx::query_as!(
        TokenRow,
        r#"INSERT INTO registration_tokens (id, environment_id, name, prefix, token_hash, labels,
               most_hosts, created_by, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(hours => $9))
           RETURNING id, name, prefix, labels AS "labels: Json<Labels>", most_hosts, hosts,
               created_by, created_at, expires_at, revoked_at"#,
        Uuid::now_v7(),
        new.environment_id,
        new.name,
        new.prefix,
        new.hash,
        Json(new.labels) as _,
        new.most_hosts,
        new.created_by,
        new.hours
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Ends a token; `None` when there is none of this id in the environment, else its name.
pub async fn revoke_token(
    db: &PgPool,
    environment: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "UPDATE registration_tokens SET revoked_at = coalesce(revoked_at, now())
         WHERE id = $1 AND environment_id = $2 RETURNING name",
        id,
        environment
    )
    .fetch_optional(db)
    .await
}

/// A token that lets a host in.
pub struct Admission {
    /// The token.
    pub id: Uuid,
    /// Where its hosts go.
    pub environment_id: Uuid,
    /// That environment's name.
    pub environment: String,
    /// The secret's beginning, for the audit log.
    pub prefix: String,
    /// Of its hosts.
    pub labels: Labels,
}

/// The token with this hash, if it still lets hosts in; locked until the transaction ends, so that
/// its count is kept.
pub async fn admission(tx: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<Admission>> {
    let row = sqlx::query!(
        r#"SELECT t.id, t.environment_id, t.prefix, t.labels AS "labels: Json<Labels>",
               e.name::text AS "environment!"
           FROM registration_tokens t JOIN environments e ON e.id = t.environment_id
           WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND t.expires_at > now()
               AND (t.most_hosts IS NULL OR t.hosts < t.most_hosts) AND e.state = 'active'
           FOR UPDATE OF t"#,
        hash
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Admission {
        id: row.id,
        environment_id: row.environment_id,
        environment: row.environment,
        prefix: row.prefix,
        labels: row.labels.0,
    }))
}

/// The host that has registered with this key, its name, and the name of its environment.
pub async fn host_of_key(
    db: impl PgExecutor<'_>,
    public_key: &[u8],
) -> sqlx::Result<Option<(Uuid, String, String)>> {
    let row = sqlx::query!(
        r#"SELECT h.id, h.name::text AS "name!", e.name::text AS "environment!"
           FROM agents a JOIN hosts h ON h.id = a.host_id
               JOIN environments e ON e.id = h.environment_id
           WHERE a.public_key = $1"#,
        public_key
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.name, row.environment)))
}

/// Which of these names a host of the environment has.
pub async fn taken_names(
    tx: &mut PgConnection,
    environment: Uuid,
    names: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT lower(name::text) AS "name!" FROM hosts
           WHERE environment_id = $1 AND lower(name::text) = ANY($2)"#,
        environment,
        names
    )
    .fetch_all(tx)
    .await
}

/// Adds the agent of a new host, and counts it for its token.
pub async fn insert(
    tx: &mut PgConnection,
    host: Uuid,
    public_key: &[u8],
    version: &str,
    token: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO agents (host_id, public_key, version) VALUES ($1, $2, $3)",
        host,
        public_key,
        version
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE registration_tokens SET hosts = hosts + 1 WHERE id = $1", token)
        .execute(tx)
        .await?;
    Ok(())
}

/// Hosts whose agents are connected but older than `version`, and have not been asked to become
/// it.
pub async fn outdated(db: &PgPool, version: &str) -> sqlx::Result<Vec<(Uuid, Uuid, String)>> {
    let rows = sqlx::query!(
        "SELECT h.environment_id, h.id, a.version FROM agents a
             JOIN hosts h ON h.id = a.host_id JOIN tunnels t ON t.agent_id = h.id
         WHERE a.version <> $1
             AND (a.upgrade IS NULL OR a.upgrade ->> 'version' <> $1)",
        version
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.environment_id, row.id, row.version)).collect())
}
