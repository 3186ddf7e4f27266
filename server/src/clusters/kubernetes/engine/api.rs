//! The calls of a cluster's API that stacks need.

use drover_kubernetes::{
    client::{self, Cluster, Failure, FailureKind, Identity, Impersonation, full},
    discovery::ResourceType,
};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

/// Who applies.
const MANAGER: &str = "drover";
/// The largest answer that is read, bytes.
const LARGEST: usize = 32 << 20;
/// Only names, labels and annotations.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const METADATA_OF_ONE: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// A cluster, as a stack's own user.
pub(super) struct Api<'a> {
    pub cluster: &'a Cluster,
    pub user: &'a Impersonation,
}

/// What of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Metadata,
}

impl Api<'_> {
    fn identity(&self) -> Identity<'_> {
        Identity::User(self.user)
    }

    /// The objects of a type in a namespace with this label selector; all where it is empty.
    pub async fn list(
        &self,
        of: &ResourceType,
        namespace: Option<&str>,
        selector: &str,
        part: Part,
    ) -> client::Result<Vec<Value>> {
        let mut path = of.list_path(namespace);
        if !selector.is_empty() {
            let query = serde_urlencoded::to_string([("labelSelector", selector)]);
            path = format!("{path}?{}", query.unwrap_or_default());
        }
        let accept = match part {
            Part::Whole => "application/json",
            Part::Metadata => METADATA,
        };
        let bytes = self.cluster.get(&path, accept, self.identity(), LARGEST).await?;
        let mut list: Value = parse(&bytes)?;
        let Value::Array(mut items) = list["items"].take() else { return Ok(Vec::new()) };
        // Of lists, the items do not say what they are.
        for item in &mut items {
            item["kind"] = of.kind.as_str().into();
            item["apiVersion"] = of.api_version().into();
        }
        Ok(items)
    }

    /// Name, labels and annotations of an object, if it is there.
    pub async fn metadata(
        &self,
        of: &ResourceType,
        namespace: Option<&str>,
        name: &str,
    ) -> client::Result<Option<Value>> {
        let path = of.object_path(namespace, name);
        match self.cluster.get(&path, METADATA_OF_ONE, self.identity(), LARGEST).await {
            Ok(bytes) => parse(&bytes).map(Some),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Server-side apply. `force`: fields that others own are taken.
    pub async fn apply(
        &self,
        of: &ResourceType,
        namespace: Option<&str>,
        object: &Value,
        force: bool,
    ) -> client::Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!(
            "{}?fieldManager={MANAGER}&force={force}&fieldValidation=Strict",
            of.object_path(namespace, name)
        );
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object).await
    }

    /// Deletes this object and no other of its name; true when it was there.
    pub async fn delete(
        &self,
        of: &ResourceType,
        namespace: Option<&str>,
        name: &str,
        uid: &str,
    ) -> client::Result<bool> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": { "uid": uid },
        });
        let path = of.object_path(namespace, name);
        match self.send(Method::DELETE, &path, "application/json", &options).await {
            Ok(()) => Ok(true),
            // Gone, or another one by now.
            Err(failure) if failure.is_not_found() || failure.kind() == FailureKind::Conflict => {
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The last line that a container wrote, also before it was started again.
    pub async fn last_line(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        for previous in [true, false] {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines=1&previous={previous}"
            );
            let read = self.cluster.get(&path, "*/*", self.identity(), 64 << 10).await;
            let Ok(bytes) = read else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let line: String = text.lines().last()?.trim().chars().take(200).collect();
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> client::Result<()> {
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, "application/json")
            .body(full(bytes))
            .map_err(|_| Failure::new(FailureKind::BadRequest, format!("`{path}` is no path.")))?;
        let answer = self.cluster.request(request, self.identity()).await?;
        // Read to its end, so that the connection can be used again.
        let _ = Limited::new(answer.into_body(), LARGEST).collect().await;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> client::Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(FailureKind::Cluster, format!("The cluster's answer is no JSON: {error}."))
    })
}
