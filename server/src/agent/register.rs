//! Becomes a host, once.

use std::{io, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{Problem, RegisterAgent, RegisteredAgent};
use secrecy::ExposeSecret;

use super::{
    Options, hostname,
    state::{Identity, NewKey},
};
use crate::agents::{handshake, version::VERSION};

/// How long the server may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// Who the agent is; registers it when it is nobody yet.
pub(super) async fn ensure(options: &Options) -> io::Result<Identity> {
    if let Some(file) = &options.identity_file {
        return Identity::read(file);
    }
    if let Some(known) = Identity::load(&options.state_dir)? {
        return Ok(known);
    }
    let missing = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "this machine is not registered yet: {what} (Drover shows the whole command under Hosts, Add host)"
            ),
        )
    };
    let server = options.server.as_deref().ok_or_else(|| missing("give --server"))?;
    let server = server.trim_end_matches('/');
    let token = options.token.as_ref().ok_or_else(|| missing("give --token"))?;
    let new = NewKey::ensure(&options.state_dir)?;
    let key = new.key()?;
    let token = token.expose_secret();
    let input = RegisterAgent {
        token: token.to_owned(),
        public_key: STANDARD.encode(handshake::public(&key)),
        name: options.name.clone().unwrap_or_else(hostname),
        version: VERSION.into(),
        labels: options.labels.iter().cloned().collect(),
        signature: handshake::sign(&key, &handshake::to_be_signed_once(token)),
    };
    let registered = post(options, server, &input).await?;
    let identity = Identity::new(server, registered, &new);
    identity.save(&options.state_dir)?;
    Ok(identity)
}

async fn post(
    options: &Options,
    server: &str,
    input: &RegisterAgent,
) -> io::Result<RegisteredAgent> {
    let body = serde_json::to_vec(input)?;
    let (status, answer) =
        options.dialer(server)?.request("POST", "/v1/agents/register", &body, LIMIT).await?;
    if status == 200 {
        return Ok(serde_json::from_slice(&answer)?);
    }
    let why = match serde_json::from_slice::<Problem>(&answer) {
        Ok(problem) => problem.detail,
        Err(_) => format!("{server} answered {status}: is that the address of a Drover server?"),
    };
    Err(io::Error::other(why))
}
