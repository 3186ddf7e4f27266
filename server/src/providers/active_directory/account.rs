//! Whether Active Directory lets an account in: from its attributes, and from what a refused bind
//! says.

use drover_api::TestStepKind;
use ldap3::LdapResult;
use time::OffsetDateTime;

use crate::providers::{
    Refusal,
    ldap::{
        search::Entry,
        trouble::{self, Trouble, code, result_words},
    },
};

/// What has to be read of an account.
pub(super) const ATTRIBUTES: [&str; 5] = [
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "accountExpires",
    "lockoutTime",
    "pwdLastSet",
];

/// Bits of `userAccountControl` and its computed companion (MS-ADTS, 2.2.16 and 3.1.1.4.5.17).
const DISABLED: i64 = 0x2;
const LOCKED_OUT: i64 = 0x10;
const PASSWORD_STAYS: i64 = 0x1_0000;
const PASSWORD_EXPIRED: i64 = 0x80_0000;

/// Seconds from 1601, where Windows counts from, to 1970.
const EPOCH: i64 = 11_644_473_600;

/// Why the account may not come in now.
pub(super) fn refusal(entry: &Entry, now: OffsetDateTime) -> Option<Refusal> {
    let control = entry.number("userAccountControl").unwrap_or(0);
    // Knows when a lock and a password end by the domain's policy. The global catalog and old
    // domains do not have it.
    let computed = entry.number("msDS-User-Account-Control-Computed");
    let has = |bit| computed.is_some_and(|computed| computed & bit != 0);
    let number = |name: &str| entry.number(name);
    if control & DISABLED != 0 {
        return Some(Refusal::Disabled);
    }
    if has_passed(number("accountExpires"), now) {
        return Some(Refusal::Expired);
    }
    if has(LOCKED_OUT) || computed.is_none() && number("lockoutTime").is_some_and(|at| at != 0) {
        return Some(Refusal::Locked);
    }
    let must_change = number("pwdLastSet") == Some(0) && control & PASSWORD_STAYS == 0;
    (has(PASSWORD_EXPIRED) || must_change).then_some(Refusal::PasswordExpired)
}

/// Whether this time, in steps of 100 ns from 1601, is over. 0 and the largest number mean never
/// (MS-ADA1, 2.2).
fn has_passed(time: Option<i64>, now: OffsetDateTime) -> bool {
    match time {
        None | Some(0 | i64::MAX) => false,
        Some(time) => time / 10_000_000 - EPOCH <= now.unix_timestamp(),
    }
}

/// Somebody's bind was refused: "80090308: LdapErr: DSID-…, comment: AcceptSecurityContext error,
/// data 533, v3839".
pub(super) fn bind_refused(server: &str, result: &LdapResult) -> Trouble {
    let step = TestStepKind::UserBind;
    let refused = match sub_code(&result.text) {
        _ if result.rc != code::INVALID_CREDENTIALS => None,
        // ERROR_INVALID_LOGON_HOURS, ERROR_INVALID_WORKSTATION.
        Some(0x530 | 0x531) => Some(Refusal::NotNow),
        // ERROR_PASSWORD_EXPIRED, ERROR_PASSWORD_MUST_CHANGE.
        Some(0x532 | 0x773) => Some(Refusal::PasswordExpired),
        // ERROR_ACCOUNT_DISABLED.
        Some(0x533) => Some(Refusal::Disabled),
        // ERROR_ACCOUNT_EXPIRED.
        Some(0x701) => Some(Refusal::Expired),
        // ERROR_ACCOUNT_LOCKED_OUT.
        Some(0x775) => Some(Refusal::Locked),
        // ERROR_NO_SUCH_USER (0x525) and ERROR_LOGON_FAILURE (0x52e) too.
        _ => None,
    };
    match refused {
        Some(refusal) => Trouble::refused(step, refusal, result_words(result)),
        None => trouble::bind_refused(server, result),
    }
}

fn sub_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("data ")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ProviderError;

    const NOW: i64 = 1_700_000_000;

    fn entry(attributes: &[(&str, &str)]) -> Entry {
        Entry::of("cn=a", attributes)
    }

    fn windows(seconds: i64) -> String {
        ((seconds + EPOCH) * 10_000_000).to_string()
    }

    fn refused(attributes: &[(&str, &str)]) -> Option<Refusal> {
        refusal(&entry(attributes), OffsetDateTime::from_unix_timestamp(NOW).unwrap())
    }

    #[test]
    fn reads_the_state_of_accounts() {
        let (never, past, future) = (i64::MAX.to_string(), windows(NOW - 1), windows(NOW + 60));
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&[("userAccountControl", "512")]), None);
        assert_eq!(refused(&[("userAccountControl", "514")]), Some(Refusal::Disabled));
        for time in ["0", &never, &future] {
            assert_eq!(refused(&[("accountExpires", time)]), None);
        }
        assert_eq!(refused(&[("accountExpires", &past)]), Some(Refusal::Expired));
        assert_eq!(refused(&[("lockoutTime", &past)]), Some(Refusal::Locked));
        let unlocked = [("lockoutTime", &*past), ("msDS-User-Account-Control-Computed", "0")];
        assert_eq!(refused(&unlocked), None, "the lock is over");
        let locked = [("msDS-User-Account-Control-Computed", "16")];
        assert_eq!(refused(&locked), Some(Refusal::Locked));
        let expired = [("msDS-User-Account-Control-Computed", "8388608")];
        assert_eq!(refused(&expired), Some(Refusal::PasswordExpired));
        assert_eq!(refused(&[("pwdLastSet", "0")]), Some(Refusal::PasswordExpired));
        let stays = [("pwdLastSet", "0"), ("userAccountControl", "66048")];
        assert_eq!(refused(&stays), None);
    }

    #[test]
    fn reads_why_a_bind_was_refused() {
        let bind = |rc, data: &str| {
            let text = format!(
                "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data \
                 {data}, v3839\0"
            );
            let result = LdapResult {
                rc,
                matched: String::new(),
                text,
                refs: Vec::new(),
                ctrls: Vec::new(),
            };
            bind_refused("dc1", &result).error
        };
        let refusals = [
            ("530", Refusal::NotNow),
            ("531", Refusal::NotNow),
            ("532", Refusal::PasswordExpired),
            ("773", Refusal::PasswordExpired),
            ("533", Refusal::Disabled),
            ("701", Refusal::Expired),
            ("775", Refusal::Locked),
        ];
        for (data, refusal) in refusals {
            assert_eq!(bind(49, data), ProviderError::Refused(refusal));
        }
        for data in ["52e", "525", "", "ffffffffff"] {
            assert_eq!(bind(49, data), ProviderError::WrongCredentials);
        }
        assert!(matches!(bind(51, "533"), ProviderError::Unavailable(_)));
        assert!(matches!(bind(8, ""), ProviderError::Misconfigured(_)));
    }
}
