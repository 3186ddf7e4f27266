//! A host's row, and the rules for what a person may write into it.

use drover_api::{
    CreateHost, Endpoint, FieldError, HostFacts, HostMode, TlsCredentials, UpdateHost,
};
use indexmap::IndexMap;
use time::OffsetDateTime;
use uuid::Uuid;

use super::driver::{Dialer, DockerError, ErrorKind};
use crate::agents::AgentRow;

const MOST_LABELS: usize = 64;
/// The longest PEM text that is taken.
const LONGEST_PEM: usize = 64 << 10;
/// The longest path that a Unix socket can have.
const LONGEST_SOCKET: usize = 107;

const BY_AGENT: &str =
    "A host with an agent adds itself: make a registration token and start the agent with it.";

/// A row of the table `hosts`.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRow {
    /// The host's id.
    pub id: Uuid,
    /// The environment that it belongs to.
    pub environment_id: Uuid,
    /// Unique in its environment.
    pub name: String,
    /// For placement and people.
    pub labels: IndexMap<String, String>,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// Encrypted [`TlsCredentials`].
    pub tls: Option<Vec<u8>>,
    /// What is wanted of it.
    pub mode: HostMode,
    /// What its engine said at the last contact.
    pub facts: Option<HostFacts>,
    /// When that was.
    pub last_contact_at: Option<OffsetDateTime>,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// Grows with each change by a person.
    pub version: i64,
    /// The agent on it, for hosts that have one; as it was when the row was read.
    pub agent: Option<AgentRow>,
}

/// Checks a new host; `None` for `name` when only the connection is to be tested.
pub fn check_create(input: &CreateHost, with_name: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if with_name {
        check_name(&input.name, &mut errors);
    }
    check_labels(&input.labels, &mut errors);
    check_endpoint(&input.endpoint, &mut errors);
    match (&input.endpoint, &input.tls) {
        (Endpoint::Tcp { .. }, None) => {
            errors.push(FieldError::new("tls", "Give the CA, the client certificate and its key."));
        }
        (Endpoint::Socket { .. }, Some(_)) => {
            errors.push(FieldError::new("tls", "A socket takes no TLS credentials."));
        }
        (Endpoint::Tcp { .. }, Some(tls)) => check_tls(&input.endpoint, tls, &mut errors),
        (Endpoint::Agent, _) => errors.push(FieldError::new("endpoint", BY_AGENT)),
        (Endpoint::Socket { .. }, None) => {}
    }
    errors
}

/// Checks a change of a host, which had TLS credentials before or not.
pub fn check_update(input: &UpdateHost, row: &HostRow) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = &input.name {
        check_name(name, &mut errors);
    }
    if let Some(labels) = &input.labels {
        check_labels(labels, &mut errors);
    }
    let endpoint = input.endpoint.as_ref().unwrap_or(&row.endpoint);
    check_endpoint(endpoint, &mut errors);
    match (endpoint, &input.tls) {
        (Endpoint::Agent, _) if row.endpoint != Endpoint::Agent => {
            errors.push(FieldError::new("endpoint", BY_AGENT));
        }
        (Endpoint::Socket { .. } | Endpoint::Tcp { .. }, _) if row.endpoint == Endpoint::Agent => {
            let why =
                "This host is reached through its agent. Remove it, and add it in another way.";
            errors.push(FieldError::new("endpoint", why));
        }
        (Endpoint::Socket { .. } | Endpoint::Agent, Some(_)) => {
            errors.push(FieldError::new("tls", "Only a TCP address takes TLS credentials."));
        }
        (Endpoint::Tcp { .. }, Some(tls)) => check_tls(endpoint, tls, &mut errors),
        (Endpoint::Tcp { .. }, None) if row.tls.is_none() => {
            errors.push(FieldError::new("tls", "Give the CA, the client certificate and its key."));
        }
        _ => {}
    }
    errors
}

fn check_name(name: &str, errors: &mut Vec<FieldError>) {
    let length = name.chars().count();
    if !(1..=64).contains(&length) || name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "A name has 1 to 64 characters."));
    }
}

/// Checks the labels of a host.
pub(crate) fn check_labels(labels: &IndexMap<String, String>, errors: &mut Vec<FieldError>) {
    if labels.len() > MOST_LABELS {
        errors.push(FieldError::new("labels", format!("At most {MOST_LABELS} labels.")));
    }
    for (key, value) in labels {
        let fits = (1..=63).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
        if !fits {
            errors.push(FieldError::new(
                format!("labels.{key}"),
                "A label's key has 1 to 63 letters, digits, `.`, `_`, `-` and `/`.",
            ));
        }
        if value.len() > 255 || value.chars().any(char::is_control) {
            errors.push(FieldError::new(
                format!("labels.{key}"),
                "A label's value has at most 255 characters, on one line.",
            ));
        }
    }
}

fn check_endpoint(endpoint: &Endpoint, errors: &mut Vec<FieldError>) {
    if let Endpoint::Socket { path } = endpoint {
        let fits = path.starts_with('/') && path.len() <= LONGEST_SOCKET && !path.contains('\0');
        if !fits {
            errors.push(FieldError::new(
                "endpoint.path",
                "The absolute path of a socket, e.g. /var/run/docker.sock.",
            ));
        }
    }
}

/// Tries what a connection would try first, so that what is wrong is named with its field.
fn check_tls(endpoint: &Endpoint, tls: &TlsCredentials, errors: &mut Vec<FieldError>) {
    for (field, pem) in
        [("tls.ca", &tls.ca), ("tls.certificate", &tls.certificate), ("tls.key", &tls.key)]
    {
        if pem.len() > LONGEST_PEM {
            errors.push(FieldError::new(field, "More than 64 KiB."));
            return;
        }
    }
    if let Err(error) = Dialer::new(endpoint, Some(tls)) {
        errors.push(FieldError::new(wrong_field(&error), error.message()));
    }
}

fn wrong_field(error: &DockerError) -> &'static str {
    match error.kind() {
        ErrorKind::Refused => "endpoint.address",
        _ if error.message().starts_with("The CA") => "tls.ca",
        _ if error.message().starts_with("The client key") => "tls.key",
        _ => "tls.certificate",
    }
}

/// The name in the database.
pub fn mode_name(mode: HostMode) -> &'static str {
    match mode {
        HostMode::Active => "active",
        HostMode::Inactive => "inactive",
        HostMode::Draining => "draining",
    }
}

/// The inverse of [`mode_name`].
pub fn parse_mode(name: &str) -> Option<HostMode> {
    match name {
        "active" => Some(HostMode::Active),
        "inactive" => Some(HostMode::Inactive),
        "draining" => Some(HostMode::Draining),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let mut host = CreateHost {
            name: String::new(),
            labels: IndexMap::from([("a b".to_owned(), "x".to_owned())]),
            endpoint: Endpoint::Socket { path: "docker.sock".into() },
            tls: None,
        };
        assert_eq!(fields(check_create(&host, true)), ["name", "labels.a b", "endpoint.path"]);
        host.name = "one".into();
        host.labels.clear();
        host.endpoint = Endpoint::Tcp { address: "nowhere".into() };
        assert_eq!(fields(check_create(&host, true)), ["tls"]);
        host.tls = Some(TlsCredentials {
            ca: String::new(),
            certificate: String::new(),
            key: String::new(),
        });
        assert_eq!(fields(check_create(&host, true)), ["endpoint.address"]);
        host.endpoint = Endpoint::Tcp { address: "10.0.0.1:2376".into() };
        assert_eq!(fields(check_create(&host, true)), ["tls.ca"]);
    }
}
