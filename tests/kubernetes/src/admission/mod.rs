//! Admission: who may refuse or complete an object after its writer was found to have the right.

mod limits;
mod pod_security;
pub mod quota;
mod webhooks;

use serde_json::{Value, json};

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
pub async fn mutate(request: &Request<'_>, object: &mut Value) -> Result<Vec<String>> {
    lifecycle(request)?;
    if request.operation == Operation::Create && request.subresource.is_empty() {
        let context = request.context;
        match (context.resource.group.as_str(), context.resource.plural.as_str()) {
            ("", "pods") => {
                service_account(request, object)?;
                priority(request, object)?;
                limits::complete(request, object);
                // What limits say of requests counts for the quality of service, too.
                object["status"]["qosClass"] = json!(crate::defaults::qos(&object["spec"]));
            }
            ("", "persistentvolumeclaims") => storage_class(request, object),
            _ => {}
        }
    }
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
    if request.operation == Operation::Delete {
        protected(request)?;
    }
    let mut warnings = Vec::new();
    if request.operation != Operation::Delete {
        limits::check(request, object)?;
        warnings.extend(pod_security::check(request, object)?);
    }
    warnings.extend(webhooks::ask(request, object).await?);
    if request.operation != Operation::Delete {
        quota::check(request, object)?;
    }
    Ok(warnings)
}

/// Namespaces that a cluster cannot be without.
fn protected(request: &Request) -> Result<()> {
    let resource = &request.context.resource;
    let own = matches!(request.name, "default" | "kube-system" | "kube-public");
    if resource.group.is_empty() && resource.plural == "namespaces" && own {
        let why = "this namespace may not be deleted";
        return Err(ApiError::forbidden(resource.about(request.name), why));
    }
    Ok(())
}

/// A pod runs as somebody, and gets the token of who that is.
fn service_account(request: &Request, pod: &mut Value) -> Result<()> {
    let context = request.context;
    let name = pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty());
    let name = name.unwrap_or("default").to_owned();
    let there = context.cluster.store.value("", "serviceaccounts", &context.info.namespace, &name);
    let Some(account) = there else {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            context.info.namespace
        );
        return Err(ApiError::forbidden(context.resource.about(request.name), &why));
    };
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = json!(name);
    spec["serviceAccount"] = json!(name);
    let secrets = &account["imagePullSecrets"];
    if secrets.as_array().is_some_and(|all| !all.is_empty()) && spec["imagePullSecrets"].is_null() {
        spec["imagePullSecrets"] = secrets.clone();
    }
    let mounts = spec["automountServiceAccountToken"]
        .as_bool()
        .or(account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if mounts {
        token_volume(spec);
    }
    for (key, effect) in [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    ] {
        let mut all = spec["tolerations"].as_array().cloned().unwrap_or_default();
        let there = all.iter().any(|one| {
            let key_fits = one["key"] == key || one["key"].as_str().unwrap_or_default().is_empty();
            let effect_fits =
                one["effect"] == effect || one["effect"].as_str().unwrap_or_default().is_empty();
            key_fits && effect_fits
        });
        if !there {
            all.push(json!({"key": key, "operator": "Exists", "effect": effect, "tolerationSeconds": 300}));
        }
        spec["tolerations"] = json!(all);
    }
    spec["enableServiceLinks"] = json!(spec["enableServiceLinks"].as_bool().unwrap_or(true));
    Ok(())
}

fn token_volume(spec: &mut Value) {
    const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let volume = format!("kube-api-access-{}", crate::handlers::suffix(5));
    let mut used = false;
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == PATH) {
                continue;
            }
            used = true;
            mounts.push(json!({"name": volume, "mountPath": PATH, "readOnly": true}));
            container["volumeMounts"] = json!(mounts);
        }
        if spec[list].is_null()
            && let Some(fields) = spec.as_object_mut()
        {
            fields.remove(list);
        }
    }
    if !used {
        return;
    }
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.push(json!({
        "name": volume,
        "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]},
    }));
    spec["volumes"] = json!(volumes);
}

/// The priority that a pod's class stands for.
fn priority(request: &Request, pod: &mut Value) -> Result<()> {
    let store = &request.context.cluster.store;
    let wanted = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    if wanted.is_empty() {
        pod["spec"]["priority"] = json!(0);
        pod["spec"]["preemptionPolicy"] = json!("PreemptLowerPriority");
        return Ok(());
    }
    let Some(class) = store.value("scheduling.k8s.io", "priorityclasses", "", &wanted) else {
        let why = format!("no PriorityClass with name {wanted} was found");
        return Err(ApiError::forbidden(request.context.resource.about(request.name), &why));
    };
    pod["spec"]["priority"] = class["value"].clone();
    pod["spec"]["preemptionPolicy"] = class["preemptionPolicy"].clone();
    Ok(())
}

/// A claim without a class gets the default one.
fn storage_class(request: &Request, claim: &mut Value) {
    if !claim["spec"]["storageClassName"].is_null() {
        return;
    }
    let classes = request.context.cluster.store.values("storage.k8s.io", "storageclasses", None);
    let default = classes.iter().find(|class| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    });
    if let Some(class) = default {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
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
            details["causes"] = json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {name} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        return Err(error);
    }
    Ok(())
}
