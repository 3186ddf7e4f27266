//! Bodies of requests: sizes, forms, and what stands in them.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Request, body::Incoming, header::CONTENT_TYPE};
use serde_json::Value;

use crate::{
    handlers::Context,
    resources::{ResourceType, split_api_version},
    schema,
    status::{ApiError, Result},
};

/// The most that a request may send.
const MOST: usize = 3 * 1024 * 1024;

const FORMS: &str =
    "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/cbor";

/// A request's body.
pub struct Read {
    /// What it is said to be, without parameters.
    pub content_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl Read {
    /// Reads it to its end.
    ///
    /// # Errors
    /// When it is too large, or ends too early.
    pub async fn of(request: Request<Incoming>) -> Result<Self> {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned())
            .unwrap_or_default();
        let body = Limited::new(request.into_body(), MOST).collect().await;
        let bytes = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => ApiError::too_large(format!("Request entity too large: limit is {MOST}")),
            None => ApiError::bad_request(error.to_string()),
        })?;
        Ok(Self { content_type, bytes: bytes.to_bytes() })
    }

    /// The object in it, in whichever form it has.
    ///
    /// # Errors
    /// When the form is not known, or it is not in that form.
    pub fn value(&self) -> Result<Value> {
        match self.content_type.as_str() {
            "" | "application/json" => serde_json::from_slice(&self.bytes).map_err(|error| {
                ApiError::bad_request(format!(
                    "couldn't get version/kind; json parse error: {error}"
                ))
            }),
            "application/yaml" => serde_norway::from_slice(&self.bytes)
                .map_err(|error| ApiError::bad_request(format!("yaml: {error}"))),
            _ => Err(ApiError::unsupported_media_type(FORMS)),
        }
    }
}

/// What to do with fields that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Leave them out.
    Ignore,
    /// Leave them out, and say so.
    Warn,
    /// Refuse.
    Strict,
}

impl FieldValidation {
    /// As the query says.
    ///
    /// # Errors
    /// When it says something else.
    pub fn of(context: &Context) -> Result<Self> {
        match context.info.query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => {
                let about = crate::status::About {
                    group: "meta.k8s.io",
                    resource: if context.info.verb == "create" {
                        "CreateOptions"
                    } else if context.info.verb == "patch" {
                        "PatchOptions"
                    } else {
                        "UpdateOptions"
                    },
                    name: "",
                };
                let cause = crate::status::Cause::not_supported(
                    "fieldValidation",
                    &Value::from(other),
                    &["Ignore", "Strict", "Warn"],
                );
                Err(ApiError::invalid(about, &[cause]))
            }
        }
    }
}

/// Whether nothing is to be kept.
///
/// # Errors
/// When the query asks for another dry run than of all.
pub fn dry_run(context: &Context) -> Result<bool> {
    let mut all = context.info.query.all("dryRun").filter(|value| !value.is_empty()).peekable();
    if all.peek().is_none() {
        return Ok(false);
    }
    match all.find(|value| *value != "All") {
        None => Ok(true),
        Some(other) => {
            let about =
                crate::status::About { group: "meta.k8s.io", resource: "CreateOptions", name: "" };
            let cause =
                crate::status::Cause::not_supported("dryRun", &Value::from(other), &["All"]);
            Err(ApiError::invalid(about, &[cause]))
        }
    }
}

/// An object that was read by its schema.
pub struct Decoded {
    /// The object, with apiVersion and kind.
    pub object: Value,
    /// What to warn of.
    pub warnings: Vec<String>,
}

/// Reads an object of a resource as Kubernetes' decoder does.
///
/// # Errors
/// When it is of another kind, has values of other types, or (if so asked) unknown fields.
pub fn decode(
    resource: &ResourceType,
    mut object: Value,
    validation: FieldValidation,
) -> Result<Decoded> {
    let wanted = resource.api_version();
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::bad_request(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            match object {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                _ => "value",
            }
        )));
    };
    // What the address says stands for what is left out.
    if fields.get("apiVersion").is_none_or(|v| v.is_null() || v == "") {
        fields.insert("apiVersion".to_owned(), Value::from(wanted.clone()));
    }
    if fields.get("kind").is_none_or(|v| v.is_null() || v == "") {
        fields.insert("kind".to_owned(), Value::from(resource.kind.clone()));
    }
    let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if version != wanted {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        )));
    }
    if kind != resource.kind {
        let (_, version) = split_api_version(&version);
        let message = if resource.is_custom() {
            format!("kind {kind} does not match the expected kind {}", resource.kind)
        } else {
            format!(
                "{kind} in version \"{version}\" cannot be handled as a {}: no kind \"{kind}\" is registered for version \"{wanted}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
                resource.kind
            )
        };
        return Err(ApiError::bad_request(message));
    }
    read_fields(resource, object, validation)
}

fn read_fields(
    resource: &ResourceType,
    mut object: Value,
    validation: FieldValidation,
) -> Result<Decoded> {
    if !resource.is_custom()
        && let Some(why) = schema::type_error(&resource.schema, &object)
    {
        return Err(cannot_handle(resource, &why));
    }
    if let Some(why) = metadata_type_error(resource, &object) {
        return Err(cannot_handle(resource, &why));
    }
    let pruned = schema::prune(&resource.schema, &mut object, resource.is_custom());
    let said: Vec<_> =
        pruned.unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
    if said.is_empty() || validation == FieldValidation::Ignore {
        return Ok(Decoded { object, warnings: Vec::new() });
    }
    if validation == FieldValidation::Strict {
        let why = format!("strict decoding error: {}", said.join(", "));
        return Err(cannot_handle(resource, &why));
    }
    Ok(Decoded { object, warnings: said })
}

fn metadata_type_error(resource: &ResourceType, object: &Value) -> Option<String> {
    if !resource.is_custom() {
        return None;
    }
    let metadata = resource.schema.field("metadata")?;
    schema::type_error(&metadata, &object["metadata"])
}

fn cannot_handle(resource: &ResourceType, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {why}",
        resource.kind, resource.version, resource.kind
    ))
}
