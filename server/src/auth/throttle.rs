//! Failed sign-ins are counted by account and by address; past a few, each further one costs
//! waiting time that doubles. Counted in PostgreSQL, so that replicas count together.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::store;
use crate::error::{Error, Result};

/// Free tries for one account; an address gets more, since many people can share one.
const FREE_BY_ACCOUNT: i32 = 5;
const FREE_BY_ADDRESS: i32 = 20;
/// Seconds.
const LONGEST_WAIT: i64 = 15 * 60;

fn keys(login: &str, address: IpAddr) -> [(String, i32); 2] {
    let mut login = login.to_lowercase();
    // As short as the table likes it, and another one for each.
    if login.len() > 64 {
        login = URL_SAFE_NO_PAD.encode(Sha256::digest(login.as_bytes()));
    }
    [(format!("login:{login}"), FREE_BY_ACCOUNT), (format!("address:{address}"), FREE_BY_ADDRESS)]
}

/// How long to wait after so many failures, seconds.
fn wait_seconds(failures: i32, free: i32) -> Option<i64> {
    let beyond = failures - free;
    (beyond >= 0).then(|| (1_i64 << beyond.min(20)).min(LONGEST_WAIT))
}

/// 429 while this account or address has to wait.
pub(super) async fn check(db: &PgPool, login: &str, address: IpAddr) -> Result<()> {
    for (key, _) in keys(login, address) {
        wait_for(db, &key).await?;
    }
    Ok(())
}

async fn wait_for(db: &PgPool, key: &str) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    match store::blocked_until(db, key).await? {
        Some(until) if until > now => {
            let seconds = (until - now).whole_seconds().max(1);
            Err(Error::too_many(
                format!("Too many failed sign-ins. Try again in {seconds} seconds."),
                seconds.unsigned_abs(),
            ))
        }
        _ => Ok(()),
    }
}

/// Counts a failure.
pub(super) async fn failed(db: &PgPool, login: &str, address: IpAddr) -> Result<()> {
    for (key, free) in keys(login, address) {
        count(db, &key, free).await?;
    }
    Ok(())
}

async fn count(db: &PgPool, key: &str, free: i32) -> Result<()> {
    let failures = store::count_failure(db, key).await?;
    if let Some(seconds) = wait_seconds(failures, free) {
        let until = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        store::block(db, key, until).await?;
    }
    Ok(())
}

/// Failed redirections are counted by address, apart from passwords: they are no guesses, and any
/// page could send its visitors through one to keep a whole office from signing in.
fn redirect_key(address: IpAddr) -> String {
    format!("redirect:{address}")
}

/// 429 while this address has to wait with redirections.
pub(super) async fn check_redirect(db: &PgPool, address: IpAddr) -> Result<()> {
    wait_for(db, &redirect_key(address)).await
}

/// Counts a redirection that began here and failed.
pub(super) async fn redirect_failed(db: &PgPool, address: IpAddr) -> Result<()> {
    count(db, &redirect_key(address), FREE_BY_ADDRESS).await
}

/// A success clears the account's count (not the address's: one good account must not buy tries
/// at the others).
pub(super) async fn succeeded(db: &PgPool, login: &str, address: IpAddr) -> Result<()> {
    let [(account, _), _] = keys(login, address);
    store::clear_failures(db, &account).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_at_a_quarter_of_an_hour() {
        assert_eq!(wait_seconds(4, 5), None);
        assert_eq!(wait_seconds(5, 5), Some(1));
        assert_eq!(wait_seconds(8, 5), Some(8));
        assert_eq!(wait_seconds(1000, 5), Some(900));
    }
}
