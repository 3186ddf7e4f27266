//! Failed sign-ins are counted by account and by address; past a few, each further one costs
//! waiting time that doubles. Counted in PostgreSQL, so that replicas count together.

use std::net::IpAddr;

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
    let login: String = login.to_lowercase().chars().take(64).collect();
    [(format!("login:{login}"), FREE_BY_ACCOUNT), (format!("address:{address}"), FREE_BY_ADDRESS)]
}

/// How long to wait after so many failures, seconds.
fn wait_seconds(failures: i32, free: i32) -> Option<i64> {
    let beyond = failures - free;
    (beyond >= 0).then(|| (1_i64 << beyond.min(20)).min(LONGEST_WAIT))
}

/// 429 while this account or address has to wait.
pub(super) async fn check(db: &PgPool, login: &str, address: IpAddr) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    for (key, _) in keys(login, address) {
        if let Some(until) = store::blocked_until(db, &key).await?
            && until > now
        {
            let seconds = (until - now).whole_seconds().max(1);
            return Err(Error::too_many(
                format!("Too many failed sign-ins. Try again in {seconds} seconds."),
                seconds.unsigned_abs(),
            ));
        }
    }
    Ok(())
}

/// Counts a failure.
pub(super) async fn failed(db: &PgPool, login: &str, address: IpAddr) -> Result<()> {
    for (key, free) in keys(login, address) {
        let failures = store::count_failure(db, &key).await?;
        if let Some(seconds) = wait_seconds(failures, free) {
            store::block(db, &key, OffsetDateTime::now_utc() + time::Duration::seconds(seconds))
                .await?;
        }
    }
    Ok(())
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
