//! Admission: who may refuse or complete an object after its writer was found to have the right.

use serde_json::Value;

use crate::{
    handlers::Context,
    status::{ApiError, Result},
};

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
}

/// What is to be admitted.
pub struct Request<'a> {
    /// The request.
    pub context: &'a Context,
    /// What is done.
    pub operation: Operation,
    /// To which part, or nothing.
    pub subresource: &'a str,
    /// To which object.
    pub name: &'a str,
    /// The object before.
    pub before: Option<&'a Value>,
    /// Whether nothing will be kept.
    pub dry: bool,
}

/// Completes an object.
///
/// # Errors
/// When it cannot be.
pub async fn mutate(request: &Request<'_>, _object: &mut Value) -> Result<Vec<String>> {
    lifecycle(request)?;
    Ok(Vec::new())
}

/// Refuses an object, or lets it through with warnings.
///
/// # Errors
/// When somebody refuses.
pub async fn validate(request: &Request<'_>, object: &Value) -> Result<Vec<String>> {
    let resource = &request.context.resource;
    if resource.group == "rbac.authorization.k8s.io" && request.operation != Operation::Delete {
        let user = request.context.caller.acting();
        request.context.cluster.authorizer.check_write(
            user,
            &resource.plural,
            object,
            request.before,
        )?;
    }
    Ok(Vec::new())
}

/// Nothing new in a namespace that is not there, or is going away.
fn lifecycle(request: &Request) -> Result<()> {
    let context = request.context;
    let resource = &context.resource;
    let store = &context.cluster.store;
    if request.operation == Operation::Delete {
        return Ok(());
    }
    if !resource.namespaced || request.operation != Operation::Create {
        return Ok(());
    }
    let name = &context.info.namespace;
    let about = crate::status::About { group: "", resource: "namespaces", name };
    let namespace =
        store.value("", "namespaces", "", name).ok_or_else(|| ApiError::not_found(about))?;
    if namespace["metadata"]["deletionTimestamp"].is_string() {
        let why = format!(
            "unable to create new content in namespace {name} because it is being terminated"
        );
        let mut error = ApiError::forbidden(resource.about(request.name), &why);
        if let Some(details) = &mut error.details {
            details["causes"] = serde_json::json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {name} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        return Err(error);
    }
    Ok(())
}
