//! In which form an answer goes out: whole objects, only their metadata, or as a table.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{ACCEPT, HeaderValue},
};
use serde_json::{Value, json};

use crate::{
    convert,
    handlers::Context,
    resources::ResourceType,
    respond::{self, Answer},
    status::{ApiError, Result},
    store::Object,
    table,
};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object or list itself.
    Object,
    /// Only metadata.
    Metadata,
    /// As a table.
    Table(table::Include),
}

/// What a caller takes.
#[derive(Debug, Clone, Copy)]
pub struct Accepts {
    /// The form.
    pub form: Form,
    /// The version of table and metadata: `v1` or `v1beta1`.
    pub meta_version: &'static str,
    /// YAML instead of JSON.
    pub yaml: bool,
}

const KNOWN: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

impl Accepts {
    /// As headers and query say.
    ///
    /// # Errors
    /// When it is nothing that there is.
    pub fn of(headers: &HeaderMap, context: &Context, list: bool) -> Result<Self> {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        let include = match context.info.query.get("includeObject") {
            None | Some("Metadata") => table::Include::Metadata,
            Some("None") => table::Include::None,
            Some("Object") => table::Include::Object,
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: \"{other}\": must be 'Metadata', 'Object', 'None', or empty"
                )));
            }
        };
        accept
            .split(',')
            .find_map(|range| Self::range(range.trim(), include, list))
            .ok_or_else(|| ApiError::not_acceptable(KNOWN))
    }

    fn range(range: &str, include: table::Include, list: bool) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let yaml = match parts.next()? {
            "application/json" | "*/*" | "application/*" => false,
            "application/yaml" => true,
            _ => return None,
        };
        let (mut kind, mut group, mut version) = ("", "", "");
        for part in parts {
            match part.split_once('=') {
                Some(("as", value)) => kind = value,
                Some(("g", value)) => group = value,
                Some(("v", value)) => version = value,
                _ => {}
            }
        }
        let meta_version = match version {
            "v1beta1" => "v1beta1",
            "" | "v1" => "v1",
            _ => return None,
        };
        let form = match (kind, group) {
            ("", _) => Form::Object,
            ("Table", "meta.k8s.io") if !yaml => Form::Table(include),
            ("PartialObjectMetadata", "meta.k8s.io") if !list && !yaml => Form::Metadata,
            ("PartialObjectMetadataList", "meta.k8s.io") if list && !yaml => Form::Metadata,
            _ => return None,
        };
        Some(Self { form, meta_version, yaml })
    }
}

/// The object's bytes as they are sent, in the resource's version, with or without apiVersion and
/// kind.
pub fn wire(resource: &ResourceType, object: &Object, with_kind: bool) -> Bytes {
    let bytes = convert::to_version(resource, object);
    if !with_kind {
        return bytes;
    }
    let mut out =
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind, resource.api_version())
            .into_bytes();
    out.extend_from_slice(bytes.get(1..).unwrap_or_default());
    Bytes::from(out)
}

/// The object's bytes with only its metadata.
pub fn partial(object: &Object, version: &str) -> Value {
    let value = object.value();
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": value["metadata"],
    })
}

/// The answer with one object.
///
/// # Errors
/// When it cannot be given in that form.
pub fn answer_object(
    context: &Context,
    headers: &HeaderMap,
    status: u16,
    object: &Object,
    warnings: &[String],
) -> Result<Answer> {
    let accepts = Accepts::of(headers, context, false)?;
    let mut answer = match accepts.form {
        Form::Object if accepts.yaml => {
            let value: Value =
                serde_json::from_slice(&wire(&context.resource, object, true)).unwrap_or_default();
            let text = serde_norway::to_string(&value)
                .map_err(|error| ApiError::internal(error.to_string()))?;
            respond::bytes(status, "application/yaml", text)
        }
        Form::Object => {
            respond::bytes(status, "application/json", wire(&context.resource, object, true))
        }
        Form::Metadata => respond::json(status, &partial(object, accepts.meta_version)),
        Form::Table(include) => {
            let maker = table::Maker::new(&context.resource, include, accepts.meta_version);
            let metadata = json!({"resourceVersion": object.version.to_string()});
            respond::bytes(status, "application/json", maker.table(&metadata, &[object], true))
        }
    };
    warn(&mut answer, warnings);
    Ok(answer)
}

/// Puts warnings into the answer's headers.
pub fn warn(answer: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            answer.headers_mut().append("warning", value);
        }
    }
}
