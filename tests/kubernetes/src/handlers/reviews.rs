//! Questions about rights and people: nothing is kept, the answer is the status.

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    authn::User,
    handlers::{
        Context, Read,
        body::{FieldValidation, decode},
    },
    rbac::Attributes,
    respond::{self, Answer},
    status::{ApiError, Cause, Result},
};

/// Answers one.
///
/// # Errors
/// When the question cannot be understood.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    if *request.method() != hyper::Method::POST || !context.info.name.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let strictness = FieldValidation::of(&context)?;
    let body = Read::of(request).await?;
    let mut review = decode(&context.resource, body.value()?, &body.twice(), strictness)?.object;
    let caller = context.caller.acting().clone();
    review["status"] = match context.resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": caller.info()}),
        "SelfSubjectAccessReview" => access(&context, &caller, &review)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let user = subject(&context, &review)?;
            access(&context, &user, &review)?
        }
        "SelfSubjectRulesReview" => rules(&context, &caller, &review)?,
        "TokenReview" => token(&context, &review),
        _ => return Err(ApiError::no_such_path()),
    };
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    Ok(respond::json(201, &review))
}

fn subject(context: &Context, review: &Value) -> Result<User> {
    let spec = &review["spec"];
    let groups: Vec<String> = spec["groups"]
        .as_array()
        .map(|groups| groups.iter().filter_map(|g| g.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let name = spec["user"].as_str().unwrap_or_default();
    if name.is_empty() && groups.is_empty() {
        let cause = Cause::invalid(
            "spec.user",
            &json!(""),
            "at least one of user or group must be specified",
        );
        return Err(ApiError::invalid(context.resource.about_kind(""), &[cause]));
    }
    Ok(User { name: name.to_owned(), groups, ..User::default() })
}

fn access(context: &Context, user: &User, review: &Value) -> Result<Value> {
    let spec = &review["spec"];
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() == other.is_object() {
        let cause = Cause::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        );
        let about = crate::status::About { group: "authorization.k8s.io", resource: "", name: "" };
        return Err(ApiError::invalid(about, &[cause]));
    }
    let of = if resource.is_object() { resource } else { other };
    let word = |key: &str| of[key].as_str().unwrap_or_default();
    let wanted = Attributes {
        verb: word("verb"),
        group: word("group"),
        resource: word("resource"),
        subresource: word("subresource"),
        namespace: word("namespace"),
        name: word("name"),
        path: word("path"),
        is_resource: resource.is_object(),
    };
    let decision = context.cluster.authorizer.decide(user, &wanted);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    Ok(status)
}

fn rules(context: &Context, user: &User, review: &Value) -> Result<Value> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (rules, errors) = context.cluster.authorizer.rules(user, namespace);
    let (mut resources, mut others) = (Vec::new(), Vec::new());
    for rule in rules {
        if !rule.urls.is_empty() {
            others.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
        if !rule.resources.is_empty() {
            let mut value = json!({
                "verbs": rule.verbs,
                "apiGroups": rule.groups,
                "resources": rule.resources,
            });
            if !rule.names.is_empty() {
                value["resourceNames"] = json!(rule.names);
            }
            resources.push(value);
        }
    }
    let mut status = json!({
        "resourceRules": resources,
        "nonResourceRules": others,
        "incomplete": !errors.is_empty(),
    });
    if !errors.is_empty() {
        status["evaluationError"] = json!(errors.join(", "));
    }
    Ok(status)
}

fn token(context: &Context, review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    match context.cluster.tokens.user(token, &context.cluster.store) {
        Some(user) => json!({
            "authenticated": true,
            "user": user.info(),
            "audiences": [crate::authn::ISSUER],
        }),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}
