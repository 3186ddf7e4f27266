//! The OpenAPI document: generated from the handlers, completed from the access table.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::{
    access::table::{self, Needs, Rule},
    app,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Drover",
        description = "Everything that the browser app does, a script does here.\n\nSign in with an API key: `Authorization: Bearer drv_…`. Lists take `?limit=&cursor=&sort=&q=`. Errors are `application/problem+json` (RFC 9457) with a stable `code`. Writes take `If-Match` with the `ETag` that was read, and POSTs an `Idempotency-Key`. Work that takes long answers 202 with an operation to follow.",
    ),
    components(schemas(
        drover_api::Problem,
        drover_api::LogMessage,
        drover_api::ExecControl,
        drover_api::ExecEvent,
        drover_api::Stats,
        drover_api::ServiceLogMessage,
    ))
)]
struct Base;

/// The document as JSON.
pub fn document() -> String {
    let (_, api) = app::api_router().split_for_parts();
    let mut base = Base::openapi();
    base.merge(api);
    let mut document = serde_json::to_value(&base).unwrap_or_default();
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["components"]["securitySchemes"] = json!({
        "api_key": { "type": "http", "scheme": "bearer", "description": "An API key, `drv_…`." },
        "session": { "type": "apiKey", "in": "cookie", "name": "drover_session",
            "description": "A browser session; writes need its `X-CSRF-Token` too." },
        "scim_token": { "type": "http", "scheme": "bearer",
            "description": "The SCIM token of an identity provider, `drvscim_…`." },
    });
    for (path, methods) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            let Ok(name) = axum::http::Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            if let Some(rule) = table::rule(&name, path) {
                complete(operation, rule, path);
            }
        }
    }
    serde_json::to_string(&document).unwrap_or_default()
}

/// Adds to an operation what follows from its rule: sign-in and the errors.
fn complete(operation: &mut Value, rule: &Rule, path: &str) {
    match rule.needs {
        Needs::Public => {}
        Needs::Provisioner => operation["security"] = json!([{ "scim_token": [] }]),
        _ => operation["security"] = json!([{ "api_key": [] }, { "session": [] }]),
    }
    let has_body = operation.get("requestBody").is_some();
    let mut errors =
        vec![("503", "The database does not answer."), ("500", "A fault of Drover's own.")];
    if rule.needs != Needs::Public {
        errors.push(("401", "Nobody is signed in, or the API key is not valid (any more)."));
    }
    if !matches!(rule.needs, Needs::Public | Needs::SignedIn) || rule.action.is_some() {
        errors.push(("403", "The caller may not do this."));
    }
    if path.contains('{') {
        errors.push(("404", "There is no such object, or the caller may not see it."));
    }
    if operation.get("parameters").is_some() {
        errors.push(("400", "A parameter is malformed."));
    }
    if has_body {
        errors.extend([
            ("400", "The body is not JSON."),
            ("413", "The body is too large."),
            ("415", "The body is not sent as JSON."),
            ("422", "A field is not as it must be; `errors` says which."),
        ]);
    }
    if rule.action.is_some() {
        errors.extend([
            ("409", "It conflicts with what is there; `code` says how."),
            ("412", "Somebody else has changed it since the version of `If-Match`."),
            ("429", "Too many tries; see `Retry-After`."),
        ]);
    }
    let responses = operation["responses"].as_object_mut();
    let Some(responses) = responses else { return };
    for (status, description) in errors {
        responses.entry(status).or_insert_with(|| match rule.needs {
            Needs::Provisioner => scim_error(description),
            _ => problem(description),
        });
    }
}

fn problem(description: &str) -> Value {
    let mut content = Map::new();
    content.insert(
        "application/problem+json".into(),
        json!({ "schema": { "$ref": "#/components/schemas/Problem" } }),
    );
    json!({ "description": description, "content": content })
}

/// RFC 7644, 3.12.
fn scim_error(description: &str) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["schemas", "status"],
        "properties": {
            "schemas": { "type": "array", "items": { "type": "string" } },
            "status": { "type": "string" },
            "scimType": { "type": "string" },
            "detail": { "type": "string" },
        },
    });
    json!({ "description": description, "content": { "application/scim+json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;

    #[test]
    fn the_access_table_knows_every_documented_route() {
        let document: Value = serde_json::from_str(&document()).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        assert!(paths.len() > 10, "the document is empty");
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let name = Method::from_bytes(method.to_uppercase().as_bytes());
                let known = name.is_ok_and(|name| table::rule(&name, &path).is_some());
                assert!(known, "{method} {path} is not in the access table");
                let summary = operation["summary"].as_str().unwrap_or_default();
                assert!(!summary.is_empty(), "{method} {path} has no summary");
            }
        }
    }
}
