//! The table of providers.

use drover_api::{AccessMode, Principal, ProviderKind, SignInProvider, TestReport};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{ProviderRow, Setup};
use crate::{
    error::{Error, Result},
    secrets::Cipher,
    users::PrincipalRow,
};

/// A row before its secrets are opened.
struct Sealed {
    id: Uuid,
    kind: String,
    name: String,
    enabled: bool,
    access_mode: String,
    allowed_groups: Vec<String>,
    config: serde_json::Value,
    secret: Option<Vec<u8>>,
    draft_config: Option<serde_json::Value>,
    draft_secret: Option<Vec<u8>>,
    tested: bool,
    last_test: Option<serde_json::Value>,
    last_contact_at: Option<OffsetDateTime>,
    error: Option<String>,
    failing_since: Option<OffsetDateTime>,
    scim_token_prefix: Option<String>,
    scim_last_used_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    version: i64,
    config_version: i64,
}

fn open(cipher: &Cipher, sealed: Option<Vec<u8>>) -> Result<Option<SecretString>> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = cipher.open(&sealed).map_err(Error::internal)?;
    Ok(Some(String::from_utf8(plain).map_err(Error::internal)?.into()))
}

fn seal(cipher: &Cipher, secret: Option<&SecretString>) -> Option<Vec<u8>> {
    secret.map(|secret| cipher.seal(secret.expose_secret().as_bytes()))
}

impl Sealed {
    fn open(self, cipher: &Cipher) -> Result<ProviderRow> {
        let kind = ProviderKind::parse(&self.kind).ok_or_else(|| {
            Error::internal(format!("an identity provider of kind {}", self.kind))
        })?;
        let setup = |config, secret| -> Result<Setup> {
            Ok(Setup {
                config: serde_json::from_value(config).map_err(Error::internal)?,
                secret: open(cipher, secret)?,
            })
        };
        Ok(ProviderRow {
            id: self.id,
            kind,
            name: self.name,
            enabled: self.enabled,
            access_mode: AccessMode::parse(&self.access_mode).unwrap_or(AccessMode::Required),
            allowed_groups: self.allowed_groups,
            current: setup(self.config, self.secret)?,
            draft: match self.draft_config {
                Some(config) => Some(setup(config, self.draft_secret)?),
                None => None,
            },
            tested: self.tested,
            last_test: self.last_test,
            last_contact_at: self.last_contact_at,
            error: self.error,
            failing_since: self.failing_since,
            scim_token_prefix: self.scim_token_prefix,
            scim_last_used_at: self.scim_last_used_at,
            created_at: self.created_at,
            version: self.version,
            config_version: self.config_version,
        })
    }
}

/// All providers, by name.
pub(super) async fn list(db: &PgPool, cipher: &Cipher) -> Result<Vec<ProviderRow>> {
    select(db, cipher, None).await
}

/// The provider, if there is one.
pub async fn get(db: &PgPool, cipher: &Cipher, id: Uuid) -> Result<Option<ProviderRow>> {
    Ok(select(db, cipher, Some(id)).await?.pop())
}

async fn select(db: &PgPool, cipher: &Cipher, id: Option<Uuid>) -> Result<Vec<ProviderRow>> {
    let rows = sqlx::query_as!(
        Sealed,
        r#"SELECT id, kind, name::text AS "name!", enabled, access_mode, allowed_groups, config,
               secret, draft_config, draft_secret, tested, last_test, last_contact_at, error,
               failing_since, scim_token_prefix, scim_last_used_at, created_at, version,
               config_version
           FROM identity_providers WHERE $1::uuid IS NULL OR id = $1 ORDER BY name"#,
        id
    )
    .fetch_all(db)
    .await?;
    let mut opened = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.name.clone();
        match row.open(cipher) {
            Ok(row) => opened.push(row),
            // Of several, one that cannot be read must not take the others along.
            Err(error) if id.is_none() => {
                tracing::error!(%error, provider = %name, "cannot read an identity provider");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Locks the row until the transaction ends, and gives its version.
pub(super) async fn lock(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT version FROM identity_providers WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx)
        .await
}

/// The same provider with its rules as they are now, held until the transaction ends: an answer
/// that was asked for under old rules must not be written down under them. Nothing when it is off
/// or gone by now, or when what was asked is another directory than the one that is set up now.
pub(super) async fn with_rules_of_now(
    tx: &mut PgConnection,
    asked: &ProviderRow,
) -> sqlx::Result<Option<ProviderRow>> {
    // Held against `lock`, and not against notes on how the provider does.
    let now = sqlx::query!(
        "SELECT access_mode, allowed_groups FROM identity_providers
         WHERE id = $1 AND enabled AND config_version = $2 FOR KEY SHARE",
        asked.id,
        asked.config_version
    )
    .fetch_optional(tx)
    .await?;
    Ok(now.map(|now| ProviderRow {
        access_mode: AccessMode::parse(&now.access_mode).unwrap_or(AccessMode::Required),
        allowed_groups: now.allowed_groups,
        ..asked.clone()
    }))
}

/// Makes a provider that is off.
pub(super) async fn insert(
    db: &PgPool,
    cipher: &Cipher,
    name: &str,
    setup: &Setup,
    access_mode: AccessMode,
    allowed_groups: &[String],
) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO identity_providers (id, kind, name, access_mode, allowed_groups, config, secret)
         VALUES ($1, $2, $3::text::citext, $4, $5, $6, $7) RETURNING id",
        Uuid::now_v7(),
        setup.config.kind().as_str(),
        name,
        access_mode.as_str(),
        allowed_groups,
        serde_json::to_value(&setup.config).unwrap_or_default(),
        seal(cipher, setup.secret.as_ref())
    )
    .fetch_one(db)
    .await
}

/// What can change of a provider beside its settings; what is absent stays.
#[derive(Default)]
pub(super) struct Change<'a> {
    pub name: Option<&'a str>,
    pub access_mode: Option<AccessMode>,
    pub allowed_groups: Option<&'a [String]>,
    pub enabled: Option<bool>,
}

pub(super) async fn update(
    tx: &mut PgConnection,
    id: Uuid,
    change: &Change<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identity_providers SET name = coalesce($2::text::citext, name),
             access_mode = coalesce($3, access_mode),
             allowed_groups = coalesce($4, allowed_groups), enabled = coalesce($5, enabled),
             version = version + 1
         WHERE id = $1",
        id,
        change.name,
        change.access_mode.map(AccessMode::as_str),
        change.allowed_groups,
        change.enabled
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// New settings in force: they are untested.
pub(super) async fn set_current(
    tx: &mut PgConnection,
    cipher: &Cipher,
    id: Uuid,
    setup: &Setup,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identity_providers SET config = $2, secret = $3, tested = false,
             draft_config = NULL, draft_secret = NULL, config_version = config_version + 1,
             error = NULL, failing_since = NULL
         WHERE id = $1",
        id,
        serde_json::to_value(&setup.config).unwrap_or_default(),
        seal(cipher, setup.secret.as_ref())
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// New settings that wait for a test; none: forgets them.
pub(super) async fn set_draft(
    tx: &mut PgConnection,
    cipher: &Cipher,
    id: Uuid,
    setup: Option<&Setup>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identity_providers SET draft_config = $2, draft_secret = $3 WHERE id = $1",
        id,
        setup.map(|setup| serde_json::to_value(&setup.config).unwrap_or_default()),
        setup.and_then(|setup| seal(cipher, setup.secret.as_ref()))
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps a test's report. Where a sign-in has worked, what was tested comes into force; `version`
/// is that of the row which was tested: of another one, only the report is kept.
pub(super) async fn note_test(
    db: &PgPool,
    id: Uuid,
    version: i64,
    report: &TestReport,
) -> sqlx::Result<bool> {
    let applied = sqlx::query_scalar!(
        r#"UPDATE identity_providers SET last_test = $3,
               config = CASE WHEN $4 AND $5 AND version = $2::bigint THEN draft_config ELSE config END,
               secret = CASE WHEN $4 AND $5 AND version = $2::bigint THEN draft_secret ELSE secret END,
               tested = tested OR ($4 AND version = $2::bigint),
               config_version = config_version + ($4 AND $5 AND version = $2::bigint)::int,
               draft_config =
                   CASE WHEN $4 AND $5 AND version = $2::bigint THEN NULL ELSE draft_config END,
               draft_secret =
                   CASE WHEN $4 AND $5 AND version = $2::bigint THEN NULL ELSE draft_secret END,
               version = version + 1
           WHERE id = $1 RETURNING version = $2::bigint + 1 AND $4 AS "applied!""#,
        id,
        version,
        serde_json::to_value(report).unwrap_or_default(),
        report.signed_in,
        report.draft
    )
    .fetch_optional(db)
    .await?;
    Ok(applied.unwrap_or(false))
}

/// Removes the provider, and with it its principals, memberships and sessions. The users stay, for
/// the audit log and their other accounts.
pub(super) async fn delete(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM identity_providers WHERE id = $1", id).execute(tx).await?;
    Ok(())
}

/// Notes how the provider answered. True when that is news: it failed and works again, or the
/// reverse.
pub(super) async fn note_contact(db: &PgPool, id: Uuid, error: Option<&str>) -> sqlx::Result<bool> {
    let before = sqlx::query_scalar!(
        r#"UPDATE identity_providers now SET
               last_contact_at = CASE WHEN $2::text IS NULL THEN now() ELSE now.last_contact_at END,
               error = $2,
               failing_since =
                   CASE WHEN $2::text IS NULL THEN NULL ELSE coalesce(now.failing_since, now()) END
           FROM identity_providers before WHERE now.id = $1 AND before.id = now.id
           RETURNING before.error"#,
        id,
        error
    )
    .fetch_optional(db)
    .await?;
    Ok(before.is_some_and(|before| before.as_deref() != error))
}

/// Whether accounts, roles or access rules depend on what the provider calls people and groups.
pub(super) async fn has_people(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identities WHERE provider_id = $1)
               OR EXISTS (SELECT FROM provider_principals WHERE provider_id = $1)
               OR EXISTS (SELECT FROM environment_members m
                   JOIN principals p ON p.id = m.principal_id WHERE p.provider_id = $1)
               AS "has!""#,
        id
    )
    .fetch_one(tx)
    .await
}

/// Who may sign in besides members of environments.
pub(super) async fn allowed_principals(db: &PgPool, id: Uuid) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        PrincipalRow,
        r#"SELECT p.id, p.kind, p.provider, p.provider_id, i.name::text AS "provider_name?", p.name,
               p.login, p.detail
           FROM provider_principals a JOIN principals p ON p.id = a.principal_id
           LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE a.provider_id = $1 ORDER BY lower(p.name)"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}

/// Sets who may sign in besides. All must be known principals of this provider.
pub(super) async fn set_allowed_principals(
    tx: &mut PgConnection,
    id: Uuid,
    principals: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM provider_principals WHERE provider_id = $1 AND principal_id <> ALL ($2)",
        id,
        principals
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO provider_principals (provider_id, principal_id)
         SELECT $1, id FROM principals WHERE id = ANY ($2) AND provider_id = $1
         ON CONFLICT DO NOTHING",
        id,
        principals
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Figures of a provider for its page.
pub(super) struct Figures {
    pub users: i64,
    pub scim_users: i64,
    pub scim_groups: i64,
    pub pending: i64,
    pub expires_at: Option<OffsetDateTime>,
}

pub(super) async fn figures(db: &PgPool, id: Uuid, refresh_minutes: u32) -> sqlx::Result<Figures> {
    sqlx::query_as!(
        Figures,
        r#"SELECT (SELECT count(*) FROM identities WHERE provider_id = $1) AS "users!",
               (SELECT count(*) FROM scim_users WHERE provider_id = $1) AS "scim_users!",
               (SELECT count(*) FROM scim_groups WHERE provider_id = $1) AS "scim_groups!",
               (SELECT count(*) FROM identities_in_use WHERE provider_id = $1
                   AND (NOT pushed OR credential IS NOT NULL)
                   AND checked_at < now() - make_interval(mins => $2)) AS "pending!",
               (SELECT min(l.until) FROM live_identities l
                   JOIN identities_in_use i USING (principal_id) WHERE l.provider_id = $1)
                   AS expires_at"#,
        id,
        i32::try_from(refresh_minutes).unwrap_or(i32::MAX)
    )
    .fetch_one(db)
    .await
}

/// Spends a token that is good once; false when it was spent before.
pub(super) async fn spend(
    db: impl sqlx::PgExecutor<'_>,
    hash: &[u8],
    until: OffsetDateTime,
) -> sqlx::Result<bool> {
    let spent = sqlx::query!(
        "INSERT INTO spent_tokens (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        hash,
        until
    )
    .execute(db)
    .await?;
    Ok(spent.rows_affected() == 1)
}

/// Forgets spent tokens that have ended.
pub async fn sweep(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM spent_tokens WHERE expires_at < now()").execute(db).await?;
    Ok(())
}

/// Ends sessions that came in through a provider: the one with this id there; else, and where the
/// session's id is not known, all of this person's. How many there were.
pub(super) async fn end_sessions(
    db: &mut PgConnection,
    provider: Uuid,
    session: Option<&str>,
    person: Option<&str>,
) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "DELETE FROM sessions s WHERE s.provider_id = $1
             AND (s.provider_session = $2
                 OR (($2::text IS NULL OR s.provider_session IS NULL) AND s.user_id IN
                     (SELECT user_id FROM identities WHERE principal_id = $3)))",
        provider,
        session,
        person
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected())
}

/// What the sign-in page offers.
pub(super) async fn sign_in_providers(db: &PgPool) -> sqlx::Result<Vec<SignInProvider>> {
    let rows = sqlx::query!(
        r#"SELECT id, name::text AS "name!", kind FROM identity_providers WHERE enabled
           ORDER BY name"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let kind = ProviderKind::parse(&row.kind)?;
            Some(SignInProvider { id: row.id, name: row.name, kind, door: kind.door() })
        })
        .collect())
}
