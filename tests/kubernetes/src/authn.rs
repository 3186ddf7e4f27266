//! Who is asking: client certificates, static tokens, tokens of service accounts, or nobody; and
//! as whom they want to be taken (impersonation).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hyper::HeaderMap;
use ring::hmac;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::{
    clock,
    rbac::{Attributes, Authorizer},
    status::{About, ApiError, Result},
    store::Store,
};

/// A user with groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The id, or nothing.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// One with a name and groups; `system:authenticated` is added.
    pub fn named(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        authenticated(&mut groups);
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// As the authentication API has it.
    pub fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

fn authenticated(groups: &mut Vec<String>) {
    let all = "system:authenticated".to_owned();
    if !groups.contains(&all) {
        groups.push(all);
    }
}

#[derive(Debug, Clone)]
struct Static {
    user: User,
    until: Option<OffsetDateTime>,
}

/// The tokens that are known.
#[derive(Debug)]
pub struct Tokens {
    fixed: Mutex<HashMap<String, Static>>,
    key: hmac::Key,
    /// Tokens of service accounts that were made before are no longer good.
    epoch: Mutex<OffsetDateTime>,
}

/// For whom a service account's token is, and for how long.
#[derive(Debug, Clone)]
pub struct ServiceAccountToken<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// The account's id.
    pub uid: &'a str,
    /// How long, in seconds; without end if there is none.
    pub seconds: Option<i64>,
    /// The audiences.
    pub audiences: Vec<String>,
    /// The pod that it is bound to.
    pub pod: Option<(String, String)>,
}

/// Who the API server is to the tokens that it makes.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

impl Tokens {
    /// None yet.
    pub fn new() -> Self {
        let secret = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()];
        Self {
            fixed: Mutex::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret.concat()),
            epoch: Mutex::new(OffsetDateTime::UNIX_EPOCH),
        }
    }

    /// Takes a token for a user, perhaps only until then.
    pub fn add(&self, token: &str, user: User, until: Option<OffsetDateTime>) {
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        fixed.insert(token.to_owned(), Static { user, until });
    }

    /// No token that there is now is good from here on.
    pub fn expire_all(&self) {
        self.fixed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
    }

    /// No token of that user is good from here on.
    pub fn expire(&self, user: &str) {
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        fixed.retain(|_, token| token.user.name != user);
    }

    /// Makes a service account's token, and says until when it is good.
    pub fn issue(&self, account: &ServiceAccountToken) -> (String, Option<OffsetDateTime>) {
        let now = clock::now();
        let until = account.seconds.map(|seconds| now + Duration::seconds(seconds));
        let mut kubernetes = json!({
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        });
        if let Some((name, uid)) = &account.pod {
            kubernetes["pod"] = json!({"name": name, "uid": uid});
        }
        let mut claims = json!({
            "aud": account.audiences,
            "iat": now.unix_timestamp(),
            "iss": ISSUER,
            "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": kubernetes,
            "nbf": now.unix_timestamp(),
            "sub": format!("system:serviceaccount:{}:{}", account.namespace, account.name),
            // Not part of real tokens: what happened within one second has an order, too.
            "drover.test/made": now.unix_timestamp_nanos().to_string(),
        });
        if let Some(until) = until {
            claims["exp"] = json!(until.unix_timestamp());
        }
        let head = BASE64.encode(json!({"alg": "HS256", "kid": "stand-in"}).to_string());
        let body = format!("{head}.{}", BASE64.encode(claims.to_string()));
        let signature = hmac::sign(&self.key, body.as_bytes());
        (format!("{body}.{}", BASE64.encode(signature.as_ref())), until)
    }

    /// Whose token it is, if it is good.
    pub fn user(&self, token: &str, store: &Store) -> Option<User> {
        let fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        if let Some(fixed) = fixed {
            let good = fixed.until.is_none_or(|until| until > clock::now());
            return good.then_some(fixed.user);
        }
        let claims = self.claims(token)?;
        let audience = claims["aud"].as_array()?;
        if !audience.iter().any(|one| one == ISSUER) {
            return None;
        }
        service_account(&claims, store)
    }

    fn claims(&self, token: &str) -> Option<Value> {
        let (body, signature) = token.rsplit_once('.')?;
        hmac::verify(&self.key, body.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        let claims = BASE64.decode(body.split_once('.')?.1).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let now = clock::now().unix_timestamp();
        let epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let made: i128 = claims["drover.test/made"].as_str()?.parse().ok()?;
        let good = claims["exp"].as_i64().is_none_or(|until| until > now)
            && made >= epoch.unix_timestamp_nanos();
        good.then_some(claims)
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

fn service_account(claims: &Value, store: &Store) -> Option<User> {
    let about = &claims["kubernetes.io"];
    let (namespace, name) =
        (about["namespace"].as_str()?, about["serviceaccount"]["name"].as_str()?);
    let uid = about["serviceaccount"]["uid"].as_str()?;
    let accounts = (String::new(), "serviceaccounts".to_owned());
    if !store.has_uid(&accounts, namespace, name, uid) {
        return None;
    }
    let mut user = User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ],
        extra: BTreeMap::new(),
    };
    if let Some(pod) = about["pod"]["name"].as_str() {
        let pods = (String::new(), "pods".to_owned());
        let pod_uid = about["pod"]["uid"].as_str()?;
        if !store.has_uid(&pods, namespace, pod, pod_uid) {
            return None;
        }
        let mut note = |key: &str, value: &str| {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()])
        };
        note("pod-name", pod);
        note("pod-uid", pod_uid);
    }
    if let Some(id) = claims["jti"].as_str() {
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        user.extra.insert(key, vec![format!("JTI={id}")]);
    }
    authenticated(&mut user.groups);
    Some(user)
}

/// Who asks. A token that is not good is refused; without one the certificate counts, and without
/// that the caller is nobody.
///
/// # Errors
/// With a token that is not good.
pub fn authenticate(
    headers: &HeaderMap,
    certificate: Option<&(String, Vec<String>)>,
    tokens: &Tokens,
    store: &Store,
) -> Result<User> {
    if let Some((name, groups)) = certificate {
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        return Ok(User::named(name, &groups));
    }
    let bearer = headers
        .get(hyper::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
        .or_else(|| websocket_token(headers));
    match bearer {
        Some(token) => tokens.user(&token, store).ok_or_else(ApiError::unauthorized),
        None => Ok(User::anonymous()),
    }
}

/// Browsers have no header to put a token in, and send it as a protocol.
fn websocket_token(headers: &HeaderMap) -> Option<String> {
    let protocols = headers.get("sec-websocket-protocol")?.to_str().ok()?;
    let token = protocols.split(',').find_map(|protocol| {
        protocol.trim().strip_prefix("base64url.bearer.authorization.k8s.io.")
    })?;
    String::from_utf8(BASE64.decode(token).ok()?).ok()
}

/// As whom the caller wants to be taken, if they may.
///
/// # Errors
/// When they may not, or ask for groups without a user.
pub fn impersonate(
    headers: &HeaderMap,
    caller: &User,
    authorizer: &Authorizer,
) -> Result<Option<User>> {
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let name = all("impersonate-user").into_iter().next().unwrap_or_default();
    let uid = all("impersonate-uid").into_iter().next().unwrap_or_default();
    let groups = all("impersonate-group");
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers {
        if let Some(key) = header.as_str().strip_prefix("impersonate-extra-") {
            let key = crate::request::decode(key, false);
            extra.entry(key).or_default().push(value.to_str().unwrap_or_default().to_owned());
        }
    }
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        return Err(ApiError::internal("requested impersonation without impersonating a user"));
    }
    let check = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            verb: "impersonate",
            group,
            resource,
            subresource: sub,
            namespace,
            name,
            path: "",
            is_resource: true,
        };
        let decision = authorizer.decide(caller, &attributes);
        if decision.allowed {
            return Ok(());
        }
        let about = About { group, resource, name };
        Err(ApiError::forbidden(about, &attributes.refusal(caller, &decision.reason)))
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => check("", "serviceaccounts", "", namespace, name)?,
        None => check("", "users", "", "", &name)?,
    }
    for group in &groups {
        check("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        check("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            check("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    let mut user = User { name, uid, groups, extra };
    if let (Some((namespace, _)), true) = (account_of(&user.name), user.groups.is_empty()) {
        user.groups.push("system:serviceaccounts".to_owned());
        user.groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    if user.name == "system:anonymous" {
        let nobody = "system:unauthenticated".to_owned();
        if !user.groups.contains(&nobody) {
            user.groups.push(nobody);
        }
    } else if !user.groups.iter().any(|group| group == "system:unauthenticated") {
        authenticated(&mut user.groups);
    }
    Ok(Some(user))
}

fn account_of(name: &str) -> Option<(String, String)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}
