//! Reads the groups of the people who are signed in, or have API keys, again and again: a change
//! in the directory takes effect without a new sign-in.
//!
//! Each replica claims accounts that are due, so that replicas share the work. Providers do not
//! wait for each other; one that does not answer is left alone for a while, and what its people
//! have goes on to count until the grace time is over (the view `live_identities`).

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use drover_api::{AuditOutcome, Topic};
use futures_util::StreamExt;
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Known, Person, ProviderError, Refusal,
    accounts::{self, Due},
    model::{ProviderRow, parse_principal_id},
    registry::Connected,
    sign_in::note_contact,
    store,
};
use crate::{
    app::App,
    audit,
    error::{Error, Result},
    settings,
};

/// How often it is looked for accounts that are due.
const EVERY: Duration = Duration::from_secs(2);
/// How many accounts are claimed at once: those of a replica that dies wait for the next round.
const BATCH: i64 = 64;
/// How many of one provider's people are asked about at the same time.
const AT_ONCE: usize = 8;
/// How many accounts in a row a provider must say no to before it is taken for its own trouble.
const SUSPICIOUS: usize = 3;
/// How long a provider that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest that a provider which asked to be left alone is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Refreshes until the process ends.
pub(super) async fn run(app: App) {
    let busy: Arc<Mutex<HashSet<Uuid>>> = Arc::default();
    let mut timer = tokio::time::interval(EVERY);
    loop {
        timer.tick().await;
        let (connected, minutes) = match look(&app).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot look for accounts to refresh");
                continue;
            }
        };
        for provider in connected {
            let id = provider.row.id;
            if !lock(&busy).insert(id) {
                continue;
            }
            let (app, busy) = (app.clone(), busy.clone());
            tokio::spawn(async move {
                if let Some(pause) = one_provider(&app, id, minutes).await {
                    tokio::time::sleep(pause).await;
                }
                lock(&busy).remove(&id);
            });
        }
    }
}

fn lock(busy: &Mutex<HashSet<Uuid>>) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn look(app: &App) -> Result<(Vec<Connected>, u32)> {
    let connected = app.providers.all_enabled(app).await?;
    Ok((connected, settings::directory_refresh_minutes(&app.db).await?))
}

/// Refreshes a batch of a provider's accounts that are due, and again until none are left; each
/// batch by the provider's settings as they are then. How long to leave it alone, if it does not
/// answer.
async fn one_provider(app: &App, id: Uuid, minutes: u32) -> Option<Duration> {
    loop {
        let batch = async {
            let Some(provider) = app.providers.enabled(app, id).await? else { return Ok(None) };
            let due = accounts::claim_due(&app.db, id, minutes, BATCH).await?;
            Ok::<_, Error>(Some((provider, due)))
        };
        match batch.await {
            Ok(Some((provider, due))) => {
                let is_last = due.len() < BATCH as usize;
                if let Some(pause) = one_batch(app, &provider, due, minutes).await {
                    return Some(pause);
                }
                if is_last {
                    return None;
                }
            }
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%error, "cannot claim accounts to refresh");
                return Some(PAUSE);
            }
        }
    }
}

/// How it went with one account.
enum Outcome {
    /// It is known how it is.
    Done,
    /// The provider says no to what was asked, for this account or for all.
    Suspect(ProviderError),
    /// The provider does not answer now.
    Away(Duration),
    /// Not asked any more.
    Skipped,
}

async fn one_batch(
    app: &App,
    provider: &Connected,
    due: Vec<Due>,
    minutes: u32,
) -> Option<Duration> {
    let stop = AtomicBool::new(false);
    let mut results = futures_util::stream::iter(due)
        .map(|due| {
            let stop = &stop;
            async move {
                // What was begun goes on to its end: renewed tokens must not be lost.
                if stop.load(Ordering::Relaxed) {
                    return (due.principal_id, Ok(Outcome::Skipped));
                }
                let result = one_account(app, provider, &due).await;
                (due.principal_id, result)
            }
        })
        .buffer_unordered(AT_ONCE);
    let (mut pause, mut skipped, mut later, mut suspects) = (None, Vec::new(), Vec::new(), 0);
    while let Some((principal, result)) = results.next().await {
        match result {
            Ok(Outcome::Done) => suspects = 0,
            Ok(Outcome::Skipped) => skipped.push(principal),
            Ok(Outcome::Away(wait)) => {
                later.push(principal);
                pause = Some(wait);
            }
            Ok(Outcome::Suspect(error)) => {
                suspects += 1;
                // One odd account is its own trouble; several in a row are the provider's.
                if suspects == SUSPICIOUS {
                    note_contact(app, &provider.row, Some(&error)).await;
                    pause = Some(PAUSE * 6);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write down a refreshed account");
                later.push(principal);
                pause = Some(PAUSE);
            }
        }
        if pause.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    }
    let put_back = async {
        if !later.is_empty() {
            accounts::retry_soon(&app.db, &later, minutes).await?;
        }
        if !skipped.is_empty() {
            accounts::unclaim(&app.db, &skipped).await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    if let Err(error) = put_back.await {
        tracing::warn!(%error, "cannot put accounts back");
    }
    pause
}

/// Reads the accounts of one user again, now. Those whose provider does not answer stay as they
/// are, with what was wrong.
pub(super) async fn one_user(app: &App, user_id: Uuid) -> Result<()> {
    for (provider_id, due) in accounts::due_now(&app.db, user_id).await? {
        if let Some(provider) = app.providers.enabled(app, provider_id).await? {
            one_account(app, &provider, &due).await?;
        }
    }
    Ok(())
}

/// Reads one account again.
async fn one_account(app: &App, provider: &Connected, due: &Due) -> Result<Outcome> {
    let row = &provider.row;
    let asked_at = OffsetDateTime::now_utc();
    let known = Known {
        id: parse_principal_id(&due.principal_id)
            .map(|address| address.id)
            .ok_or_else(|| Error::internal(format!("a principal {}", due.principal_id)))?,
        login: due.login.clone(),
        credential: match &due.credential {
            Some(sealed) => {
                let plain = app.cipher.open(sealed).map_err(Error::internal)?;
                Some(SecretString::from(String::from_utf8(plain).map_err(Error::internal)?))
            }
            None => None,
        },
    };
    let answer = provider.connection.refresh(&known).await;
    let error = match answer {
        Ok(person) => {
            note_contact(app, row, None).await;
            take_over(app, row, &due.principal_id, person, asked_at).await?;
            return Ok(Outcome::Done);
        }
        Err(error) => error,
    };
    match error {
        ProviderError::Gone | ProviderError::Refused(Refusal::Disabled | Refusal::Expired) => {
            note_contact(app, row, None).await;
            end(app, row, due, &error.to_string()).await?;
            return Ok(Outcome::Done);
        }
        ProviderError::CannotRefresh => return Ok(Outcome::Done),
        _ => {}
    }
    accounts::note_error(&app.db, &due.principal_id, &error.to_string()).await?;
    tracing::debug!(provider = %row.name, %error, "an account cannot be refreshed");
    Ok(match &error {
        ProviderError::Unavailable(_) => {
            note_contact(app, row, Some(&error)).await;
            Outcome::Away(PAUSE)
        }
        ProviderError::RateLimited { retry_after, .. } => {
            note_contact(app, row, Some(&error)).await;
            Outcome::Away(retry_after.unwrap_or(PAUSE * 6).clamp(PAUSE, LONGEST_PAUSE))
        }
        ProviderError::Misconfigured(_) => Outcome::Suspect(error),
        // This person's own trouble. A locked account is one that somebody guesses at, who must not
        // end what its owner is doing.
        _ => Outcome::Done,
    })
}

async fn take_over(
    app: &App,
    row: &ProviderRow,
    principal_id: &str,
    person: Person,
    asked_at: OffsetDateTime,
) -> Result<()> {
    let Some(person) = person.tidy() else {
        return Ok(());
    };
    // A provider that tells of somebody else than it was asked about is not believed.
    if row.own_principal(&person).id != principal_id {
        let why = "the provider told of another person";
        return Ok(accounts::note_error(&app.db, principal_id, why).await?);
    }
    let mut tx = app.db.begin().await?;
    let Some(row) = &store::with_rules_of_now(&mut tx, row).await? else {
        return Ok(());
    };
    let Some((user_id, deactivated)) = accounts::known(&mut tx, principal_id).await? else {
        return Ok(());
    };
    if deactivated || accounts::is_newer_than(&mut tx, principal_id, asked_at).await? {
        return Ok(());
    }
    if let Some(why) = accounts::refusal(&mut tx, row, &person, Some(user_id)).await? {
        let changed = accounts::refuse(&mut tx, principal_id, why).await?;
        tx.commit().await?;
        return announce(app, row, user_id, &person.login, why, changed).await;
    }
    let arrival = accounts::arrive(&mut tx, &app.cipher, row, &person).await?;
    tx.commit().await?;
    if arrival.changed {
        app.access_changed(Topic::User, None, user_id).await;
    }
    Ok(())
}

/// What an account brings ends: the provider says so.
async fn end(app: &App, row: &ProviderRow, due: &Due, why: &str) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let Some((user_id, _)) = accounts::known(&mut tx, &due.principal_id).await? else {
        return Ok(());
    };
    let changed = accounts::refuse(&mut tx, &due.principal_id, why).await?;
    tx.commit().await?;
    announce(app, row, user_id, &due.login, why, changed).await
}

/// Nobody asked for it, so nothing else writes it into the audit log.
async fn announce(
    app: &App,
    row: &ProviderRow,
    user_id: Uuid,
    login: &str,
    why: &str,
    changed: bool,
) -> Result<()> {
    if !changed {
        return Ok(());
    }
    app.access_changed(Topic::User, None, user_id).await;
    let entry = audit::NewEntry {
        actor_id: None,
        actor: row.name.clone(),
        api_key_id: None,
        action: "user.access_ended".into(),
        target_kind: Some("user".into()),
        target_id: Some(user_id.to_string()),
        target_name: Some(login.to_owned()),
        environment_id: None,
        address: None,
        outcome: AuditOutcome::Success,
        detail: serde_json::json!({ "provider": row.name, "reason": why }),
        request_id: None,
    };
    audit::append(&app.db, entry).await?;
    Ok(())
}
