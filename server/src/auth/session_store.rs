//! Browser sessions in PostgreSQL, for tower-sessions, with a short-lived cache in front: a page
//! makes many requests, and its session does not change between them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore as Store,
    session::{Id, Record},
    session_store::{Error, Result},
};
use uuid::Uuid;

use super::keys;

const LONGEST: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;

/// Whose session it is.
#[derive(Debug, Clone, Copy)]
pub struct SessionOwner {
    /// The user.
    pub user_id: Uuid,
    /// The identity provider that it came in through; none: by a password of Drover's own.
    pub provider_id: Option<Uuid>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Sessions in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct SessionStore {
    db: PgPool,
    cache: Arc<RwLock<HashMap<Id, (Instant, Record)>>>,
}

impl std::fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").finish_non_exhaustive()
    }
}

/// The table has the hash of the cookie's value: reading the table lets nobody in.
pub(super) fn row_id(id: &Id) -> Vec<u8> {
    Sha256::digest(id.0.to_le_bytes()).to_vec()
}

fn backend(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

fn text<'a>(record: &'a Record, key: &str) -> &'a str {
    record.data.get(key).and_then(|value| value.as_str()).unwrap_or_default()
}

fn user_id(record: &Record) -> Option<Uuid> {
    text(record, keys::USER).parse().ok()
}

fn provider_id(record: &Record) -> Option<Uuid> {
    text(record, keys::PROVIDER).parse().ok()
}

fn provider_session(record: &Record) -> Option<&str> {
    Some(text(record, keys::PROVIDER_SESSION)).filter(|id| !id.is_empty())
}

impl SessionStore {
    /// Sessions in this database.
    pub fn new(db: PgPool) -> Self {
        Self { db, cache: Arc::default() }
    }

    /// Whose session it is, through which provider it came in, and when it ends.
    pub async fn owner(&self, id: &Id) -> crate::error::Result<Option<SessionOwner>> {
        let record = self.load(id).await.map_err(|error| {
            tracing::warn!(%error, "cannot load a session");
            crate::error::Error::unavailable(
                "database_unavailable",
                "The database does not answer at the moment. Try again in a few seconds.",
            )
        })?;
        Ok(record.and_then(|record| {
            Some(SessionOwner {
                user_id: user_id(&record)?,
                provider_id: provider_id(&record),
                expires_at: record.expiry_date,
            })
        }))
    }

    /// Drops the cache: sessions have ended behind its back.
    pub fn forget_all(&self) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn remember(&self, record: &Record) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MOST {
            cache.clear();
        }
        cache.insert(record.id, (Instant::now(), record.clone()));
    }

    fn cached(&self, id: &Id) -> Option<Record> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let (at, record) = cache.get(id)?;
        (at.elapsed() < LONGEST && record.expiry_date > OffsetDateTime::now_utc())
            .then(|| record.clone())
    }

    async fn insert(&self, record: &Record) -> Result<bool> {
        let data = serde_json::to_value(&record.data).map_err(|e| Error::Encode(e.to_string()))?;
        let inserted = sqlx::query!(
            "INSERT INTO sessions (id, user_id, data, address, user_agent, expires_at, provider_id,
                 provider_session)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            row_id(&record.id),
            user_id(record),
            data,
            text(record, keys::ADDRESS),
            text(record, keys::USER_AGENT),
            record.expiry_date,
            provider_id(record),
            provider_session(record)
        )
        .execute(&self.db)
        .await
        .map_err(backend)?;
        Ok(inserted.rows_affected() == 1)
    }
}

#[async_trait::async_trait]
impl Store for SessionStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        while !self.insert(record).await? {
            record.id = Id::default();
        }
        self.remember(record);
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let data = serde_json::to_value(&record.data).map_err(|e| Error::Encode(e.to_string()))?;
        // A session that has ended meanwhile must not come back: update only.
        let saved = sqlx::query!(
            "UPDATE sessions SET data = $2, user_id = $3, expires_at = $4, provider_id = $5,
                 provider_session = $6, last_seen_at = now()
             WHERE id = $1",
            row_id(&record.id),
            data,
            user_id(record),
            record.expiry_date,
            provider_id(record),
            provider_session(record)
        )
        .execute(&self.db)
        .await
        .map_err(backend)?;
        if saved.rows_affected() == 1 {
            self.remember(record);
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        if let Some(record) = self.cached(id) {
            return Ok(Some(record));
        }
        let row = sqlx::query!(
            "UPDATE sessions SET last_seen_at = now() WHERE id = $1 AND expires_at > now()
             RETURNING data, expires_at",
            row_id(id)
        )
        .fetch_optional(&self.db)
        .await
        .map_err(backend)?;
        let Some(row) = row else { return Ok(None) };
        let record = Record {
            id: *id,
            data: serde_json::from_value(row.data).map_err(|e| Error::Decode(e.to_string()))?,
            expiry_date: row.expires_at,
        };
        self.remember(&record);
        Ok(Some(record))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        sqlx::query!("DELETE FROM sessions WHERE id = $1", row_id(id))
            .execute(&self.db)
            .await
            .map_err(backend)?;
        Ok(())
    }
}
