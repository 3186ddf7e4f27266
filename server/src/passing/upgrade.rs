//! Joins two connections that have switched to another protocol.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::Revoked;

/// What is read at once of a raw stream.
pub const CHUNK: usize = 64 << 10;

/// Carries bytes both ways until both sides have ended, each for itself, or the right has.
pub async fn join(client: OnUpgrade, mut server: TokioIo<Upgraded>, revoked: Revoked) {
    let mut client = match client.await {
        Ok(client) => TokioIo::new(client),
        Err(error) => {
            tracing::debug!(%error, "a client did not go on after its switch");
            return;
        }
    };
    let carried = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, CHUNK, CHUNK);
    tokio::select! {
        ended = carried => if let Err(error) = ended {
            tracing::debug!(%error, "a raw stream broke");
        },
        () = revoked => {}
    }
}
