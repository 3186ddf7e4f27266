//! Validating webhooks, really called: by their address, with an AdmissionReview.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Operation, Request};
use crate::{
    selectors::{Labels, label_map},
    status::{ApiError, Result},
};

/// Asks all webhooks that are concerned.
///
/// # Errors
/// When one refuses, or does not answer and may not be left out.
pub async fn ask(request: &Request<'_>, object: &Value) -> Result<Vec<String>> {
    let context = request.context;
    if context.resource.group == "admissionregistration.k8s.io" {
        return Ok(Vec::new());
    }
    let configurations = context.cluster.store.values(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        None,
    );
    let mut warnings = Vec::new();
    for webhook in configurations
        .iter()
        .flat_map(|one| one["webhooks"].as_array().into_iter().flatten())
        .filter(|webhook| concerns(webhook, request, object))
    {
        warnings.extend(one(webhook, request, object).await?);
    }
    Ok(warnings)
}

fn concerns(webhook: &Value, request: &Request, object: &Value) -> bool {
    let context = request.context;
    let operation = match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
    };
    let has = |list: &Value, one: &str| {
        list.as_array().into_iter().flatten().any(|v| v == "*" || v == one)
    };
    let resource = match request.subresource {
        "" => context.resource.plural.clone(),
        sub => format!("{}/{sub}", context.resource.plural),
    };
    let rule = webhook["rules"].as_array().into_iter().flatten().any(|rule| {
        let scope = match rule["scope"].as_str() {
            Some("Namespaced") => context.resource.namespaced,
            Some("Cluster") => !context.resource.namespaced,
            _ => true,
        };
        let named = rule["resources"].as_array().into_iter().flatten().any(|one| {
            one == "*/*" || one == resource.as_str() || one == "*" && request.subresource.is_empty()
        });
        scope
            && named
            && has(&rule["operations"], operation)
            && has(&rule["apiGroups"], &context.resource.group)
            && has(&rule["apiVersions"], &context.resource.version)
    });
    if !rule {
        return false;
    }
    let selects = |selector: &Value, labels: &Value| {
        Labels::of_object(selector).is_none_or(|selector| selector.matches(&label_map(labels)))
    };
    let namespace = if context.resource.plural == "namespaces" {
        object.clone()
    } else {
        context
            .cluster
            .store
            .value("", "namespaces", "", &context.info.namespace)
            .unwrap_or_default()
    };
    let in_namespace = !context.resource.namespaced && context.resource.plural != "namespaces"
        || selects(&webhook["namespaceSelector"], &namespace["metadata"]["labels"]);
    in_namespace && selects(&webhook["objectSelector"], &object["metadata"]["labels"])
}

fn review(request: &Request, object: &Value) -> Value {
    let context = request.context;
    let resource = &context.resource;
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let place =
        json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let (operation, new, old, options) = match request.operation {
        Operation::Create => ("CREATE", object.clone(), Value::Null, "CreateOptions"),
        Operation::Update => {
            ("UPDATE", object.clone(), request.before.cloned().unwrap_or_default(), "UpdateOptions")
        }
        Operation::Delete => {
            ("DELETE", Value::Null, request.before.cloned().unwrap_or_default(), "DeleteOptions")
        }
    };
    let mut inner = json!({
        "uid": uuid::Uuid::new_v4().to_string(),
        "kind": kind, "requestKind": kind,
        "resource": place, "requestResource": place,
        "name": request.name,
        "operation": operation,
        "userInfo": context.caller.acting().info(),
        "object": new, "oldObject": old,
        "dryRun": request.dry,
        "options": {"kind": options, "apiVersion": "meta.k8s.io/v1"},
    });
    if resource.namespaced {
        inner["namespace"] = json!(context.info.namespace);
    }
    if !request.subresource.is_empty() {
        inner["subResource"] = json!(request.subresource);
        inner["requestSubResource"] = json!(request.subresource);
    }
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": inner})
}

async fn one(webhook: &Value, request: &Request<'_>, object: &Value) -> Result<Vec<String>> {
    let name = webhook["name"].as_str().unwrap_or_default();
    let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30);
    let review = review(request, object);
    let address = address(request, webhook, seconds);
    let answer = match &address {
        Ok(address) => {
            let call = call(webhook, address, &review, seconds);
            match tokio::time::timeout(Duration::from_secs(seconds), call).await {
                Ok(answer) => answer,
                Err(_) => Err(address.failed(seconds, "context deadline exceeded")),
            }
        }
        Err(why) => Err(why.clone()),
    };
    let response = match answer {
        Ok(answer) => answer["response"].clone(),
        Err(_) if webhook["failurePolicy"] == "Ignore" => return Ok(Vec::new()),
        Err(why) => {
            return Err(ApiError::internal(format!("failed calling webhook \"{name}\": {why}")));
        }
    };
    if response["allowed"] == true {
        let warnings = response["warnings"].as_array().into_iter().flatten();
        return Ok(warnings.filter_map(|one| one.as_str().map(str::to_owned)).collect());
    }
    Err(denied(name, &response["status"]))
}

/// The refusal of a webhook, with what of it the webhook has said itself.
fn denied(name: &str, status: &Value) -> ApiError {
    let word = |field: &str| status[field].as_str().filter(|text| !text.is_empty());
    let why = match word("message").or_else(|| word("reason")) {
        Some(why) => format!(": {why}"),
        None => " without explanation".to_owned(),
    };
    let text = format!("admission webhook \"{name}\" denied the request{why}");
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| *code >= 400).unwrap_or(400);
    let mut error = ApiError::new(code, word("reason").unwrap_or_default().to_owned(), text);
    error.details = status["details"].is_object().then(|| status["details"].clone());
    error
}

struct Address {
    host: String,
    port: u16,
    path: String,
}

impl Address {
    fn url(&self, seconds: u64) -> String {
        format!("https://{}:{}{}?timeout={seconds}s", self.host, self.port, self.path)
    }

    fn failed(&self, seconds: u64, why: impl std::fmt::Display) -> String {
        format!("failed to call webhook: Post \"{}\": {why}", self.url(seconds))
    }
}

/// Where a webhook is. Services of the made-up cluster run nothing, and cannot be called.
fn address(request: &Request, webhook: &Value, seconds: u64) -> Result<Address, String> {
    let config = &webhook["clientConfig"];
    if let Some(url) = config["url"].as_str() {
        let rest = url.strip_prefix("https://").ok_or("unsupported scheme")?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| "invalid port".to_owned())?),
            None => (place, 443),
        };
        return Ok(Address { host: host.to_owned(), port, path: format!("/{path}") });
    }
    let service = &config["service"];
    let word = |key: &str| service[key].as_str().unwrap_or_default();
    let there =
        request.context.cluster.store.value("", "services", word("namespace"), word("name"));
    let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
    let host = format!("{}.{}.svc", word("name"), word("namespace"));
    let path = Some(word("path")).filter(|path| !path.is_empty()).unwrap_or("/").to_owned();
    let why = match there {
        None => format!("service \"{}\" not found", word("name")),
        Some(_) => format!("no endpoints available for service \"{}\"", word("name")),
    };
    Err(Address { host, port, path }.failed(seconds, why))
}

async fn call(
    webhook: &Value,
    address: &Address,
    review: &Value,
    seconds: u64,
) -> Result<Value, String> {
    let failed = |why: &dyn std::fmt::Display| address.failed(seconds, why);
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|_| {
        failed(&format!("dial tcp {}:{}: connect: connection refused", address.host, address.port))
    })?;
    let name = ServerName::try_from(address.host.clone()).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(Arc::new(trust(webhook)?))
        .connect(name, stream)
        .await
        .map_err(|error| failed(&format!("tls: failed to verify certificate: {error}")))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("{}?timeout={seconds}s", address.path))
        .header(hyper::header::HOST, format!("{}:{}", address.host, address.port))
        .header(hyper::header::USER_AGENT, "kube-apiserver-admission")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(bytes::Bytes::from(review.to_string())))
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), 3 * 1024 * 1024)
        .collect()
        .await
        .map_err(|error| failed(&error))?
        .to_bytes();
    if !status.is_success() {
        return Err("failed to call webhook: an error on the server (\"unknown\") has prevented the request from succeeding".to_owned());
    }
    let answer: Value = serde_json::from_slice(&body).map_err(|error| {
        format!("failed to call webhook: couldn't get version/kind; json parse error: {error}")
    })?;
    if answer["response"]["uid"] != review["request"]["uid"] {
        return Err(format!(
            "received invalid webhook response: expected response.uid={}, got {}",
            review["request"]["uid"], answer["response"]["uid"]
        ));
    }
    Ok(answer)
}

fn trust(webhook: &Value) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let bundle = webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(bundle).map_err(|error| error.to_string())?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
