//! The audit log's table.

use drover_api::{AuditEntry, AuditOutcome, Timestamp};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// An entry to write.
#[derive(Debug)]
pub struct NewEntry {
    /// See [`AuditEntry::actor_id`].
    pub actor_id: Option<Uuid>,
    /// See [`AuditEntry::actor`].
    pub actor: String,
    /// See [`AuditEntry::api_key_id`].
    pub api_key_id: Option<Uuid>,
    /// See [`AuditEntry::action`].
    pub action: String,
    /// See [`AuditEntry::target_kind`].
    pub target_kind: Option<String>,
    /// See [`AuditEntry::target_id`].
    pub target_id: Option<String>,
    /// See [`AuditEntry::target_name`].
    pub target_name: Option<String>,
    /// See [`AuditEntry::environment_id`].
    pub environment_id: Option<Uuid>,
    /// See [`AuditEntry::address`].
    pub address: Option<String>,
    /// See [`AuditEntry::outcome`].
    pub outcome: AuditOutcome,
    /// See [`AuditEntry::detail`].
    pub detail: serde_json::Value,
    /// See [`AuditEntry::request_id`].
    pub request_id: Option<String>,
}

fn outcome_name(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Success => "success",
        AuditOutcome::Denied => "denied",
        AuditOutcome::Failure => "failure",
    }
}

/// Writes an entry.
pub async fn append(db: &PgPool, entry: NewEntry) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_log (id, actor_id, actor, api_key_id, action, target_kind, target_id,
             target_name, environment_id, address, outcome, detail, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        Uuid::now_v7(),
        entry.actor_id,
        entry.actor,
        entry.api_key_id,
        entry.action,
        entry.target_kind,
        entry.target_id,
        entry.target_name,
        entry.environment_id,
        entry.address,
        outcome_name(entry.outcome),
        entry.detail,
        entry.request_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What to look for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub before: Option<Uuid>,
    pub environment_id: Option<Uuid>,
    pub actor: Option<String>,
    pub action: Option<String>,
    pub outcome: Option<AuditOutcome>,
    pub target_id: Option<String>,
    pub since: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
    pub q: Option<String>,
}

/// Entries, newest first.
pub(super) async fn list(
    db: &PgPool,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<AuditEntry>> {
    let pattern = filter.q.as_ref().map(|q| format!("%{}%", escape_like(q)));
    let rows = sqlx::query!(
        "SELECT * FROM audit_log
         WHERE ($1::uuid IS NULL OR id < $1) AND ($2::uuid IS NULL OR environment_id = $2)
           AND ($3::text IS NULL OR lower(actor) = lower($3))
           AND ($4::text IS NULL OR action = $4 OR action LIKE $4 || '.%')
           AND ($5::text IS NULL OR outcome = $5) AND ($6::text IS NULL OR target_id = $6)
           AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
           AND ($9::text IS NULL OR actor ILIKE $9 OR action ILIKE $9 OR target_name ILIKE $9
                OR address ILIKE $9)
         ORDER BY id DESC LIMIT $10",
        filter.before,
        filter.environment_id,
        filter.actor,
        filter.action,
        filter.outcome.map(outcome_name),
        filter.target_id,
        filter.since,
        filter.until,
        pattern,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AuditEntry {
            id: row.id,
            at: Timestamp(row.at),
            actor_id: row.actor_id,
            actor: row.actor,
            api_key_id: row.api_key_id,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            target_name: row.target_name,
            environment_id: row.environment_id,
            address: row.address,
            outcome: match row.outcome.as_str() {
                "success" => AuditOutcome::Success,
                "denied" => AuditOutcome::Denied,
                _ => AuditOutcome::Failure,
            },
            detail: row.detail,
            request_id: row.request_id,
        })
        .collect())
}

/// How many entries match, up to 10,000: an exact count of a log that only grows costs too much.
pub(super) async fn count(db: &PgPool, filter: &Filter) -> sqlx::Result<i64> {
    let pattern = filter.q.as_ref().map(|q| format!("%{}%", escape_like(q)));
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (SELECT 1 FROM audit_log
         WHERE ($1::uuid IS NULL OR environment_id = $1)
           AND ($2::text IS NULL OR lower(actor) = lower($2))
           AND ($3::text IS NULL OR action = $3 OR action LIKE $3 || '.%')
           AND ($4::text IS NULL OR outcome = $4) AND ($5::text IS NULL OR target_id = $5)
           AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
           AND ($8::text IS NULL OR actor ILIKE $8 OR action ILIKE $8 OR target_name ILIKE $8
                OR address ILIKE $8) LIMIT 10000) AS matching"#,
        filter.environment_id,
        filter.actor,
        filter.action,
        filter.outcome.map(outcome_name),
        filter.target_id,
        filter.since,
        filter.until,
        pattern
    )
    .fetch_one(db)
    .await
}

/// Escapes what LIKE treats as its own.
fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
