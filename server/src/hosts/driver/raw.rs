//! Requests that are not Drover's own: those of Docker's command line, sent on as they are.

use std::{future::Future, io};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyStream, Either, StreamBody};
use hyper::{Request, Response, body::Incoming};
use serde::Deserialize;

use super::{Body, Docker, DockerError, PLAIN, Result, checked, read_json, within};

/// A request's body.
pub type RawBody = Body;

/// A body that is there as a whole.
pub fn full(bytes: Bytes) -> RawBody {
    bollard::body_full(bytes)
}

/// A body that comes bit by bit, with its trailers. It is asked for no faster than the engine takes
/// it.
pub fn streamed<B>(body: B) -> RawBody
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Either::Right(StreamBody::new(Box::pin(BodyStream::new(body).map_err(io::Error::other))))
}

impl Docker {
    /// Sends a request on and answers whatever the engine does, errors too. Its address is the
    /// engine's path and query. There is no time limit: the answer to a wait comes when it comes.
    /// Ending the future, or the answer's body, ends the request.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub fn forward(
        &self,
        request: Request<RawBody>,
    ) -> impl Future<Output = Result<Response<Incoming>>> + Send + use<> {
        let answer = self.http.request(request);
        async move { answer.await.map_err(|error| DockerError::from_chain(&error)) }
    }

    /// The container of an exec, and whether the command is privileged.
    pub async fn exec_container(&self, id: &str) -> Result<(String, bool)> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "ContainerID")]
            container: String,
            #[serde(rename = "ProcessConfig", default)]
            process: Option<Process>,
        }
        #[derive(Deserialize)]
        struct Process {
            #[serde(default)]
            privileged: bool,
        }
        let path = format!("/exec/{}/json", checked(id)?);
        let found: Found = within(PLAIN, async { read_json(self.get(&path).await?).await }).await?;
        Ok((found.container, found.process.is_some_and(|process| process.privileged)))
    }

    /// Whether it is a manager of a swarm that can be asked now.
    pub async fn is_manager(&self) -> Result<bool> {
        let info = within(PLAIN, async { Ok(self.typed.info().await?) }).await?;
        Ok(info.swarm.and_then(|swarm| swarm.control_available).unwrap_or_default())
    }

    /// What a service was before its last change, as the engine tells it.
    pub async fn previous_service(&self, id: &str) -> Result<Option<serde_json::Value>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Found {
            #[serde(default)]
            previous_spec: Option<serde_json::Value>,
        }
        let path = format!("/services/{}", checked(id)?);
        let found: Found = within(PLAIN, async { read_json(self.get(&path).await?).await }).await?;
        Ok(found.previous_spec)
    }
}
