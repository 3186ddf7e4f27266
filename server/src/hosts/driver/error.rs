//! What can go wrong with an engine, in stable codes and in sentences for people.

use std::{error::Error as StdError, io, time::Duration};

use drover_kubernetes::client::error::{root_cause, tls_error};
use rustls::{AlertDescription, CertificateError};

/// The result of a call to an engine.
pub type Result<T, E = DockerError> = std::result::Result<T, E>;

/// An error of a host's engine, or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DockerError {
    kind: ErrorKind,
    message: String,
}

/// What kind of error; [`ErrorKind::code`] is its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection, or it broke.
    HostUnreachable,
    /// The TLS handshake failed: wrong CA, expired, another name, or the client was refused.
    TlsFailed,
    /// It did not answer in time.
    Timeout,
    /// The image is not on the host, or its registry does not have it.
    ImageNotFound,
    /// The registry wants (other) credentials.
    RegistryDenied,
    /// The host cannot reach the registry.
    RegistryUnreachable,
    /// A published port is in use on the host.
    PortTaken,
    /// The host's disk is full.
    DiskFull,
    /// The container's command does not exist in its image, or cannot be run.
    CommandNotFound,
    /// The thing is in use, or its name is taken.
    Conflict,
    /// The engine knows no such thing.
    NotFound,
    /// The engine refuses the request as wrong.
    Refused,
    /// The engine is in no swarm.
    NotInSwarm,
    /// The engine is in a swarm already.
    InSwarm,
    /// The engine is a worker of its swarm, and only managers answer this.
    NotManager,
    /// The engine is a manager that must be unlocked first.
    SwarmLocked,
    /// Too few of the swarm's managers are there to decide anything.
    NoQuorum,
    /// Anything else that the engine says.
    EngineError,
}

impl ErrorKind {
    /// The stable code, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::HostUnreachable => "host_unreachable",
            Self::TlsFailed => "tls_failed",
            Self::Timeout => "timeout",
            Self::ImageNotFound => "image_not_found",
            Self::RegistryDenied => "registry_denied",
            Self::RegistryUnreachable => "registry_unreachable",
            Self::PortTaken => "port_taken",
            Self::DiskFull => "disk_full",
            Self::CommandNotFound => "command_not_found",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Refused => "refused_by_engine",
            Self::NotInSwarm => "not_in_swarm",
            Self::InSwarm => "in_swarm",
            Self::NotManager => "not_a_manager",
            Self::SwarmLocked => "swarm_locked",
            Self::NoQuorum => "swarm_no_quorum",
            Self::EngineError => "engine_error",
        }
    }
}

impl DockerError {
    /// An error with a sentence for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// True when the same call may well work a little later, with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::HostUnreachable
                | ErrorKind::Timeout
                | ErrorKind::RegistryUnreachable
                | ErrorKind::NotManager
                | ErrorKind::SwarmLocked
                | ErrorKind::NoQuorum
        ) || self.misses_network()
    }

    /// True when a container's network across hosts is not there, or is not known yet on this
    /// engine, which may have joined a moment ago, or whose managers are busy.
    pub fn misses_network(&self) -> bool {
        let not_found = self.message.contains("Could not attach to network")
            && self.message.contains("NotFound");
        not_found || self.message.contains("Attaching to network failed")
    }

    /// True when the engine knows no such thing.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// True when a write named a version of a swarm's object that is not the newest any more: read
    /// it again and repeat the change.
    pub fn is_out_of_sequence(&self) -> bool {
        self.message.to_ascii_lowercase().contains("update out of sequence")
    }

    /// The engine did not answer within `limit`.
    pub(super) fn timeout(limit: Duration) -> Self {
        Self::new(
            ErrorKind::Timeout,
            format!("The engine did not answer within {} seconds.", limit.as_secs()),
        )
    }

    /// What the engine answered with an HTTP status that is no success.
    pub fn from_answer(status: u16, message: &str) -> Self {
        let message = message.trim();
        let kind = classify(status, message);
        let text = match kind {
            ErrorKind::PortTaken => match taken_port(message) {
                Some(port) => format!("Port {port} is already in use on the host."),
                None => format!("A published port is already in use on the host: {message}"),
            },
            ErrorKind::DiskFull => format!("The host's disk is full: {message}"),
            ErrorKind::ImageNotFound => format!("The image was not found: {message}"),
            ErrorKind::RegistryDenied => format!(
                "The registry refused: {message}. Check the image's name, and the credentials stored for its registry."
            ),
            ErrorKind::RegistryUnreachable => {
                format!("The host cannot reach the registry: {message}")
            }
            ErrorKind::NoQuorum => "The swarm has no leader: too few of its managers are there. Bring back enough of them, or make a new swarm of one that is left.".into(),
            _ if message.is_empty() => format!("The engine answered with status {status}."),
            _ => sentence(message),
        };
        Self::new(kind, text)
    }

    /// Finds in an error's chain what happened to the connection.
    pub(super) fn from_chain(error: &(dyn StdError + 'static)) -> Self {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(error) = error.downcast_ref::<DockerError>() {
                return error.clone();
            }
            if let Some(tls) = tls_error(error) {
                return Self::from_tls(tls);
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                // An io::Error's source skips the error that it wraps.
                if let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<DockerError>()) {
                    return inner.clone();
                }
            }
            link = error.source();
        }
        Self::new(
            ErrorKind::HostUnreachable,
            format!("The connection to the engine broke: {}.", root_cause(error)),
        )
    }

    /// Says which part of the TLS handshake failed, and what to do.
    pub(super) fn from_tls(error: &rustls::Error) -> Self {
        use rustls::Error::*;
        let message = match error {
            InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "The engine's certificate was not signed by the given CA. Give the CA that signed it.".into()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "The engine's certificate has expired. Renew it on the host.".into()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "The engine's certificate is not valid yet. Check the clocks of host and server.".into()
                }
                CertificateError::NotValidForName => {
                    "The engine's certificate is for another name. Use an address that it names.".into()
                }
                CertificateError::NotValidForNameContext { presented, .. } => format!(
                    "The engine's certificate is for another name ({}). Use one of these in the address.",
                    presented.join(", ")
                ),
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => {
                    "The engine's certificate is not meant for servers (its extended key usage lacks serverAuth).".into()
                }
                other => format!("The engine's certificate is not valid: {other}."),
            },
            AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError => {
                    "The engine refused the client certificate. Give one that the engine's own CA (its --tlscacert) has signed, for client use.".into()
                }
                AlertDescription::CertificateExpired => {
                    "The engine refused the client certificate: it has expired.".into()
                }
                AlertDescription::CertificateRevoked => {
                    "The engine refused the client certificate: it has been revoked.".into()
                }
                other => format!("The engine ended the TLS handshake: {other:?}."),
            },
            InvalidMessage(_) => {
                "What listens there does not speak TLS. Docker's TLS port is usually 2376.".into()
            }
            other => format!("The TLS handshake failed: {other}."),
        };
        Self::new(ErrorKind::TlsFailed, message)
    }
}

impl From<bollard::errors::Error> for DockerError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error::*;
        match error {
            DockerResponseServerError { status_code, message } => {
                Self::from_answer(status_code, &message)
            }
            DockerStreamError { error } => Self::from_answer(500, &error),
            DockerContainerWaitError { error, .. } => Self::from_answer(500, &error),
            RequestTimeoutError => {
                Self::new(ErrorKind::Timeout, "The engine did not answer in time.")
            }
            JsonDataError { message, .. } => Self::new(
                ErrorKind::EngineError,
                format!("The engine's answer could not be read: {message}."),
            ),
            JsonSerdeError { err } => Self::new(
                ErrorKind::EngineError,
                format!("The engine's answer could not be read: {err}."),
            ),
            IOError { err } => Self::from_chain(&err),
            HyperResponseError { err } => Self::from_chain(&err),
            HyperLegacyError { err } => Self::from_chain(&err),
            other => Self::new(ErrorKind::EngineError, sentence(&other.to_string())),
        }
    }
}

/// Engines answer most failures with status 500 and a text, so the text decides. The texts are
/// those of Docker Engine 20.10 to 29 and of the registries' v2 protocol.
fn classify(status: u16, message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if has(&["port is already allocated", "address already in use"]) {
        ErrorKind::PortTaken
    } else if has(&["no space left on device", "disk quota exceeded"]) {
        ErrorKind::DiskFull
    } else if has(&["no such image", "manifest unknown", "name unknown", "not found: manifest"]) {
        ErrorKind::ImageNotFound
    } else if has(&[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "requested access to the resource is denied",
        "incorrect username or password",
    ]) {
        ErrorKind::RegistryDenied
    } else if text.contains("http")
        && has(&[
            "dial tcp",
            "client.timeout",
            "i/o timeout",
            "tls handshake timeout",
            "server gave http response to https client",
            "x509:",
            "no such host",
            "connection refused",
        ])
    {
        ErrorKind::RegistryUnreachable
    } else if has(&[
        "executable file not found",
        "exec format error",
        "exec: permission denied",
        "no such file or directory: unknown",
    ]) {
        ErrorKind::CommandNotFound
    } else if has(&[
        "does not have a leader",
        "too few managers are online",
        // How a manager says that no leader has answered it. (SwarmKit's raft proxy.)
        "code = deadlineexceeded",
    ]) {
        ErrorKind::NoQuorum
    } else if has(&["is not part of a swarm"]) {
        ErrorKind::NotInSwarm
    } else if has(&["is already part of a swarm"]) {
        ErrorKind::InSwarm
    } else if has(&["is not a swarm manager"]) {
        ErrorKind::NotManager
    } else if has(&["needs to be unlocked before"]) {
        ErrorKind::SwarmLocked
    } else {
        match status {
            400 => ErrorKind::Refused,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            // Removing a network that has containers in it, or one of the engine's own.
            403 => ErrorKind::Conflict,
            // Older engines answer 500 for these.
            _ if has(&["is already in use", "volume is in use", "has active endpoints"]) => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::EngineError,
        }
    }
}

/// The port in "Bind for 0.0.0.0:8080 failed" or "listen tcp4 0.0.0.0:8080: bind".
fn taken_port(message: &str) -> Option<u16> {
    let at = message.find("Bind for ").or_else(|| message.find("listen "))?;
    message[at..]
        .split([' ', ','])
        .find_map(|word| word.trim_end_matches(':').rsplit_once(':')?.1.parse().ok())
}

/// Makes a sentence of the engine's message.
fn sentence(message: &str) -> String {
    let message = message.trim();
    let mut chars = message.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut text: String = first.to_uppercase().chain(chars).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str) -> ErrorKind {
        DockerError::from_answer(status, message).kind()
    }

    #[test]
    fn engine_messages_get_their_codes() {
        assert_eq!(
            kind(
                500,
                "driver failed programming external connectivity on endpoint web (f00): Bind for 0.0.0.0:8080 failed: port is already allocated"
            ),
            ErrorKind::PortTaken
        );
        assert_eq!(
            kind(
                500,
                "driver failed programming external connectivity on endpoint web (f00): Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use"
            ),
            ErrorKind::PortTaken
        );
        assert_eq!(kind(404, "No such image: nope:latest"), ErrorKind::ImageNotFound);
        assert_eq!(
            kind(
                404,
                "manifest for localhost:5000/a:1 not found: manifest unknown: manifest unknown"
            ),
            ErrorKind::ImageNotFound
        );
        assert_eq!(
            kind(
                404,
                "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
            ),
            ErrorKind::RegistryDenied
        );
        assert_eq!(
            kind(
                500,
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host"
            ),
            ErrorKind::RegistryUnreachable
        );
        assert_eq!(
            kind(500, "write /var/lib/docker/tmp/x: no space left on device"),
            ErrorKind::DiskFull
        );
        assert_eq!(
            kind(
                409,
                "Conflict. The container name \"/web\" is already in use by container \"abc\"."
            ),
            ErrorKind::Conflict
        );
        assert_eq!(kind(409, "remove data: volume is in use - [abc]"), ErrorKind::Conflict);
        assert_eq!(
            kind(403, "error while removing network: network a id b has active endpoints"),
            ErrorKind::Conflict
        );
        assert_eq!(kind(404, "No such container: abc"), ErrorKind::NotFound);
        assert_eq!(
            kind(
                400,
                "OCI runtime create failed: exec: \"foo\": executable file not found in $PATH: unknown"
            ),
            ErrorKind::CommandNotFound
        );
        assert_eq!(
            kind(
                503,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
            ),
            ErrorKind::NotManager
        );
        assert_eq!(
            kind(
                500,
                "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online."
            ),
            ErrorKind::NoQuorum
        );
        assert!(
            DockerError::from_answer(
                500,
                "rpc error: code = Unknown desc = update out of sequence"
            )
            .is_out_of_sequence()
        );
        assert_eq!(kind(500, "something else"), ErrorKind::EngineError);
    }

    #[test]
    fn a_taken_port_is_named() {
        for message in [
            "Bind for 0.0.0.0:8080 failed: port is already allocated",
            "Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
        ] {
            assert_eq!(
                DockerError::from_answer(500, message).message(),
                "Port 8080 is already in use on the host."
            );
        }
    }

    #[test]
    fn tls_failures_say_which() {
        let message = |error| DockerError::from_tls(&error).message().to_owned();
        let certificate = rustls::Error::InvalidCertificate;
        assert!(message(certificate(CertificateError::UnknownIssuer)).contains("given CA"));
        assert!(message(certificate(CertificateError::Expired)).contains("expired"));
        assert!(message(certificate(CertificateError::NotValidForName)).contains("another name"));
        let refused = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert!(message(refused).contains("client certificate"));
    }

    #[test]
    fn tls_failures_are_found_inside_io_errors() {
        let tls = rustls::Error::AlertReceived(AlertDescription::BadCertificate);
        let io = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert_eq!(DockerError::from_chain(&io).kind(), ErrorKind::TlsFailed);
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(DockerError::from_chain(&broken).kind(), ErrorKind::HostUnreachable);
    }
}
