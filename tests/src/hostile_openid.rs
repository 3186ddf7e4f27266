//! An OpenID provider that does whatever the test wants: signs with the wrong key or not at all,
//! lies about itself, answers too much, too late or not at all.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{
        CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJwsSigningAlgorithm, CoreRsaPrivateSigningKey,
    },
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Certificates, tls_listener::TlsListener};

/// Who signs a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signer {
    /// The key that is published, with EdDSA.
    #[default]
    Ours,
    /// Another key, under the name of the published one.
    Stranger,
    /// A key that is not published, under a name of its own.
    Unpublished,
    /// An RSA key that is published besides, with RS256.
    Rsa,
    /// That RSA key's public part as it is published, taken for the secret of HS256.
    PublicKeyAsSecret,
    /// The client's secret, with HS256.
    ClientSecret,
    /// Nobody: `alg: none`.
    Nobody,
}

/// What the provider does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who signs.
    pub signer: Signer,
    /// Claims of ID tokens in place of the right ones; `null` leaves one out.
    pub claims: Value,
    /// Members of the header in place of the right ones.
    pub header: Value,
    /// Members of the discovery document in place of the right ones.
    pub discovery: Value,
    /// What the UserInfo Endpoint answers; a text: a signed token; `null`: status 403.
    pub user_info: Value,
    /// Members of the token answer in place of the right ones.
    pub token: Value,
    /// The status of the token answer.
    pub token_status: u16,
    /// Every answer is sent elsewhere.
    pub moved: bool,
    /// Every answer has so many bytes more.
    pub padding: usize,
    /// Every answer comes this much later.
    pub delay: Duration,
    /// Every answer is this error.
    pub failure: Option<u16>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            signer: Signer::Ours,
            claims: json!({}),
            header: json!({}),
            discovery: json!({}),
            user_info: json!({ "sub": "subject-7" }),
            token: json!({}),
            token_status: 200,
            moved: false,
            padding: 0,
            delay: Duration::ZERO,
            failure: None,
        }
    }
}

/// A running one; ends when it is dropped.
pub struct HostileOpenid {
    state: Arc<Hostile>,
    server: JoinHandle<()>,
}

struct Hostile {
    issuer: String,
    plan: Mutex<Plan>,
    keys: Mutex<Keys>,
    /// Its secret as PEM, and its public part as it is published.
    rsa: (String, Value),
    keys_read: AtomicUsize,
    asked: Mutex<Vec<(String, HeaderMap, String)>>,
}

struct Keys {
    ours: String,
    stranger: String,
    name: String,
}

impl HostileOpenid {
    /// The client that it issues tokens for.
    pub const CLIENT_ID: &str = "drover";
    /// That client's secret.
    pub const CLIENT_SECRET: &str = "secret-of-the-client";

    /// Starts one that does all as it should.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(issuer, listener)
    }

    /// Starts one behind TLS with the certificate of this name.
    pub async fn start_tls(certificates: &Certificates, name: &str) -> Self {
        let listener = TlsListener::bind(certificates, name).await;
        let issuer = format!("https://{}", listener.address());
        Self::serve(issuer, listener)
    }

    fn serve<L: axum::serve::Listener<Addr: std::fmt::Debug>>(issuer: String, listener: L) -> Self {
        let pem = openssl(&["genrsa", "-traditional", "2048"]);
        let key = CoreRsaPrivateSigningKey::from_pem(&pem, Some(JsonWebKeyId::new("rsa".into())));
        let public = serde_json::to_value(key.unwrap().as_verification_key()).unwrap();
        let state = Arc::new(Hostile {
            issuer,
            plan: Mutex::default(),
            keys: Mutex::new(Keys { ours: ed25519(), stranger: ed25519(), name: "first".into() }),
            rsa: (pem, public),
            keys_read: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { state, server }
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Does this from now on.
    pub fn set(&self, plan: Plan) {
        *self.state.plan.lock().unwrap() = plan;
    }

    /// Signs with another key from now on, and publishes that one alone.
    pub fn rotate_keys(&self, name: &str) {
        let mut keys = self.state.keys.lock().unwrap();
        keys.ours = ed25519();
        keys.name = name.into();
    }

    /// How often its keys were read.
    pub fn keys_read(&self) -> usize {
        self.state.keys_read.load(Ordering::SeqCst)
    }

    /// What was asked so far: path, headers and body.
    pub fn asked(&self) -> Vec<(String, HeaderMap, String)> {
        self.state.asked.lock().unwrap().clone()
    }

    /// A token of these claims, signed by the plan.
    pub fn token(&self, claims: &Value) -> String {
        self.state.sign(claims)
    }
}

impl Drop for HostileOpenid {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(state): State<Arc<Hostile>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    state.asked.lock().unwrap().push((path.clone(), headers, body));
    let plan = state.plan.lock().unwrap().clone();
    tokio::time::sleep(plan.delay).await;
    if let Some(status) = plan.failure {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if plan.moved {
        let there = format!("{}/elsewhere{path}", state.issuer);
        return (StatusCode::FOUND, [(header::LOCATION, there)]).into_response();
    }
    let path = path.strip_prefix("/elsewhere").unwrap_or(&path);
    let (status, value) = match path {
        "/.well-known/openid-configuration" => (200, state.discovery(&plan)),
        "/keys" => {
            state.keys_read.fetch_add(1, Ordering::SeqCst);
            (200, state.published())
        }
        "/token" => (plan.token_status, state.token(&plan)),
        "/userinfo" if plan.user_info.is_null() => (403, json!({ "error": "insufficient_scope" })),
        "/userinfo" => (200, plan.user_info.clone()),
        _ => (404, json!({})),
    };
    let (kind, text) = match value {
        Value::String(token) => ("application/jwt", token),
        value => ("application/json", format!("{value}{}", " ".repeat(plan.padding))),
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(text))
        .unwrap()
}

impl Hostile {
    fn discovery(&self, plan: &Plan) -> Value {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        let mut all = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"),
            "userinfo_endpoint": at("userinfo"),
            "end_session_endpoint": at("end"),
            "jwks_uri": at("keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA", "RS256", "HS256", "none"],
        });
        replace(&mut all, &plan.discovery);
        all
    }

    fn published(&self) -> Value {
        let keys = self.keys.lock().unwrap();
        let ours = ed25519_key(&keys.ours, &keys.name).as_verification_key();
        json!({ "keys": [ours, self.rsa.1] })
    }

    fn token(&self, plan: &Plan) -> Value {
        if plan.token_status != 200 {
            return plan.token.clone();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer,
            "aud": HostileOpenid::CLIENT_ID,
            "sub": "subject-7",
            "iat": now,
            "exp": now + 300,
            "preferred_username": "grace",
            "groups": ["readers"],
        });
        replace(&mut claims, &plan.claims);
        let mut answer = json!({
            "access_token": "access-token-7",
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": self.sign(&claims),
        });
        replace(&mut answer, &plan.token);
        answer
    }

    fn sign(&self, claims: &Value) -> String {
        let plan = self.plan.lock().unwrap().clone();
        let keys = self.keys.lock().unwrap();
        let (algorithm, name) = match plan.signer {
            Signer::Ours | Signer::Stranger => ("EdDSA", keys.name.as_str()),
            Signer::Unpublished => ("EdDSA", "unpublished"),
            Signer::Rsa => ("RS256", "rsa"),
            Signer::PublicKeyAsSecret => ("HS256", "rsa"),
            Signer::ClientSecret => ("HS256", "secret"),
            Signer::Nobody => ("none", ""),
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT", "kid": name });
        replace(&mut header, &plan.header);
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(claims));
        let hmac = |secret: &[u8]| {
            CoreHmacKey::new(secret)
                .sign(&CoreJwsSigningAlgorithm::HmacSha256, message.as_bytes())
                .unwrap()
        };
        let eddsa = |pem: &str| {
            ed25519_key(pem, name)
                .sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes())
                .unwrap()
        };
        let signature = match plan.signer {
            Signer::Ours => eddsa(&keys.ours),
            Signer::Stranger | Signer::Unpublished => eddsa(&keys.stranger),
            Signer::Rsa => CoreRsaPrivateSigningKey::from_pem(&self.rsa.0, None)
                .unwrap()
                .sign(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, message.as_bytes())
                .unwrap(),
            Signer::PublicKeyAsSecret => {
                let modulus = self.rsa.1["n"].as_str().unwrap();
                hmac(&URL_SAFE_NO_PAD.decode(modulus).unwrap())
            }
            Signer::ClientSecret => hmac(HostileOpenid::CLIENT_SECRET.as_bytes()),
            Signer::Nobody => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Puts the members of `others` in place; `null` takes one out.
fn replace(all: &mut Value, others: &Value) {
    let all: &mut Map<String, Value> = all.as_object_mut().unwrap();
    for (name, value) in others.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
}

fn ed25519() -> String {
    openssl(&["genpkey", "-algorithm", "ed25519"])
}

fn ed25519_key(pem: &str, name: &str) -> CoreEdDsaPrivateSigningKey {
    let name = JsonWebKeyId::new(name.to_owned());
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(pem, Some(name)).unwrap()
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
