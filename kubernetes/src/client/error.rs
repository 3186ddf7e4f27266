//! What can go wrong with a cluster, in kinds that callers handle and sentences for people.

use std::{error::Error as StdError, fmt, io, time::Duration};

use kube::core::Status;
use rustls::{AlertDescription, CertificateError};
use serde::Serialize;

use super::dial::RefusedAddress;

/// The result of a call to a cluster.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A call to a cluster that failed. Shown, it is one sentence (or a few) that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    kind: FailureKind,
    message: String,
    status: u16,
    reason: String,
    causes: Vec<Cause>,
    retry_after: Option<Duration>,
}

/// What kind of failure; [`FailureKind::code`] is its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection, it broke, or no answer came in time.
    Away,
    /// The address is one that Drover does not connect to unless an administrator allows it.
    AddressRefused,
    /// The credentials are not (or no longer) taken.
    Unauthorized,
    /// The TLS handshake failed: another CA, expired, another name, or the client was refused.
    Certificate,
    /// The cluster's access rules say no.
    Forbidden,
    /// There is no such object, or no such resource type.
    NotFound,
    /// The object was changed meanwhile, exists already, or others own fields of it.
    Conflict,
    /// The revision or the continue token is too old (410): list again.
    Expired,
    /// The cluster asks for a pause (429), or a disruption budget forbids an eviction.
    TooManyRequests,
    /// The object is not valid; see the causes.
    Invalid,
    /// An admission webhook or policy of the cluster refused it.
    Webhook,
    /// The request or the answer is larger than what is taken.
    TooLarge,
    /// The request itself is wrong.
    BadRequest,
    /// The cluster failed at it.
    Cluster,
}

impl FailureKind {
    /// The stable code, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Away => "cluster_unreachable",
            Self::AddressRefused => "address_refused",
            Self::Unauthorized => "cluster_unauthorized",
            Self::Certificate => "tls_failed",
            Self::Forbidden => "forbidden_by_cluster",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::TooManyRequests => "too_many_requests",
            Self::Invalid => "invalid_object",
            Self::Webhook => "refused_by_webhook",
            Self::TooLarge => "too_large",
            Self::BadRequest => "refused_by_cluster",
            Self::Cluster => "cluster_error",
        }
    }
}

/// One of the reasons that the cluster gives: a field and what is wrong with it, or who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The field, e.g. `spec.template.spec.containers[0].image`; may be empty.
    pub field: String,
    /// A word for programs, e.g. `FieldValueInvalid` or `FieldManagerConflict`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Failure {}

impl Failure {
    /// A failure with a sentence for people.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            status: 0,
            reason: String::new(),
            causes: Vec::new(),
            retry_after: None,
        }))
    }

    /// The cluster cannot be reached, and why.
    pub fn away(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Away, message)
    }

    /// What kind of failure.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status of the cluster's answer; 0 when none came.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Kubernetes' word for it, e.g. `AlreadyExists`; empty when none came.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What the cluster says of single fields: of conflicts who owns them, of invalid objects what
    /// is wrong with them.
    pub fn causes(&self) -> &[Cause] {
        &self.0.causes
    }

    /// How long the cluster asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same, with the pause that a `Retry-After` header asks for.
    pub fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after = pause.or(self.0.retry_after);
        self
    }

    /// True when the same call may well work a little later, with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, FailureKind::Away | FailureKind::TooManyRequests)
            || self.0.kind == FailureKind::Cluster && matches!(self.0.status, 500 | 502 | 503 | 504)
    }

    /// True when there is no such object or resource type.
    pub fn is_not_found(&self) -> bool {
        self.0.kind == FailureKind::NotFound
    }

    /// Of an answer with an error status: its body is mostly a `Status`, but proxies on the way
    /// answer what they like.
    pub fn from_answer(code: u16, body: &[u8]) -> Self {
        if let Ok(status) = serde_json::from_slice::<Status>(body)
            && (!status.message.is_empty() || !status.reason.is_empty())
        {
            return Self::from_status(code, &status);
        }
        let text: String = String::from_utf8_lossy(body).trim().chars().take(300).collect();
        // Pages of proxies are of no use to anybody.
        let text = if text.starts_with('<') { String::new() } else { text };
        Self::from_status(code, &Status { code, message: text, ..Status::default() })
    }

    /// Of a `Status` object.
    pub fn from_status(code: u16, status: &Status) -> Self {
        let code = if status.code == 0 { code } else { status.code };
        let kind = classify(code, status);
        let causes: Vec<Cause> = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| Cause {
                field: cause.field.clone(),
                reason: cause.reason.clone(),
                message: cause.message.clone(),
            })
            .collect();
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        Self(Box::new(Details {
            kind,
            message: words(kind, code, status),
            status: code,
            reason: status.reason.clone(),
            causes,
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        }))
    }

    /// Looks through the sources of an error for what went wrong at the bottom.
    pub fn from_chain(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                return failure.clone();
            }
            if let Some(refused) = refused_address(error) {
                return Self::new(FailureKind::AddressRefused, refused.to_string());
            }
            if let Some(tls) = tls_error(error) {
                return Self::from_tls(tls);
            }
            next = error.source();
        }
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_incomplete_message() {
                    return Self::away(
                        "The cluster closed the connection in the middle of an answer; it may be restarting.",
                    );
                }
                if hyper.is_parse() {
                    return Self::away(
                        "What answers there does not speak HTTP as a Kubernetes API does. Check the address and the port.",
                    );
                }
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return Self::from_io(io);
            }
            next = error.source();
        }
        Self::away(format!("The connection to the cluster failed: {}.", root_cause(error)))
    }

    fn from_io(error: &io::Error) -> Self {
        let message = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "Nothing listens at the cluster's address. Is its API server running?".to_owned()
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                "There is no route to the cluster's address.".to_owned()
            }
            io::ErrorKind::TimedOut => {
                let text = error.to_string();
                if text.ends_with('.') {
                    text
                } else {
                    "The cluster did not answer in time. Check the address and the firewall."
                        .to_owned()
                }
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => {
                "The cluster closed the connection; it may be restarting.".to_owned()
            }
            _ => {
                // Dialers tell their errors as sentences.
                let text = error.to_string();
                if text.ends_with('.') {
                    text
                } else {
                    format!("The connection to the cluster failed: {text}.")
                }
            }
        };
        Self::away(message)
    }

    fn from_tls(error: &rustls::Error) -> Self {
        let message = match error {
            rustls::Error::InvalidCertificate(why) => match why {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "The cluster's certificate was not issued by the given CA. If the cluster's certificate was changed, import its new CA.".to_owned()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "The cluster's certificate has expired. Renew it on the control plane.".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "The cluster's certificate is not valid yet. Compare the clocks of the cluster and of this server.".to_owned()
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    "The cluster's certificate is for another name. Use a name that stands in it, or set `tls-server-name` in the kubeconfig.".to_owned()
                }
                other => format!("The cluster's certificate is not accepted: {other}."),
            },
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateExpired
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => {
                    "The cluster does not accept the client certificate. It may have expired; import a new kubeconfig.".to_owned()
                }
                other => format!("The cluster ended the TLS handshake: {other:?}."),
            },
            rustls::Error::InvalidMessage(_) => {
                "What listens there does not speak TLS. Check the port, or use an http:// address.".to_owned()
            }
            other => format!("The TLS handshake with the cluster failed: {other}."),
        };
        Self::new(FailureKind::Certificate, message)
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(status.code, &status),
            kube::Error::SerdeError(error) => unreadable(&error),
            kube::Error::Service(error) => match error.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(error) => Self::from_chain(error.as_ref()),
            },
            kube::Error::UpgradeConnection(error) => Self::new(
                FailureKind::Cluster,
                format!("The cluster did not take the WebSocket: {error}."),
            ),
            other => Self::from_chain(&other),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::from_chain(&error)
    }
}

/// An answer that is not what it should be. The text of it stays out of the message: it may hold
/// secrets.
pub(crate) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(
        FailureKind::Cluster,
        format!(
            "The cluster's answer could not be read (line {}, column {}). Something between here and the cluster may have changed it.",
            error.line(),
            error.column()
        ),
    )
}

fn classify(code: u16, status: &Status) -> FailureKind {
    let message = &status.message;
    // How the API server names the webhook or policy that said no, whatever code they chose.
    if message.contains("admission webhook") && message.contains("denied the request")
        || message.starts_with("ValidatingAdmissionPolicy ")
    {
        return FailureKind::Webhook;
    }
    // An apply with a field that the kind does not have is answered by 500, without a reason.
    if message.contains("field not declared in schema") {
        return FailureKind::Invalid;
    }
    // What etcd does not take is answered in the same way.
    if message.contains("etcdserver: request is too large") {
        return FailureKind::TooLarge;
    }
    match (status.reason.as_str(), code) {
        ("Expired" | "Gone", _) => FailureKind::Expired,
        ("Conflict" | "AlreadyExists", _) => FailureKind::Conflict,
        ("Invalid", _) => FailureKind::Invalid,
        ("RequestEntityTooLarge", _) => FailureKind::TooLarge,
        ("Timeout" | "ServerTimeout", 504) => FailureKind::Away,
        (_, 401) => FailureKind::Unauthorized,
        (_, 403) => FailureKind::Forbidden,
        (_, 404) => FailureKind::NotFound,
        (_, 409) => FailureKind::Conflict,
        (_, 410) => FailureKind::Expired,
        (_, 413) => FailureKind::TooLarge,
        (_, 422) => FailureKind::Invalid,
        (_, 429) => FailureKind::TooManyRequests,
        (_, 502..=504) => FailureKind::Away,
        (_, 400 | 405 | 406 | 415) => FailureKind::BadRequest,
        _ => FailureKind::Cluster,
    }
}

fn words(kind: FailureKind, code: u16, status: &Status) -> String {
    let said = sentence(&status.message);
    let with =
        |hint: &str| if said.is_empty() { hint.to_owned() } else { format!("{said} {hint}") };
    match kind {
        FailureKind::Unauthorized => {
            "The cluster does not take the credentials. A token may have expired or been taken back: give the cluster a new kubeconfig or token.".to_owned()
        }
        FailureKind::Away if said.is_empty() => {
            format!("The cluster's API server does not answer (status {code}); it may be starting.")
        }
        FailureKind::Forbidden => with("Ask an owner of the environment for the right."),
        FailureKind::Conflict if status.reason == "AlreadyExists" => {
            with("Choose another name, or edit the one that is there.")
        }
        FailureKind::Conflict if has_managers(status) => {
            with("Leave these fields out, or take them over with force.")
        }
        FailureKind::Conflict => with("Read it again and repeat the change."),
        FailureKind::Expired => with("Read the list anew."),
        FailureKind::TooManyRequests if said.contains("disruption budget") => {
            with("Wait until more pods are ready, or change the budget.")
        }
        FailureKind::TooManyRequests => with("The cluster asks to slow down; try again in a moment."),
        FailureKind::TooLarge => {
            with("Kubernetes takes objects of about 1.5 MiB; make it smaller, e.g. by splitting it.")
        }
        FailureKind::NotFound if said.is_empty() || said.contains("could not find the requested resource") => {
            "The cluster does not have this, or not any more.".to_owned()
        }
        _ if said.is_empty() => format!("The cluster answered with status {code}."),
        _ => said,
    }
}

fn has_managers(status: &Status) -> bool {
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == "FieldManagerConflict")
}

/// Makes a sentence of the cluster's message.
fn sentence(message: &str) -> String {
    let message = message.trim();
    let mut chars = message.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    // Names of objects and fields are written small; words at the beginning are not.
    let word = message.split(' ').next().unwrap_or_default();
    let mut text: String = if word.chars().all(|c| c.is_ascii_lowercase()) {
        first.to_uppercase().chain(chars).collect()
    } else {
        message.to_owned()
    };
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn refused_address<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a RefusedAddress> {
    error
        .downcast_ref::<RefusedAddress>()
        .or_else(|| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<RefusedAddress>())
}

/// What went wrong with TLS, where an error is that, or has it inside.
pub fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>())
}

/// What the last of an error's sources says.
pub fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(code: u16, body: serde_json::Value) -> Failure {
        Failure::from_answer(code, body.to_string().as_bytes())
    }

    fn status(code: u16, reason: &str, message: &str) -> Failure {
        answer(
            code,
            json!({"kind": "Status", "code": code, "reason": reason, "message": message, "status": "Failure"}),
        )
    }

    #[test]
    fn answers_get_their_kinds() {
        use FailureKind::*;
        for (code, reason, message, kind) in [
            (401, "Unauthorized", "Unauthorized", Unauthorized),
            (403, "Forbidden", "pods is forbidden: User \"x\" cannot list", Forbidden),
            (404, "NotFound", "pods \"x\" not found", NotFound),
            (409, "AlreadyExists", "configmaps \"x\" already exists", Conflict),
            (410, "Expired", "too old resource version: 1 (2)", Expired),
            (413, "RequestEntityTooLarge", "limit is 3145728", TooLarge),
            (422, "Invalid", "Pod \"x\" is invalid", Invalid),
            (429, "TooManyRequests", "Too many requests, please try again later.", TooManyRequests),
            (503, "ServiceUnavailable", "the server is currently unable", Away),
            (500, "InternalError", "boom", Cluster),
            (500, "", "etcdserver: request is too large", TooLarge),
            (400, "BadRequest", "admission webhook \"a.b\" denied the request: no", Webhook),
        ] {
            assert_eq!(status(code, reason, message).kind(), kind, "{code} {reason}");
        }
    }

    #[test]
    fn conflicts_name_the_owners_of_fields() {
        let failure = answer(
            409,
            json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
                "details": {"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".spec.replicas"}]}}),
        );
        assert_eq!(failure.causes()[0].field, ".spec.replicas");
        assert!(failure.message().contains("take them over"), "{failure}");
    }

    #[test]
    fn a_pause_is_told() {
        let failure = answer(
            429,
            json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "slow", "details": {"retryAfterSeconds": 7}}),
        );
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(7)));
        assert!(failure.is_transient());
    }

    #[test]
    fn answers_of_proxies_are_no_sentences() {
        let failure = Failure::from_answer(502, b"<html><body>Bad gateway</body></html>");
        assert_eq!(failure.kind(), FailureKind::Away);
        assert!(failure.message().contains("502"), "{failure}");
        assert!(!failure.message().contains('<'));
    }

    #[test]
    fn tls_failures_are_found_inside_io_errors() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let failure = Failure::from_chain(&io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(failure.kind(), FailureKind::Certificate);
        assert!(failure.message().contains("new CA"), "{failure}");
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from_chain(&broken).kind(), FailureKind::Away);
    }

    #[test]
    fn sentences_keep_the_names_of_objects() {
        assert_eq!(sentence("pods \"x\" not found"), "Pods \"x\" not found.");
        assert_eq!(
            sentence("deployments.apps \"x\" not found"),
            "deployments.apps \"x\" not found."
        );
        assert_eq!(sentence(""), "");
    }
}
