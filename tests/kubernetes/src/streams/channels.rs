//! What a command's stream is, whichever way it comes: input, output, size, and the end.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What goes to the caller.
#[derive(Debug)]
pub enum Output {
    /// From the command's output.
    Stdout(Bytes),
    /// From its error output.
    Stderr(Bytes),
    /// How it ended: the last that is said.
    Status(Value),
}

/// The two directions of a command's stream.
#[derive(Debug)]
pub struct Channels {
    /// What the caller types; ends when they close it.
    pub stdin: mpsc::Receiver<Bytes>,
    /// What they see.
    pub output: mpsc::Sender<Output>,
}

/// How a command that ended is told.
pub fn status(code: Option<i32>) -> Value {
    match code {
        Some(0) => json!({"metadata": {}, "status": "Success"}),
        code => {
            let code = code.unwrap_or(137);
            json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            })
        }
    }
}

/// How a command that could not begin is told.
pub fn failure(message: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
}
