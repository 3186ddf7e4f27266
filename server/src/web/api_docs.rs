//! The OpenAPI document and the page to browse it.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::{Method, header},
    response::{Html, IntoResponse},
};
use drover_api::{Permission, Role};
use serde_json::Value;

use super::Nonce;
use crate::{
    access::table::{self, Needs},
    app::App,
    error::{Error, Result},
};

/// `GET /v1/openapi.json`
pub(super) async fn document(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.clone())
}

#[derive(Template)]
#[template(path = "api_docs.html")]
struct Page<'a> {
    nonce: &'a str,
    version: &'a str,
    description: &'a str,
    groups: &'a [Group],
}

struct Group {
    id: String,
    name: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    needs: String,
    parameters: Vec<Parameter>,
    example: String,
    responses: Vec<Answer>,
}

struct Parameter {
    name: String,
    place: String,
    description: String,
}

struct Answer {
    name: String,
    description: String,
}

/// `GET /v1/docs`
pub(super) async fn page(
    State(app): State<App>,
    Extension(Nonce(nonce)): Extension<Nonce>,
) -> Result<Html<String>> {
    let document: Value = serde_json::from_str(&app.openapi).map_err(Error::internal)?;
    let page = Page {
        nonce: &nonce,
        version: env!("CARGO_PKG_VERSION"),
        description: document["info"]["description"].as_str().unwrap_or_default(),
        groups: &groups(&document),
    };
    page.render().map(Html).map_err(Error::internal)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn groups(document: &Value) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let name = text(&operation["tags"][0]);
            let operation = describe(path, &method.to_uppercase(), operation);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.operations.push(operation),
                None => groups.push(Group {
                    id: name.replace(' ', "-"),
                    name,
                    operations: vec![operation],
                }),
            }
        }
    }
    groups
}

fn describe(path: &str, method: &str, operation: &Value) -> Operation {
    let parameters = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| Parameter {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            description: text(&parameter["description"]),
        })
        .collect();
    let content = &operation["requestBody"]["content"]["application/json"];
    let example = if content["example"].is_null() {
        text(&content["schema"]["$ref"]).rsplit('/').next().unwrap_or_default().to_owned()
    } else {
        serde_json::to_string_pretty(&content["example"]).unwrap_or_default()
    };
    let responses = operation["responses"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(status, response)| Answer {
            name: status.clone(),
            description: text(&response["description"]),
        })
        .collect();
    Operation {
        id: format!("{method}{}", path.replace(['/', '{', '}'], "-")),
        method: method.to_owned(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        needs: needs(method, path),
        parameters,
        example,
        responses,
    }
}

fn needs(method: &str, path: &str) -> String {
    let rule = Method::from_bytes(method.as_bytes()).ok().and_then(|m| table::rule(&m, path));
    match rule.map(|rule| rule.needs) {
        Some(Needs::Public) => "nothing".into(),
        Some(Needs::SignedIn) => "to be signed in".into(),
        Some(Needs::Account) => "to be signed in; not an API key with a scope".into(),
        Some(Needs::Admin) => "an administrator".into(),
        Some(Needs::Provisioner) => "the SCIM token of the identity provider".into(),
        Some(Needs::Docker) => "a role in the environment, by an API key".into(),
        Some(Needs::Kubernetes) => "a role in an environment of the cluster, by an API key".into(),
        Some(Needs::In(permission)) => {
            format!("the role {} or a stronger one in the environment", weakest(permission))
        }
        Some(Needs::InAny(permission)) => {
            format!("the role {} or a stronger one in some environment", weakest(permission))
        }
        None => "(not in the access table)".into(),
    }
}

/// The weakest role that permits something.
fn weakest(permission: Permission) -> &'static str {
    Role::ALL
        .into_iter()
        .find(|role| crate::access::permits(*role, permission))
        .map_or("owner", Role::as_str)
}
