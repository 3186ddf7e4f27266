//! `drover agent status`: how the agent on this machine stands, in words.

use std::{os::unix::net::UnixStream, path::Path};

use time::OffsetDateTime;

use super::state::{Connection, Identity, Status};

/// How it stands.
pub struct Report {
    /// For people, line by line.
    pub lines: Vec<String>,
    /// It is connected, and Docker answers.
    pub ok: bool,
}

/// Looks.
pub fn look(folder: &Path) -> Report {
    let identity = match Identity::load(folder) {
        Ok(Some(identity)) => identity,
        Ok(None) => {
            return bad(format!(
                "Not registered: there is no agent in {}. Run the command that Drover shows under Hosts, Add host.",
                folder.display()
            ));
        }
        Err(error) => return bad(format!("What the agent keeps cannot be read: {error}.")),
    };
    let mut lines =
        vec![format!("Host {} in {} of {}", identity.name, identity.environment, identity.server)];
    let status = match Status::load(folder) {
        Ok(Some(status)) => status,
        Ok(None) => {
            lines.push("Not running: it has not been started yet.".into());
            return Report { lines, ok: false };
        }
        Err(error) => {
            lines.push(format!("How it stands cannot be read: {error}."));
            return Report { lines, ok: false };
        }
    };
    if !status.is_running() {
        lines.push("Not running. Start it: systemctl start drover-agent".into());
        if let Connection::Away { why } | Connection::Refused { why } = &status.connection {
            lines.push(format!("When it last ran: {why}"));
        }
        return Report { lines, ok: false };
    }
    lines.push(format!("Agent {} runs as process {}.", status.version, status.pid));
    let since = ago(status.since);
    let mut ok = false;
    lines.push(match &status.connection {
        Connection::Connected => {
            ok = true;
            format!("Connected to {} for {since}.", status.server)
        }
        Connection::Connecting => format!("Connecting to {} for {since}.", status.server),
        Connection::Away { why } => format!("Not connected for {since}: {why} It tries again."),
        Connection::Refused { why } => format!("Refused by the server for {since}: {why}"),
        Connection::Stopped => "Stopped.".into(),
    });
    if let Some(socket) = &status.docker_socket {
        match UnixStream::connect(socket) {
            Ok(_) => lines.push(format!("Docker answers at {}.", socket.display())),
            Err(error) => {
                ok = false;
                lines.push(format!("Docker does not answer at {}: {error}.", socket.display()));
            }
        }
    }
    Report { lines, ok }
}

fn bad(line: String) -> Report {
    Report { lines: vec![line], ok: false }
}

/// A span in its largest whole unit. A clock that was set back shows as no time at all.
fn ago(since: OffsetDateTime) -> String {
    let seconds = (OffsetDateTime::now_utc() - since).whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
