//! What goes wrong with a directory, and what to do about it.

use drover_api::TestStepKind;
use ldap3::{LdapError, LdapResult};
use rustls::CertificateError;

use crate::providers::{ProviderError, Refusal, Steps};

/// How much of a server's own words is kept.
const LONGEST_DETAIL: usize = 500;

/// Result codes (RFC 4511, appendix A.1).
pub(crate) mod code {
    pub(crate) const OPERATIONS_ERROR: u32 = 1;
    pub(crate) const TIME_LIMIT: u32 = 3;
    pub(crate) const SIZE_LIMIT: u32 = 4;
    pub(crate) const STRONGER_AUTH: u32 = 8;
    pub(crate) const REFERRAL: u32 = 10;
    pub(crate) const ADMIN_LIMIT: u32 = 11;
    pub(crate) const CONFIDENTIALITY: u32 = 13;
    pub(crate) const CONSTRAINT: u32 = 19;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const INVALID_DN: u32 = 34;
    pub(crate) const INAPPROPRIATE_AUTH: u32 = 48;
    pub(crate) const INVALID_CREDENTIALS: u32 = 49;
    pub(crate) const INSUFFICIENT_ACCESS: u32 = 50;
    pub(crate) const BUSY: u32 = 51;
    pub(crate) const UNAVAILABLE: u32 = 52;
    pub(crate) const UNWILLING: u32 = 53;
}

/// A step that failed.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Which.
    pub(crate) step: TestStepKind,
    /// What the caller gets.
    pub(crate) error: ProviderError,
    /// What an administrator who tests reads: what is wrong, and what to do.
    pub(crate) message: String,
    /// The server's own words.
    pub(crate) detail: Option<String>,
}

impl Trouble {
    /// One whose error says it all.
    pub(crate) fn new(step: TestStepKind, error: ProviderError, detail: Option<String>) -> Self {
        Self { step, message: error.to_string(), error, detail }
    }

    /// Wrong login or password; which of them only the administrator who tests is told.
    pub(crate) fn wrong_credentials(
        step: TestStepKind,
        message: impl Into<String>,
        detail: Option<String>,
    ) -> Self {
        Self { step, error: ProviderError::WrongCredentials, message: message.into(), detail }
    }

    /// The directory refuses the account.
    pub(crate) fn refused(step: TestStepKind, refusal: Refusal, detail: Option<String>) -> Self {
        Self {
            step,
            error: ProviderError::Refused(refusal),
            message: format!("The directory refuses this account: {refusal}."),
            detail,
        }
    }

    /// Notes it as the last step, and gives what the caller gets.
    pub(crate) fn noted(self, steps: &mut Steps) -> ProviderError {
        steps.failed(self.step, self.message, self.detail);
        self.error
    }
}

impl From<Trouble> for ProviderError {
    fn from(trouble: Trouble) -> Self {
        trouble.error
    }
}

/// A server's words, without what would upset a terminal, and not too many of them. Active
/// Directory's end with a NUL.
pub(crate) fn words(text: &str) -> Option<String> {
    let clean: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(LONGEST_DETAIL)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// What a result says, by its code and the server's own text.
pub(crate) fn result_words(result: &LdapResult) -> Option<String> {
    words(&result.to_string())
}

/// A server cannot be reached.
pub(crate) fn unreachable(server: &str, error: &std::io::Error) -> Trouble {
    let what = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            "refuses the connection: check the port, and that the directory runs"
        }
        std::io::ErrorKind::TimedOut => {
            "does not answer in time: check its name, and the firewalls on the way"
        }
        _ => "cannot be reached: check its name and port",
    };
    Trouble::new(
        TestStepKind::Connection,
        ProviderError::Unavailable(format!("{server} {what}.")),
        words(&error.to_string()),
    )
}

/// The handshake failed.
pub(crate) fn no_tls(server: &str, error: &LdapError) -> Trouble {
    let detail = words(&error.to_string());
    let step = TestStepKind::Tls;
    let wrong = |why: &str| {
        let error = ProviderError::Misconfigured(format!("{server}: {why}"));
        Trouble::new(step, error, detail.clone())
    };
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(certificate)) => {
            wrong(certificate_advice(certificate))
        }
        Some(_) => wrong(
            "TLS fails. Check that this port speaks it in this way: 636 with LDAPS, 389 with \
             StartTLS.",
        ),
        None => match error {
            LdapError::LdapResult { result } => Trouble::new(
                step,
                ProviderError::Misconfigured(format!(
                    "{server} refuses StartTLS. Choose LDAPS, or switch TLS on at the server."
                )),
                result_words(result),
            ),
            _ => Trouble::new(
                step,
                ProviderError::Unavailable(format!(
                    "{server} ends the connection before TLS is there. Check that this port \
                     speaks it in this way: 636 with LDAPS, 389 with StartTLS."
                )),
                detail.clone(),
            ),
        },
    }
}

/// rustls's own error, which an I/O error wraps.
fn tls_error(error: &LdapError) -> Option<&rustls::Error> {
    match error {
        LdapError::Rustls { source } => Some(source),
        LdapError::Io { source } => {
            let inner = source.get_ref()?;
            inner.downcast_ref().or_else(|| inner.source()?.downcast_ref())
        }
        _ => None,
    }
}

fn certificate_advice(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not from an authority that is trusted here: it is self-signed, \
             or from your company's own CA. Enter the PEM certificate of the CA that signed it."
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired. Renew it on the directory server."
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet. Check the clocks of both machines."
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name. Enter the server by the name that stands in \
             its certificate."
        }
        CertificateError::Revoked => {
            "its certificate has been revoked. Renew it on the directory server."
        }
        _ if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is self-signed and an authority's at once, which is not accepted for \
             a server. Give the server a certificate that the CA has signed."
        }
        _ => "its certificate is not accepted.",
    }
}

/// The connection broke, or the answer took too long.
pub(crate) fn lost(step: TestStepKind, server: &str, error: &LdapError) -> Trouble {
    let message = match error {
        LdapError::Timeout { .. } => format!(
            "{server} does not answer in time. Check its load, or allow more seconds for a search."
        ),
        _ => format!("{server} has ended the connection."),
    };
    Trouble::new(step, ProviderError::Unavailable(message), words(&error.to_string()))
}

/// The service account cannot sign in.
pub(crate) fn service_refused(server: &str, account: &str, result: &LdapResult) -> Trouble {
    let message = match result.rc {
        code::INVALID_CREDENTIALS => format!(
            "{server} does not accept the service account {account}: check its name and password."
        ),
        code::NO_SUCH_OBJECT | code::INVALID_DN => {
            format!("{server} does not know the service account {account}: check its DN.")
        }
        code::STRONGER_AUTH | code::CONFIDENTIALITY => {
            format!("{server} takes passwords only through TLS: choose LDAPS or StartTLS.")
        }
        code::BUSY | code::UNAVAILABLE => format!("{server} is busy or shutting down."),
        _ => format!("{server} refuses the service account {account}."),
    };
    let error = match result.rc {
        code::BUSY | code::UNAVAILABLE => ProviderError::Unavailable(message),
        _ => ProviderError::Misconfigured(message),
    };
    Trouble::new(TestStepKind::Bind, error, result_words(result))
}

/// The search base is not there.
pub(crate) fn no_base(step: TestStepKind, base: &str) -> Trouble {
    let error = ProviderError::Misconfigured(format!(
        "The directory has no entry {base}, or the service account may not see it: check the \
         search base."
    ));
    Trouble::new(step, error, Some("noSuchObject (32)".into()))
}

/// A search that the server refused.
pub(crate) fn search_refused(
    step: TestStepKind,
    server: &str,
    base: &str,
    result: &LdapResult,
) -> Trouble {
    let error = match result.rc {
        code::INVALID_DN => {
            ProviderError::Misconfigured(format!("{server} takes {base} for no DN."))
        }
        code::REFERRAL => ProviderError::Misconfigured(format!(
            "{server} refers to another server for {base}. Drover does not follow referrals: enter \
             that server, or on Active Directory use the global catalog."
        )),
        code::INSUFFICIENT_ACCESS | code::OPERATIONS_ERROR => ProviderError::Misconfigured(
            format!("{server} does not let the service account search {base}."),
        ),
        code::SIZE_LIMIT | code::ADMIN_LIMIT => ProviderError::Misconfigured(format!(
            "{server} does not give all that it finds under {base}: raise its size limit for the \
             service account."
        )),
        code::CONFIDENTIALITY | code::STRONGER_AUTH => ProviderError::Misconfigured(format!(
            "{server} answers only through TLS: choose LDAPS or StartTLS."
        )),
        code::TIME_LIMIT | code::BUSY | code::UNAVAILABLE => {
            ProviderError::Unavailable(format!("{server} is too busy to search {base}."))
        }
        _ => ProviderError::Protocol(format!("{server} refuses to search {base}.")),
    };
    Trouble::new(step, error, result_words(result))
}

/// How a directory that is not Active Directory says why it refuses somebody's bind.
pub(crate) fn bind_refused(server: &str, result: &LdapResult) -> Trouble {
    let step = TestStepKind::UserBind;
    let detail = result_words(result);
    let text = result.text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match result.rc {
        // 389 Directory Server: "password expired!", "Account inactivated. Contact system
        // administrator.", "Exceed password retry limit. …".
        code::INVALID_CREDENTIALS if has(&["password expired", "password has expired"]) => {
            Trouble::refused(step, Refusal::PasswordExpired, detail)
        }
        code::CONSTRAINT if has(&["retry limit", "locked"]) => {
            Trouble::refused(step, Refusal::Locked, detail)
        }
        code::UNWILLING if has(&["inactivated", "disabled", "locked"]) => {
            Trouble::refused(step, Refusal::Disabled, detail)
        }
        code::INVALID_CREDENTIALS | code::INAPPROPRIATE_AUTH | code::NO_SUCH_OBJECT => {
            Trouble::wrong_credentials(step, "The directory does not accept the password.", detail)
        }
        code::STRONGER_AUTH | code::CONFIDENTIALITY => {
            let message =
                format!("{server} takes passwords only through TLS: choose LDAPS or StartTLS.");
            Trouble::new(step, ProviderError::Misconfigured(message), detail)
        }
        code::BUSY | code::UNAVAILABLE => {
            let message = format!("{server} is busy or shutting down.");
            Trouble::new(step, ProviderError::Unavailable(message), detail)
        }
        _ => {
            let message = format!("{server} refuses the sign-in for a reason of its own.");
            Trouble::new(step, ProviderError::Protocol(message), detail)
        }
    }
}
