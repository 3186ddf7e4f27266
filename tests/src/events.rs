//! Reads `GET /v1/events`, as a browser's EventSource does.

use std::time::Duration;

use drover_api::Event;
use futures_util::StreamExt;
use reqwest::Method;

use crate::Client;

/// An open stream.
pub struct Events {
    response: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
}

/// One message of the stream.
#[derive(Debug, Clone)]
pub struct Message {
    /// What to resume after.
    pub id: String,
    /// `hello`, `change` or `reset`.
    pub event: String,
    /// JSON, for a change.
    pub data: String,
}

impl Message {
    /// What has changed.
    pub fn change(&self) -> Event {
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Events {
    /// Opens it, optionally after the message with this id.
    pub async fn open(client: &Client, after: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, "/v1/events");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.timeout(Duration::from_secs(300)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self { response: response.bytes_stream().boxed(), buffer: String::new() }
    }

    /// The next message; none at the stream's end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let message = parse(block);
                self.buffer = rest.to_owned();
                if let Some(message) = message {
                    return Some(message);
                }
            }
            let more = tokio::time::timeout(Duration::from_secs(30), self.response.next()).await;
            let chunk = more.expect("no event within half a minute")?.ok()?;
            self.buffer += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The next message that is `wanted`.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.next().await.expect("the stream has ended");
            if wanted(&message) {
                return message;
            }
        }
    }
}

fn parse(block: &str) -> Option<Message> {
    let field = |name: &str| {
        block.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.strip_prefix(' ').unwrap_or(value).to_owned())
        })
    };
    // Comments keep the connection alive. Browsers drop events without data.
    let data = field("data").filter(|data| !data.is_empty())?;
    Some(Message { event: field("event")?, id: field("id")?, data })
}
