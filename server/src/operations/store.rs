//! The tables of operations and their logs.

use drover_api::{
    Operation, OperationError, OperationKind, OperationLogLine, OperationState, Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, PgExecutor, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::NewOperation;

/// The wire name of an enum's value, which is its name in the database too.
fn name(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn parse<T: DeserializeOwned>(name: &str) -> sqlx::Result<T> {
    serde_json::from_value(name.into()).map_err(|error| sqlx::Error::Decode(error.into()))
}

struct Row {
    id: Uuid,
    environment_id: Uuid,
    kind: String,
    target_kind: String,
    target_id: Uuid,
    target_name: String,
    state: String,
    progress: f64,
    message: String,
    error: Option<Json<OperationError>>,
    created_by_login: Option<String>,
    created_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Operation {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            environment_id: row.environment_id,
            kind: parse(&row.kind)?,
            target_kind: row.target_kind,
            target_id: row.target_id,
            target_name: row.target_name,
            state: parse(&row.state)?,
            progress: row.progress,
            message: row.message,
            error: row.error.map(|error| error.0),
            created_by: row.created_by_login,
            created_at: Timestamp(row.created_at),
            started_at: row.started_at.map(Timestamp),
            finished_at: row.finished_at.map(Timestamp),
        })
    }
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    by: Option<(Uuid, &str)>,
    new: &NewOperation<'_>,
) -> sqlx::Result<Operation> {
    sqlx::query_as!(
        Row,
        r#"INSERT INTO operations (id, environment_id, kind, target_kind, target_id, target_name,
               input, state, created_by, created_by_login)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', $8, $9)
           RETURNING id, environment_id, kind, target_kind, target_id, target_name, state,
               progress, message, error AS "error: Json<OperationError>", created_by_login,
               created_at, started_at, finished_at"#,
        Uuid::now_v7(),
        new.environment_id,
        name(new.kind),
        new.target_kind,
        new.target_id,
        new.target_name,
        new.input,
        by.map(|(id, _)| id),
        by.map(|(_, login)| login)
    )
    .fetch_one(tx)
    .await?
    .try_into()
}

pub(super) async fn cancel_open(
    tx: &mut PgConnection,
    target: Uuid,
    why: &str,
) -> sqlx::Result<Vec<Operation>> {
    sqlx::query_as!(
        Row,
        r#"UPDATE operations SET state = 'cancelled', message = $2, finished_at = now()
           WHERE target_id = $1 AND state IN ('queued', 'running')
           RETURNING id, environment_id, kind, target_kind, target_id, target_name, state,
               progress, message, error AS "error: Json<OperationError>", created_by_login,
               created_at, started_at, finished_at"#,
        target,
        why
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// `None` when it had ended already.
pub(super) async fn cancel_one(
    db: &PgPool,
    id: Uuid,
    why: &str,
) -> sqlx::Result<Option<Operation>> {
    sqlx::query_as!(
        Row,
        r#"UPDATE operations SET state = 'cancelled', message = $2, finished_at = now()
           WHERE id = $1 AND state IN ('queued', 'running')
           RETURNING id, environment_id, kind, target_kind, target_id, target_name, state,
               progress, message, error AS "error: Json<OperationError>", created_by_login,
               created_at, started_at, finished_at"#,
        id,
        why
    )
    .fetch_optional(db)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// All open operations of a kind, over all environments.
pub async fn open_of_kind(db: &PgPool, kind: OperationKind) -> sqlx::Result<Vec<Operation>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, environment_id, kind, target_kind, target_id, target_name, state, progress,
               message, error AS "error: Json<OperationError>", created_by_login, created_at,
               started_at, finished_at
           FROM operations WHERE kind = $1 AND state IN ('queued', 'running')"#,
        name(kind)
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// An operation that is still open, with its input.
#[derive(Debug, Clone)]
pub struct OpenOperation {
    /// The operation's id.
    pub id: Uuid,
    /// What kind of work.
    pub kind: OperationKind,
    /// What the work needs to know.
    pub input: serde_json::Value,
}

/// The operation that is still open for a target, if there is one.
pub async fn open_for(db: &PgPool, target: Uuid) -> sqlx::Result<Option<OpenOperation>> {
    let row = sqlx::query!(
        "SELECT id, kind, input FROM operations
         WHERE target_id = $1 AND state IN ('queued', 'running') ORDER BY id DESC LIMIT 1",
        target
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok(OpenOperation { id: row.id, kind: parse(&row.kind)?, input: row.input }))
        .transpose()
}

/// The open operations of an environment, by target.
pub async fn open_in(db: &PgPool, environment: Uuid) -> sqlx::Result<Vec<(Uuid, OpenOperation)>> {
    let rows = sqlx::query!(
        "SELECT target_id, id, kind, input FROM operations
         WHERE environment_id = $1 AND state IN ('queued', 'running') ORDER BY id",
        environment
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let open = OpenOperation { id: row.id, kind: parse(&row.kind)?, input: row.input };
            Ok((row.target_id, open))
        })
        .collect()
}

/// Whether it has not ended yet.
pub async fn is_open(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operations
               WHERE id = $1 AND state IN ('queued', 'running')) AS "open!""#,
        id
    )
    .fetch_one(db)
    .await
}

/// Why the last operation on a target that failed did so.
pub async fn last_error(db: &PgPool, target: Uuid) -> sqlx::Result<Option<OperationError>> {
    let error = sqlx::query_scalar!(
        r#"SELECT error AS "error!: Json<OperationError>" FROM operations
           WHERE target_id = $1 AND state = 'failed' AND error IS NOT NULL
           ORDER BY id DESC LIMIT 1"#,
        target
    )
    .fetch_optional(db)
    .await?;
    Ok(error.map(|error| error.0))
}

/// `None` when nothing has changed, or it has ended.
pub(super) async fn progress(
    db: &PgPool,
    id: Uuid,
    fraction: f64,
    message: &str,
) -> sqlx::Result<Option<Operation>> {
    sqlx::query_as!(
        Row,
        r#"UPDATE operations SET state = 'running', progress = greatest(progress, $2),
               message = $3, started_at = coalesce(started_at, now())
           WHERE id = $1 AND state IN ('queued', 'running')
             AND (state = 'queued' OR message <> $3 OR progress < $2)
           RETURNING id, environment_id, kind, target_kind, target_id, target_name, state,
               progress, message, error AS "error: Json<OperationError>", created_by_login,
               created_at, started_at, finished_at"#,
        id,
        fraction,
        message
    )
    .fetch_optional(db)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// `None` when it had ended already.
pub(super) async fn finish(
    tx: &mut PgConnection,
    id: Uuid,
    state: OperationState,
    error: Option<&OperationError>,
) -> sqlx::Result<Option<Operation>> {
    sqlx::query_as!(
        Row,
        r#"UPDATE operations SET state = $2, error = $3, finished_at = now(),
               started_at = coalesce(started_at, now()),
               progress = CASE WHEN $2 = 'succeeded' THEN 1 ELSE progress END,
               message = CASE WHEN $2 = 'succeeded' THEN '' ELSE message END
           WHERE id = $1 AND state IN ('queued', 'running')
           RETURNING id, environment_id, kind, target_kind, target_id, target_name, state,
               progress, message, error AS "error: Json<OperationError>", created_by_login,
               created_at, started_at, finished_at"#,
        id,
        name(state),
        error.map(Json) as _
    )
    .fetch_optional(tx)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// An operation of an environment, if there is one.
pub async fn get(db: &PgPool, environment: Uuid, id: Uuid) -> sqlx::Result<Option<Operation>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, environment_id, kind, target_kind, target_id, target_name, state, progress,
               message, error AS "error: Json<OperationError>", created_by_login, created_at,
               started_at, finished_at
           FROM operations WHERE environment_id = $1 AND id = $2"#,
        environment,
        id
    )
    .fetch_optional(db)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// What to look for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub before: Option<Uuid>,
    pub state: Option<OperationState>,
    pub target_id: Option<Uuid>,
}

/// Operations, newest first.
pub(super) async fn list(
    db: &PgPool,
    environment: Uuid,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<Operation>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, environment_id, kind, target_kind, target_id, target_name, state, progress,
               message, error AS "error: Json<OperationError>", created_by_login, created_at,
               started_at, finished_at
           FROM operations
           WHERE environment_id = $1 AND ($2::uuid IS NULL OR id < $2)
             AND ($3::text IS NULL OR state = $3) AND ($4::uuid IS NULL OR target_id = $4)
           ORDER BY id DESC LIMIT $5"#,
        environment,
        filter.before,
        filter.state.map(name),
        filter.target_id,
        limit
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

pub(super) async fn count(db: &PgPool, environment: Uuid, filter: &Filter) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM operations
           WHERE environment_id = $1 AND ($2::text IS NULL OR state = $2)
             AND ($3::uuid IS NULL OR target_id = $3)"#,
        environment,
        filter.state.map(name),
        filter.target_id
    )
    .fetch_one(db)
    .await
}

pub(super) async fn append_log(
    db: impl PgExecutor<'_>,
    id: Uuid,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query!("INSERT INTO operation_log (operation_id, message) VALUES ($1, $2)", id, message)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn log_lines(db: &PgPool, id: Uuid) -> sqlx::Result<Vec<OperationLogLine>> {
    let rows = sqlx::query!(
        "SELECT at, message FROM operation_log WHERE operation_id = $1 ORDER BY seq LIMIT 10000",
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OperationLogLine { at: Timestamp(row.at), message: row.message })
        .collect())
}
