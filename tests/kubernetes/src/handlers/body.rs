//! Bodies of requests: sizes, forms, and what stands in them.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Request, body::Incoming, header::CONTENT_TYPE};
use serde_json::Value;

use crate::{
    handlers::{Context, protobuf, twice::Twice},
    resources::{BUILT_IN, ResourceType, split_api_version},
    schema,
    status::{ApiError, Result},
};

/// The most that a request may send.
const MOST: usize = 3 * 1024 * 1024;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const FORMS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

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
                self.unrecognized(&format!("couldn't get version/kind; json parse error: {error}"))
            }),
            "application/yaml" => serde_norway::from_slice(&self.bytes)
                .map_err(|error| self.unrecognized(&format!("yaml: {error}"))),
            PROTOBUF => protobuf::value(&self.bytes),
            _ => Err(ApiError::unsupported_media_type(FORMS)),
        }
    }

    fn unrecognized(&self, why: &str) -> ApiError {
        ApiError::bad_request(format!("the object provided is unrecognized: {why}"))
    }

    /// The fields that stand twice in it.
    pub fn twice(&self) -> Twice {
        match self.content_type.as_str() {
            PROTOBUF => Twice::default(),
            other if other.ends_with("yaml") => Twice::in_yaml(&self.bytes),
            _ => Twice::in_json(&self.bytes),
        }
    }
}

/// What to do with fields that are not known, or stand twice.
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
                    &["", "Ignore", "Strict", "Warn"],
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
                crate::status::Cause::not_supported("dryRun", &Value::from(vec![other]), &["All"]);
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
/// When it is of another kind, has values of other types, or (if so asked) fields that are not
/// known or stand twice.
pub fn decode(
    resource: &ResourceType,
    mut object: Value,
    twice: &Twice,
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
    if version != wanted || kind != resource.kind {
        return Err(another_kind(resource, &version, &kind));
    }
    read_fields(resource, object, twice, validation)
}

fn another_kind(resource: &ResourceType, version: &str, kind: &str) -> ApiError {
    let wanted = &resource.kind;
    if resource.is_custom() {
        let expected = resource.api_version();
        return ApiError::bad_request(if version == expected {
            format!("kind {kind} does not match the expected kind {wanted}")
        } else {
            format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )
        });
    }
    let known = BUILT_IN.resources.iter().any(|r| r.api_version() == version && r.kind == kind);
    let (_, short) = split_api_version(version);
    let why = if known {
        let group = resource.group.split('.').next().unwrap_or_default();
        let group = if group.is_empty() { "core" } else { group };
        format!("converting ({short}.{kind}) to ({group}.{wanted}): unknown conversion")
    } else {
        format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    ApiError::bad_request(format!(
        "{kind} in version \"{short}\" cannot be handled as a {wanted}: {why}"
    ))
}

fn read_fields(
    resource: &ResourceType,
    mut object: Value,
    twice: &Twice,
    validation: FieldValidation,
) -> Result<Decoded> {
    if !resource.is_custom()
        && let Some(why) = schema::type_error(&resource.schema, &object)
    {
        return Err(cannot_handle(resource, &why));
    }
    if let Some(why) = bad_base64(resource, &object) {
        return Err(cannot_handle(resource, &why));
    }
    if let Some(why) = metadata_type_error(resource, &object) {
        return Err(cannot_handle(resource, &why));
    }
    let pruned = schema::prune(&resource.schema, &mut object, resource.is_custom());
    let unknown = pruned.unknown.iter().map(|field| format!("unknown field \"{field}\""));
    if validation == FieldValidation::Ignore {
        return Ok(Decoded { object, warnings: Vec::new() });
    }
    if validation == FieldValidation::Strict {
        let said: Vec<_> = twice.sentence().into_iter().chain(unknown).collect();
        if !said.is_empty() {
            let why = format!("strict decoding error: {}", said.join(", "));
            return Err(cannot_handle(resource, &why));
        }
        return Ok(Decoded { object, warnings: Vec::new() });
    }
    Ok(Decoded { object, warnings: twice.said.iter().cloned().chain(unknown).collect() })
}

/// The data of secrets is read as bytes.
fn bad_base64(resource: &ResourceType, object: &Value) -> Option<String> {
    use base64::Engine;
    if resource.plural != "secrets" || resource.is_custom() {
        return None;
    }
    let engine = base64::engine::general_purpose::STANDARD;
    let fields = object["data"].as_object()?;
    let bad =
        fields.values().any(|value| engine.decode(value.as_str().unwrap_or_default()).is_err());
    bad.then(|| "illegal base64 data at input byte 0".to_owned())
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
