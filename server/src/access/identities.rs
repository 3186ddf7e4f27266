//! Who a session or an API key stands for, cached.
//!
//! The cache is dropped whole whenever anything that it depends on changes (users, members, keys,
//! environments), on this replica or another: those changes are rare, requests are not. A minute
//! is the longest that an entry lives in any case.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use drover_api::{ClusterKind, GlobalRole, Permission, Role};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::watch;
use tower_sessions::session::Id as SessionId;
use uuid::Uuid;

use super::{
    permits,
    store::{self, Way},
};
use crate::{auth::SessionStore, error::Result};

const LONGEST: Duration = Duration::from_secs(60);
/// Beyond this, the cache is emptied: made-up keys must not fill the memory.
const MOST: usize = 10_000;

/// What a caller showed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A browser session.
    Session(SessionId),
    /// The SHA-256 of an API key.
    ApiKey([u8; 32]),
}

/// What an API key is limited to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// This environment only.
    pub environment_id: Option<Uuid>,
    /// At most this role, and nothing outside of environments.
    pub role: Option<Role>,
}

impl Scope {
    /// Whether it limits anything.
    pub fn is_limited(self) -> bool {
        self.environment_id.is_some() || self.role.is_some()
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user.
    pub user_id: Uuid,
    /// The user's login.
    pub login: Arc<str>,
    /// What lists show.
    pub display_name: Arc<str>,
    /// What the user may do outside of environments.
    pub global_role: GlobalRole,
    /// The strongest role by environment, before the scope cuts it down: ask
    /// [`Caller::role_in`].
    pub(super) roles: Arc<HashMap<Uuid, Role>>,
    /// The groups of identity providers that the user is in, by their principals' ids.
    pub groups: Arc<[String]>,
    /// What the API key is limited to.
    pub scope: Scope,
    /// The API key, when one was used.
    pub api_key_id: Option<Uuid>,
    /// What the caller showed.
    pub credential: Credential,
    /// When the credential ends.
    pub expires_at: Option<OffsetDateTime>,
    /// When what the caller has through an identity provider stops counting, if the provider does
    /// not tell of them again until then: the time to look anew.
    pub(super) recheck_at: Option<OffsetDateTime>,
}

impl Caller {
    /// Whether what is known of the caller still holds by the clock.
    fn holds(&self) -> bool {
        let now = OffsetDateTime::now_utc();
        [self.expires_at, self.recheck_at].into_iter().flatten().all(|end| end > now)
    }
}

/// The cache, and the word that it changed.
pub struct Identities {
    db: PgPool,
    sessions: SessionStore,
    cache: RwLock<HashMap<Credential, (Instant, Caller)>>,
    environments: RwLock<HashMap<Uuid, (Instant, (String, ClusterKind))>>,
    generation: watch::Sender<u64>,
}

impl Identities {
    /// An empty cache.
    pub fn new(db: PgPool, sessions: SessionStore) -> Self {
        Self {
            db,
            sessions,
            cache: RwLock::default(),
            environments: RwLock::default(),
            generation: watch::Sender::new(0),
        }
    }

    /// Forgets everything; open streams check again whether they may go on.
    pub fn invalidate(&self) {
        self.sessions.forget_all();
        write(&self.cache).clear();
        write(&self.environments).clear();
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// The caller behind an API key.
    pub async fn by_api_key(&self, token: &str, address: &str) -> Result<Option<Caller>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.identify(Credential::ApiKey(hash), Some(address)).await
    }

    /// The caller behind a browser session.
    pub async fn by_session(&self, id: SessionId) -> Result<Option<Caller>> {
        self.identify(Credential::Session(id), None).await
    }

    /// The caller behind what somebody showed before.
    pub async fn by_credential(&self, credential: Credential) -> Result<Option<Caller>> {
        self.identify(credential, None).await
    }

    /// The caller as they are now: their roles may have changed since.
    pub async fn again(&self, caller: &Caller) -> Result<Option<Caller>> {
        self.identify(caller.credential.clone(), None).await
    }

    /// The state of an environment (`active`, `inactive`, `removing`) and its cluster, if it is there.
    pub async fn environment(&self, id: Uuid) -> Result<Option<(String, ClusterKind)>> {
        if let Some((at, known)) = read(&self.environments).get(&id)
            && at.elapsed() < LONGEST
        {
            return Ok(Some(known.clone()));
        }
        let found = store::environment(&self.db, id).await?;
        if let Some(found) = &found {
            write(&self.environments).insert(id, (Instant::now(), found.clone()));
        }
        Ok(found)
    }

    async fn identify(
        &self,
        credential: Credential,
        address: Option<&str>,
    ) -> Result<Option<Caller>> {
        if let Some((at, caller)) = read(&self.cache).get(&credential)
            && at.elapsed() < LONGEST
            && caller.holds()
        {
            return Ok(Some(caller.clone()));
        }
        // Read before the queries: if something changes meanwhile, the result is not kept.
        let generation = *self.generation.borrow();
        let Some(caller) = self.look_up(&credential, address).await? else {
            write(&self.cache).remove(&credential);
            return Ok(None);
        };
        let mut cache = write(&self.cache);
        if *self.generation.borrow() == generation {
            if cache.len() >= MOST {
                cache.clear();
            }
            cache.insert(credential, (Instant::now(), caller.clone()));
        }
        Ok(Some(caller))
    }

    async fn look_up(
        &self,
        credential: &Credential,
        address: Option<&str>,
    ) -> Result<Option<Caller>> {
        let (user_id, way, scope, api_key_id, expires_at) = match credential {
            Credential::Session(id) => {
                let Some(owner) = self.sessions.owner(id).await? else {
                    return Ok(None);
                };
                let way = owner.provider_id.map_or(Way::Password, Way::Provider);
                (owner.user_id, way, Scope::default(), None, Some(owner.expires_at))
            }
            Credential::ApiKey(hash) => {
                let Some(key) = store::api_key(&self.db, hash).await? else {
                    return Ok(None);
                };
                if let Some(address) = address {
                    store::touch_api_key(&self.db, key.id, address).await?;
                }
                let scope = Scope { environment_id: key.environment_id, role: key.role };
                (key.user_id, Way::Any, scope, Some(key.id), key.expires_at)
            }
        };
        Ok(store::active_user(&self.db, user_id, way).await?.map(|user| Caller {
            user_id: user.id,
            login: user.login.into(),
            display_name: user.display_name.into(),
            global_role: user.global_role,
            roles: Arc::new(user.roles),
            groups: user.groups.into(),
            scope,
            api_key_id,
            credential: credential.clone(),
            expires_at,
            recheck_at: user.recheck_at,
        }))
    }

    /// Ends when `caller` may no longer do this: signed out, key revoked or expired, role taken
    /// away. Long-lived streams select on it.
    pub async fn revoked(&self, caller: &Caller, environment_id: Uuid, permission: Permission) {
        self.revoked_when(caller, |now| {
            now.role_in(environment_id).is_some_and(|role| permits(role, permission))
        })
        .await;
    }

    /// Ends when the caller is signed out or `may` says no.
    pub async fn revoked_when(&self, caller: &Caller, may: impl Fn(&Caller) -> bool) {
        let mut generation = self.generation.subscribe();
        generation.mark_unchanged();
        let mut last = caller.clone();
        loop {
            let wait = match self.identify(caller.credential.clone(), None).await {
                Ok(Some(now)) if may(&now) => {
                    last = now;
                    until_recheck(&last)
                }
                // The database is away: keep the last known answer while it holds.
                Err(error) if last.holds() => {
                    tracing::debug!(%error, "cannot check access again");
                    until_recheck(&last)
                }
                Ok(_) | Err(_) => return,
            };
            let recheck = tokio::time::sleep(wait);
            tokio::select! {
                changed = generation.changed() => if changed.is_err() { return },
                () = recheck => {}
            }
        }
    }
}

/// How long what is known of a caller may be used.
fn until_recheck(caller: &Caller) -> Duration {
    [caller.expires_at, caller.recheck_at]
        .into_iter()
        .flatten()
        .map(|at| (at - OffsetDateTime::now_utc()).max(time::Duration::ZERO).unsigned_abs())
        .fold(LONGEST, Duration::min)
        // Not in a circle, where the clocks of server and database differ a little.
        .max(Duration::from_millis(500))
}

// A poisoned lock only means that another thread panicked between two map operations, each of
// which leaves the map whole.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}
