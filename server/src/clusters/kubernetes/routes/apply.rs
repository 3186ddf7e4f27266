//! Server-side apply of YAML with one or many documents.

use axum::body::Body;
use drover_api::{
    Applied, AppliedObject, Apply, ApplyOutcome, FieldConflict, FieldError, editable,
};
use drover_kubernetes::{
    client::{Answer, Failure, FailureKind, Identity, Impersonation, content},
    discovery::ResourceType,
    manifest::{self, Document},
    objects::{diff, is_path_segment},
};
use http::Method;
use serde_json::Value;

use super::{baseline, target::Target};
use crate::{
    error::{Error, Result},
    extract::{Json, read_body},
};

/// The most documents of a text.
const MOST_DOCUMENTS: usize = 500;
/// The largest body: a text of 3 MiB, escaped as JSON.
const LARGEST_BODY: usize = 8 << 20;
/// What fields that Drover writes are owned by.
pub(super) const MANAGER: &str = "drover";

/// Apply YAML
///
/// Each document by server-side apply with the field manager `drover`, as the user; `dry_run` only
/// says what would change. Unknown fields are refused. Each document has its own outcome, and those
/// before one that was refused stay applied.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/kubernetes/apply", tag = "kubernetes",
    request_body(content = Apply, example = json!({ "yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  text: hello\n", "dry_run": true })),
    params(("environment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Applied)))]
pub(super) async fn apply(target: Target, body: Body) -> Result<Json<Applied>> {
    let bytes = read_body(body, LARGEST_BODY).await?;
    let input: Apply = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(http::StatusCode::BAD_REQUEST, "malformed_json", error.to_string())
    })?;
    let documents = read(&input.yaml)?;
    if let Some(namespace) = &input.namespace {
        target.check_namespace(namespace).map_err(|_| {
            Error::invalid_field("namespace", "The environment has no such namespace.")
        })?;
    }
    target.note.detail("dry_run", input.dry_run);
    target.note.detail("force", input.force);
    let names: Vec<String> = documents.iter().take(20).map(|one| named(&one.object)).collect();
    target.note.target(documents.len(), &names.join(", "));
    let applying = Applying { target: &target, input: &input, user: target.user()? };
    target.cluster()?;
    let mut items: Vec<AppliedObject> = Vec::new();
    let mut away: Option<Failure> = None;
    for document in &documents {
        let outcome = match &away {
            // One that cannot be reached is not waited for five hundred times.
            Some(failure) => Err(failure.clone()),
            None => applying.one(document).await,
        };
        items.push(match outcome {
            Ok(done) => done,
            Err(failure) => {
                if failure.kind() == FailureKind::Away && failure.status() == 0 {
                    away = Some(failure.clone());
                }
                refused(&applying, document, &failure)
            }
        });
    }
    Ok(Json(Applied { items }))
}

fn read(yaml: &str) -> Result<Vec<Document>> {
    if yaml.len() > manifest::LARGEST {
        return Err(Error::invalid_field("yaml", "At most 3 MiB."));
    }
    let documents = manifest::parse(yaml).map_err(|wrong| {
        let message = format!("Line {}: {}", wrong.line, wrong.message);
        Error::invalid(vec![FieldError::new("yaml", message)])
    })?;
    if documents.len() > MOST_DOCUMENTS {
        return Err(Error::invalid_field("yaml", "At most 500 documents."));
    }
    Ok(documents)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn named(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"))
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::BadRequest, message)
}

/// What was refused, and why.
fn refused(applying: &Applying<'_>, document: &Document, failure: &Failure) -> AppliedObject {
    let conflicts: Vec<FieldConflict> = failure
        .causes()
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| FieldConflict {
            field: cause.field.clone(),
            manager: manager(&cause.message).to_owned(),
        })
        .collect();
    let object = &document.object;
    let discovery = applying.target.live.index.discovery();
    let kind = discovery.and_then(|known| {
        known.of_kind(text(object, "/apiVersion"), text(object, "/kind")).cloned()
    });
    let own = || Some(text(object, "/metadata/namespace").to_owned()).filter(|n| !n.is_empty());
    let namespace = kind.as_ref().and_then(|kind| applying.namespace(kind, object).ok());
    AppliedObject {
        line: document.line,
        type_id: kind.map(|kind| kind.name.to_string()),
        namespace: namespace.unwrap_or_else(own),
        name: text(object, "/metadata/name").to_owned(),
        outcome: match conflicts.is_empty() {
            true => ApplyOutcome::Refused,
            false => ApplyOutcome::Conflict,
        },
        diff: None,
        conflicts,
        error: Some(words(failure)),
        warnings: Vec::new(),
    }
}

/// The sentence of a failure, with the fields that it is about where the sentence does not say.
fn words(failure: &Failure) -> String {
    let mut words = failure.message().to_owned();
    for cause in failure.causes().iter().filter(|cause| cause.reason != "FieldManagerConflict") {
        if !cause.field.is_empty() && !words.contains(&cause.field) {
            words.push_str(&format!(" {}: {}.", cause.field, cause.message));
        }
    }
    words
}

/// Who owns a field: `conflict with "kubectl" using apps/v1`.
fn manager(message: &str) -> &str {
    message.split('"').nth(1).unwrap_or(message)
}

struct Applying<'a> {
    target: &'a Target,
    input: &'a Apply,
    user: Impersonation,
}

impl Applying<'_> {
    async fn one(&self, document: &Document) -> Result<AppliedObject, Failure> {
        let object = &document.object;
        let kind = self.kind(object).await?;
        let namespace = self.namespace(&kind, object)?;
        let mut object = object.clone();
        if let Some(namespace) = &namespace {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        // Nobody applies what a controller says.
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        baseline::check(self.target, &kind, &object)?;
        let name = text(&object, "/metadata/name").to_owned();
        let (before, answer) = if name.is_empty() {
            (None, self.create(&kind, namespace.as_deref(), &object).await?)
        } else {
            if !is_path_segment(&name) {
                return Err(bad(format!("`{name}` is not a name that an object can have.")));
            }
            self.apply(&kind, namespace.as_deref(), &name, &object).await?
        };
        let (old, new) = (before.as_ref().map(editable), editable(&answer.value));
        let diff = diff(old.as_ref(), Some(&new));
        Ok(AppliedObject {
            line: document.line,
            type_id: Some(kind.name.to_string()),
            namespace,
            name: text(&answer.value, "/metadata/name").to_owned(),
            outcome: match (&before, &diff) {
                (None, _) => ApplyOutcome::Created,
                (Some(_), Some(_)) => ApplyOutcome::Changed,
                (Some(_), None) => ApplyOutcome::Unchanged,
            },
            diff,
            conflicts: Vec::new(),
            error: None,
            warnings: answer.warnings,
        })
    }

    /// The type of an object, in the version that it is written in.
    async fn kind(&self, object: &Value) -> Result<ResourceType, Failure> {
        let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let index = &self.target.live.index;
        let find = || index.discovery().and_then(|known| known.of_kind(version, kind).cloned());
        let mut found = find();
        if found.is_none() {
            // A document before this one may have defined it.
            index.rediscover().await;
            found = find();
        }
        let mut found = ResourceType::clone(&*found.ok_or_else(|| {
            let why = format!(
                "The cluster has no kind {kind} of {version}. Install what defines it, or see `kubectl api-resources`."
            );
            Failure::new(FailureKind::NotFound, why)
        })?);
        found.version = version.rsplit('/').next().unwrap_or(version).to_owned();
        Ok(found)
    }

    fn namespace(&self, kind: &ResourceType, object: &Value) -> Result<Option<String>, Failure> {
        if !kind.namespaced {
            return Ok(None);
        }
        let share = &self.target.share;
        let own = Some(text(object, "/metadata/namespace")).filter(|name| !name.is_empty());
        let only = || match share.namespaces.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        };
        let namespace = own.or(self.input.namespace.as_deref()).or_else(only).ok_or_else(|| {
            bad("Say in which namespace: in `metadata.namespace`, or by choosing one for all.")
        })?;
        if self.target.check_namespace(namespace).is_err() {
            let why = format!("The namespace {namespace} does not belong to this environment.");
            return Err(Failure::new(FailureKind::Forbidden, why));
        }
        Ok(Some(namespace.to_owned()))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Answer, Failure> {
        self.target.live.cluster.call(method, path, body, Identity::User(&self.user)).await
    }

    fn options(&self) -> String {
        let dry_run = if self.input.dry_run { "&dryRun=All" } else { "" };
        format!("fieldManager={MANAGER}&fieldValidation=Strict{dry_run}")
    }

    async fn apply(
        &self,
        kind: &ResourceType,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
    ) -> Result<(Option<Value>, Answer), Failure> {
        let path = kind.object_path(namespace, name);
        let before = match self.call(Method::GET, &path, None).await {
            Ok(answer) => Some(answer.value),
            Err(failure) if failure.is_not_found() => None,
            Err(failure) => return Err(failure),
        };
        let force = self.input.force;
        if baseline::concerns(self.target, kind) && !self.input.dry_run {
            // What it would be together with what others have written.
            let path = format!("{path}?{}&force={force}&dryRun=All", self.options());
            let would = self.call(Method::PATCH, &path, Some((content::APPLY, object))).await?;
            baseline::check(self.target, kind, &would.value)?;
        }
        let path = format!("{path}?{}&force={force}", self.options());
        let answer = self.call(Method::PATCH, &path, Some((content::APPLY, object))).await?;
        Ok((before, answer))
    }

    /// An object whose name the cluster makes up.
    async fn create(
        &self,
        kind: &ResourceType,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Answer, Failure> {
        let path = format!("{}?{}", kind.list_path(namespace), self.options());
        self.call(Method::POST, &path, Some((content::JSON, object))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_name_who_owns_the_field() {
        assert_eq!(manager("conflict with \"kubectl-edit\" using apps/v1"), "kubectl-edit");
        assert_eq!(manager("odd"), "odd");
    }

    #[test]
    fn texts_that_are_too_large_or_no_objects_are_refused() {
        assert!(read(&" ".repeat(manifest::LARGEST + 1)).is_err());
        assert!(read("kind: Pod\n").is_err());
        let many = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n".repeat(501);
        assert!(read(&many).is_err());
        assert_eq!(
            read("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n").map(|all| all.len()).ok(),
            Some(1)
        );
    }
}
