//! An admission webhook, as somebody's policies are.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Certificates, tls_listener::TlsListener};

/// Refuses what is named `refused…`, and lets all else through with a warning.
pub struct Webhook {
    url: String,
    ca: String,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What it says when it refuses.
pub const REFUSED: &str = "names must not begin with \"refused\"; ask the platform team";
/// What it warns of.
pub const WARNED: &str = "objects without an owner label are removed on Sundays";

impl Webhook {
    /// Starts one on loopback.
    pub async fn start() -> Self {
        let certificates = Certificates::make();
        let listener = TlsListener::bind(&certificates, "server").await;
        let url = format!("https://{}/validate", listener.address());
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new().route("/validate", post(review)).with_state(asked.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, ca: certificates.read("ca.pem"), asked, task }
    }

    /// How it stands in a `ValidatingWebhookConfiguration`.
    pub fn client_config(&self) -> Value {
        use base64::{Engine, engine::general_purpose::STANDARD};
        json!({ "url": self.url, "caBundle": STANDARD.encode(&self.ca) })
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn review(State(asked): State<Arc<AtomicUsize>>, Json(review): Json<Value>) -> Json<Value> {
    asked.fetch_add(1, Ordering::SeqCst);
    let request = &review["request"];
    let is_refused = request["name"].as_str().is_some_and(|name| name.starts_with("refused"));
    let mut response = json!({ "uid": request["uid"], "allowed": !is_refused });
    if is_refused {
        response["status"] = json!({ "code": 403, "message": REFUSED });
    } else {
        response["warnings"] = json!([WARNED]);
    }
    Json(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
    }))
}
