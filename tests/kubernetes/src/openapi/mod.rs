//! OpenAPI: a document for each group and version (v3), and one of all (v2), for `kubectl explain`,
//! validation, and editors.

mod protobuf;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    cluster::Cluster,
    resources::{BUILT_IN, ResourceType, Served, api_version},
    respond::{self, Answer},
    status::{ApiError, Result},
};

const SCHEMAS: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// `/openapi/v3`.
pub fn index(served: &Served) -> Value {
    let mut paths = Map::new();
    for (group, versions) in served.groups() {
        for version in versions {
            let path = match group.as_str() {
                "" => format!("api/{version}"),
                group => format!("apis/{group}/{version}"),
            };
            let mark = mark(served, &group, &version);
            let address = format!("/openapi/v3/{path}?hash={mark}");
            paths.insert(path, json!({"serverRelativeURL": address}));
        }
    }
    json!({"paths": paths})
}

/// Changes with the document.
fn mark(served: &Served, group: &str, version: &str) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA512);
    for resource in served.of_version(group, version) {
        context.update(resource.kind.as_bytes());
        if resource.is_custom() {
            context.update(resource.schema.raw().to_string().as_bytes());
        }
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// `/openapi/v3/…`.
///
/// # Errors
/// When there is no such group and version, or JSON is not taken.
pub fn document(served: &Served, path: &[&str], accept: &str) -> Result<Answer> {
    let (group, version) = match path {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(ApiError::text(404, "")),
    };
    let resources = served.of_version(group, version);
    if resources.is_empty() {
        return Err(ApiError::text(404, ""));
    }
    if !accept.is_empty() && !accept.contains("json") && !accept.contains("*/*") {
        return Err(ApiError::not_acceptable("application/json"));
    }
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for resource in &resources {
        add_schemas(resource, &mut schemas);
        add_paths(resource, &mut paths);
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    });
    let mut answer = respond::json(200, &document);
    let mark = format!("\"{}\"", mark(served, group, version));
    if let Ok(mark) = hyper::header::HeaderValue::from_str(&mark) {
        answer.headers_mut().insert(hyper::header::ETAG, mark);
    }
    Ok(answer)
}

/// The name of a kind's schema.
pub fn schema_name(resource: &ResourceType) -> String {
    if resource.is_custom() || matches!(resource.origin, crate::resources::Origin::Metrics) {
        let mut parts: Vec<_> = resource.group.split('.').collect();
        parts.reverse();
        return format!("{}.{}.{}", parts.join("."), resource.version, resource.kind);
    }
    let suffix = format!(".{}.{}", resource.version, resource.kind);
    let (group, _) = resource.group.split_once('.').unwrap_or((&resource.group, ""));
    let group = if group.is_empty() { "core" } else { group };
    let group = if group == "rbac" { "rbac" } else { group };
    let wanted = format!(".{group}{suffix}");
    BUILT_IN.definitions.raw.keys().find(|name| name.ends_with(&wanted)).cloned().unwrap_or(wanted)
}

fn gvk(resource: &ResourceType, kind: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": kind})
}

/// The schemas of a resource, its list, and all that they refer to.
fn add_schemas(resource: &ResourceType, schemas: &mut Map<String, Value>) {
    let name = schema_name(resource);
    let mut schema = resource.schema.raw().clone();
    schema["x-kubernetes-group-version-kind"] = json!([gvk(resource, &resource.kind)]);
    if resource.is_custom()
        && let Some(properties) = schema["properties"].as_object_mut()
    {
        for (field, text) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            properties.insert(field.to_owned(), json!({"type": "string", "description": text}));
        }
        let metadata = json!({
            "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
            "allOf": [{"$ref": format!("{SCHEMAS}{META}ObjectMeta")}],
        });
        properties.insert("metadata".to_owned(), metadata);
    }
    references(&schema, schemas);
    schemas.insert(name.clone(), schema);
    if !resource.list_kind.is_empty() {
        let list = json!({
            "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "items": {"type": "array", "items": {"$ref": format!("{SCHEMAS}{name}")}},
                "metadata": {"$ref": format!("{SCHEMAS}{META}ListMeta")},
            },
            "x-kubernetes-group-version-kind": [gvk(resource, &resource.list_kind)],
        });
        references(&list, schemas);
        schemas.insert(format!("{name}List"), list);
    }
    for extra in ["DeleteOptions", "Status"] {
        named(&format!("{META}{extra}"), schemas);
    }
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

fn references(schema: &Value, schemas: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                named(name.trim_start_matches(SCHEMAS), schemas);
            }
            for inner in fields.values() {
                references(inner, schemas);
            }
        }
        Value::Array(entries) => {
            for inner in entries {
                references(inner, schemas);
            }
        }
        _ => {}
    }
}

fn named(name: &str, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(name) {
        return;
    }
    if let Some(schema) = BUILT_IN.definitions.raw.get(name) {
        let mut schema = schema.clone();
        // What takes part in other groups says so.
        if let Some(kind) =
            name.strip_prefix(META).filter(|kind| matches!(*kind, "DeleteOptions" | "Status"))
        {
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": "", "version": "v1", "kind": kind}]);
        }
        schemas.insert(name.to_owned(), schema.clone());
        references(&schema, schemas);
    }
}

fn add_paths(resource: &ResourceType, paths: &mut Map<String, Value>) {
    let root = match resource.group.as_str() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{place}/{}", resource.plural);
    let object = format!("{collection}/{{name}}");
    if resource.namespaced && resource.verbs.iter().any(|verb| verb == "list") {
        paths.insert(format!("{root}/{}", resource.plural), operations(resource, &["list"]));
    }
    let of = |wanted: &[&str]| {
        let verbs: Vec<_> = resource
            .verbs
            .iter()
            .map(String::as_str)
            .filter(|verb| wanted.contains(verb))
            .collect();
        operations(resource, &verbs)
    };
    paths.insert(collection, of(&["list", "create", "deletecollection"]));
    paths.insert(object.clone(), of(&["get", "update", "patch", "delete"]));
    for sub in &resource.subresources {
        let verbs: Vec<_> = sub.verbs.iter().map(String::as_str).collect();
        paths.insert(format!("{object}/{}", sub.name), operations(resource, &verbs));
    }
}

fn operations(resource: &ResourceType, verbs: &[&str]) -> Value {
    let mut operations = Map::new();
    let body = json!({"$ref": format!("{SCHEMAS}{}", schema_name(resource))});
    for verb in verbs {
        let (method, action) = match *verb {
            "list" => ("get", "list"),
            "get" => ("get", "get"),
            "create" => ("post", "post"),
            "update" => ("put", "put"),
            "patch" => ("patch", "patch"),
            "delete" => ("delete", "delete"),
            "deletecollection" => ("delete", "deletecollection"),
            _ => continue,
        };
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(resource, &resource.kind),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": body}}}},
            "parameters": parameters(verb),
        });
        if matches!(*verb, "create" | "update") {
            operation["requestBody"] =
                json!({"required": true, "content": {"*/*": {"schema": body}}});
        }
        if *verb == "patch" {
            let patch = json!({"schema": {"type": "object"}});
            operation["requestBody"] = json!({"required": true, "content": {
                "application/apply-patch+yaml": patch,
                "application/json-patch+json": patch,
                "application/merge-patch+json": patch,
                "application/strategic-merge-patch+json": patch,
            }});
        }
        operations.insert(method.to_owned(), operation);
    }
    Value::Object(operations)
}

fn parameters(verb: &str) -> Value {
    let names: &[&str] = match verb {
        "create" | "update" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "list" => &[
            "allowWatchBookmarks",
            "continue",
            "fieldSelector",
            "labelSelector",
            "limit",
            "resourceVersion",
            "resourceVersionMatch",
            "sendInitialEvents",
            "timeoutSeconds",
            "watch",
        ],
        "delete" | "deletecollection" => {
            &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"]
        }
        _ => &[],
    };
    names
        .iter()
        .map(|name| {
            let kind = match *name {
                "force"
                | "watch"
                | "allowWatchBookmarks"
                | "sendInitialEvents"
                | "orphanDependents" => "boolean",
                "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
                _ => "string",
            };
            json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
        })
        .collect()
}

/// `/openapi/v2`: as JSON, or as protobuf, which is what kubectl asks for.
///
/// # Errors
/// When neither is taken.
pub fn v2(cluster: &Cluster, served: &Served, accept: &str) -> Result<Answer> {
    let document = swagger(cluster, served);
    let proto = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    if accept.starts_with(proto)
        || accept.starts_with("application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
    {
        let bytes = protobuf::document(&document);
        return Ok(respond::bytes(
            200,
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            bytes,
        ));
    }
    if accept.is_empty() || accept.contains("json") || accept.contains("*/*") {
        return Ok(respond::json(200, &document));
    }
    Err(ApiError::not_acceptable(&format!("application/json, {proto}")))
}

fn swagger(cluster: &Cluster, served: &Served) -> Value {
    let mut schemas = Map::new();
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for resource in &served.resources {
        kinds.insert(api_version(&resource.group, &resource.version));
        add_schemas(resource, &mut schemas);
    }
    let mut paths = Map::new();
    for resource in &served.resources {
        add_paths(resource, &mut paths);
    }
    for path in paths.values_mut() {
        for operation in path.as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
            old_operation(operation);
        }
    }
    let mut definitions = Value::Object(schemas);
    old_schema(&mut definitions);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": format!("v1.{}.{}", cluster.options.version.0, cluster.options.version.1)},
        "paths": paths,
        "definitions": definitions,
    })
}

/// What OpenAPI v3 has and v2 does not.
fn old_schema(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(all)) = fields.get("allOf").cloned()
                && let [one] = all.as_slice()
                && let Some(reference) = one.get("$ref")
            {
                fields.remove("allOf");
                fields.insert("$ref".to_owned(), reference.clone());
            }
            let is_schema = fields.get("oneOf").is_some_and(Value::is_array);
            if is_schema {
                fields.remove("oneOf");
                fields.insert("type".to_owned(), json!("string"));
            }
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                *reference = reference.replace(SCHEMAS, "#/definitions/");
            }
            for inner in fields.values_mut() {
                old_schema(inner);
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(old_schema),
        _ => {}
    }
}

fn old_operation(operation: &mut Value) {
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        let kind = parameter["schema"]["type"].take();
        if let Some(fields) = parameter.as_object_mut() {
            fields.remove("schema");
            fields.insert("type".to_owned(), kind);
            fields.insert("uniqueItems".to_owned(), json!(true));
        }
    }
    if operation["requestBody"].is_object() {
        parameters.push(
            json!({"name": "body", "in": "body", "required": true, "schema": {"type": "object"}}),
        );
    }
    if let Some(fields) = operation.as_object_mut() {
        fields.remove("requestBody");
        fields.insert("parameters".to_owned(), Value::Array(parameters));
        fields.insert("responses".to_owned(), json!({"200": {"description": "OK"}}));
    }
}
