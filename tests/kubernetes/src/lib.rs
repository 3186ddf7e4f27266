//! A strict stand-in for the Kubernetes API server, for tests and benchmarks where no cluster is
//! at hand. It is written from Kubernetes' public API documentation, and where it does not know it
//! refuses: a test that passes here is meant to pass against a real cluster.
//!
//! # What it imitates
//! - Discovery (both forms), OpenAPI v2 and v3, health checks, versions.
//! - All everyday built-in kinds with defaults, validation, immutable fields, generations,
//!   finalizers, owner references and the three ways to delete; CustomResourceDefinitions.
//! - Lists with pages, selectors and versions; watches with bookmarks, resumption and expiry;
//!   tables with the columns of the real printers; metadata alone.
//! - Create, update, the four kinds of patches, apply with managers and conflicts, dry runs, field
//!   validation.
//! - Client certificates, tokens, impersonation, RBAC with escalation checks, access reviews, an
//!   audit log.
//! - Pod Security, quotas, limit ranges, validating webhooks, namespaces that end.
//! - Controllers, a scheduler and kubelets that run commands as real processes, with logs, exec,
//!   attach, port-forward and proxy over WebSocket and SPDY.
//! - Faults on demand ([`Faults`], and the methods of [`ApiServer`]).
//!
//! # What it does not
//! - Protobuf beyond what typed clients send for everyday kinds, CBOR, conversion webhooks, mutating
//!   webhooks, CEL rules, admission policies, aggregated API servers other than the metrics that it
//!   makes up.
//! - Networks between pods, real images, terminals whose size changes.
//! - Priority and fairness; what comes too fast is not held back unless a test says so.
//!
//! # How it is put together
//! `server` takes a request through authentication, impersonation and RBAC to `handlers`; these
//! ask `admission` and `validation`, and write to `store`, from whose changes watches are fed.
//! `controllers` look at the store like anybody else. `resources` is the table of kinds, `schema`
//! what they look like, `table` how they are printed.

mod admission;
mod apply;
pub mod audit;
mod authn;
mod bootstrap;
mod certificates;
mod clock;
mod cluster;
mod controllers;
mod convert;
mod custom;
mod defaults;
mod discovery;
mod disruption;
mod faults;
mod finish;
mod handlers;
mod load;
mod metrics;
mod names;
mod openapi;
mod rbac;
mod request;
mod resources;
mod respond;
mod schema;
mod selectors;
mod server;
mod status;
mod store;
mod streams;
mod table;
mod validation;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use crate::{
    authn::User,
    cluster::Options,
    faults::{Faults, WatchFault},
    load::Load,
};
use crate::{certificates::Authority, cluster::Cluster, server::Tls};

/// How a stand-in is to be.
#[derive(Debug, Default)]
pub struct Builder {
    options: Options,
    port: u16,
    load: Option<Load>,
}

impl Builder {
    /// Listens on that port of the loopback address, and not on any that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How many changes of each resource are kept: older versions are expired.
    pub fn kept_changes(mut self, changes: usize) -> Self {
        self.options.kept_changes = changes;
        self
    }

    /// How often watches get a bookmark.
    pub fn bookmark_every(mut self, time: Duration) -> Self {
        self.options.bookmark_every = time;
        self
    }

    /// Whether controllers and kubelets run.
    pub fn controllers(mut self, on: bool) -> Self {
        self.options.controllers = on;
        self
    }

    /// Whether metrics.k8s.io is served.
    pub fn metrics(mut self, on: bool) -> Self {
        self.options.metrics = on;
        self
    }

    /// How many nodes there are.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.options.nodes = nodes;
        self
    }

    /// The minor version that the server says it has.
    pub fn minor_version(mut self, minor: u32) -> Self {
        self.options.version = (minor, 0);
        self
    }

    /// Filled with that much, which changes at a rate. Controllers do not run then: what is there
    /// is made up.
    pub fn load(mut self, load: Load) -> Self {
        self.load = Some(load);
        self.options.controllers = false;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When there is no port or no randomness.
    pub async fn start(self) -> std::io::Result<ApiServer> {
        let authority = Authority::new("kubernetes").map_err(std::io::Error::other)?;
        let store = Arc::new(store::Store::new(self.options.kept_changes));
        let cluster = Arc::new(Cluster {
            options: self.options,
            authorizer: rbac::Authorizer::new(Arc::clone(&store)),
            store,
            catalog: resources::Catalog::new(),
            authority,
            tokens: authn::Tokens::new(),
            audit: audit::Log::default(),
            faults: Faults::default(),
            containers: streams::Containers::default(),
        });
        bootstrap::fill(&cluster);
        custom::refresh(&cluster);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let address = listener.local_addr()?;
        let names = server_names();
        let server = cluster.authority.server(&names).map_err(std::io::Error::other)?;
        let config = cluster.authority.server_config(&server).map_err(std::io::Error::other)?;
        let tls = Arc::new(Tls::new(config));
        let mut tasks =
            vec![tokio::spawn(server::accept(Arc::clone(&cluster), listener, Arc::clone(&tls)))];
        if let Some(load) = self.load {
            load::fill(&cluster, &load);
            tasks.push(tokio::spawn(load::churn(Arc::clone(&cluster), load)));
        }
        if cluster.options.controllers {
            tasks.extend(controllers::start(&cluster));
        }
        Ok(ApiServer { cluster, address, tls, tasks })
    }
}

fn server_names() -> Vec<String> {
    [
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "10.96.0.1",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A running stand-in; it ends when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    cluster: Arc<Cluster>,
    address: SocketAddr,
    tls: Arc<Tls>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.cluster.faults.cut_connections();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl ApiServer {
    /// One to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:…`
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The authority's certificate as PEM.
    pub fn ca(&self) -> String {
        self.cluster.authority.pem()
    }

    /// The faults that can be switched on.
    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// Who did what.
    pub fn audit(&self) -> &audit::Log {
        &self.cluster.audit
    }

    /// A kubeconfig with a client certificate of a cluster administrator.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn admin_kubeconfig(&self) -> std::io::Result<String> {
        self.kubeconfig("kubernetes-admin", &["system:masters"])
    }

    /// A kubeconfig with a client certificate of that user and those groups.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> std::io::Result<String> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let client = self.cluster.authority.client(user, groups).map_err(std::io::Error::other)?;
        Ok(self.config_of(
            user,
            &json!({
                "client-certificate-data": STANDARD.encode(client.certificate_pem()),
                "client-key-data": STANDARD.encode(client.key_pem()),
            }),
        ))
    }

    /// A kubeconfig with a new token of that user and those groups, perhaps with an end.
    pub fn token_kubeconfig(
        &self,
        user: &str,
        groups: &[&str],
        good_for: Option<Duration>,
    ) -> String {
        let token = self.add_token(user, groups, good_for);
        self.config_of(user, &json!({"token": token}))
    }

    /// A new token of that user and those groups, perhaps with an end.
    pub fn add_token(&self, user: &str, groups: &[&str], good_for: Option<Duration>) -> String {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let until = good_for.map(|time| clock::now() + time);
        self.cluster.tokens.add(&token, User::named(user, groups), until);
        token
    }

    fn config_of(&self, user: &str, credentials: &Value) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "stand-in",
                "cluster": {
                    "server": self.url(),
                    "certificate-authority-data": STANDARD.encode(self.ca()),
                },
            }],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": user}}],
            "current-context": "stand-in",
            "preferences": {},
            "users": [{"name": user, "user": credentials}],
        });
        serde_norway::to_string(&config).unwrap_or_default()
    }

    /// No token that there is now is good from here on.
    pub fn expire_tokens(&self) {
        self.cluster.tokens.expire_all();
    }

    /// No token of that user is good from here on.
    pub fn expire_tokens_of(&self, user: &str) {
        self.cluster.tokens.expire(user);
    }

    /// Shows another certificate, of the same authority or of one that nobody knows, and cuts all
    /// connections.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn change_certificate(&self, known_authority: bool) -> std::io::Result<()> {
        let signer = if known_authority {
            self.cluster.authority.clone()
        } else {
            Authority::new("another").map_err(std::io::Error::other)?
        };
        let server = signer.server(&server_names()).map_err(std::io::Error::other)?;
        let config =
            self.cluster.authority.server_config(&server).map_err(std::io::Error::other)?;
        self.tls.set(config);
        self.cluster.faults.cut_connections();
        Ok(())
    }

    /// As after a restart: all connections end, and the changes that were kept are forgotten.
    pub fn restart(&self) {
        self.cluster.store.expire_changes();
        self.cluster.faults.cut_connections();
    }

    /// Is not there for a while.
    pub async fn gone_for(&self, time: Duration) {
        self.cluster.faults.set_away(true);
        tokio::time::sleep(time).await;
        self.cluster.faults.set_away(false);
    }

    /// Writes that many events a second into a namespace, for a while (longer where the machine is
    /// too slow); answers how many there were.
    pub fn events(
        &self,
        namespace: &str,
        per_second: u32,
        time: Duration,
    ) -> impl Future<Output = u64> + Send + use<> {
        load::events(Arc::clone(&self.cluster), namespace.to_owned(), per_second, time)
    }

    /// Forgets old changes, so that watches from older versions are expired.
    pub fn expire_versions(&self) {
        self.cluster.store.expire_changes();
    }
}
