//! Puts the state and the router together.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use drover_api::{Change, Problem, Topic};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use time::OffsetDateTime;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, DefaultPredicate, Predicate},
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::{
    access::{self, Identities},
    agents, audit, auth, catalog,
    clusters::{self, cattle::Cattle, kubernetes::Kubernetes, swarm::Swarms},
    config::Settings,
    docker_api, environments,
    error::{Error, Result},
    events::{self, Bus},
    extract,
    hosts::{self, Hosts},
    kubernetes_api, openapi, operations,
    passing::IsNotRaw,
    providers::{self, Providers},
    scim,
    secrets::{self, Cipher, CipherError},
    settings, stacks,
    tunnel::{self, Tunnels},
    users, web,
};

/// Longer than a browser waits; work that takes longer is an operation.
const SLOWEST_START: Duration = Duration::from_secs(5);

/// What every handler and task shares. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<AppState>);

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

/// See [`App`].
pub struct AppState {
    /// The settings of the command line.
    pub settings: Settings,
    /// PostgreSQL.
    pub db: PgPool,
    /// Seals secrets at rest.
    pub cipher: Arc<Cipher>,
    /// Who sessions and API keys stand for.
    pub identities: Arc<Identities>,
    /// Live changes.
    pub events: Bus,
    /// Drover's own engine.
    pub cattle: Cattle,
    /// The swarms that environments stand on.
    pub swarms: Swarms,
    /// The Kubernetes clusters.
    pub kubernetes: Kubernetes,
    /// The hosts, and what is on them.
    pub hosts: Hosts,
    /// The tunnels of agents.
    pub tunnels: Tunnels,
    /// The connections to identity providers.
    pub providers: Providers,
    /// The projects of stacks, as they were read.
    pub projects: stacks::Projects,
    /// Prometheus metrics.
    pub metrics: PrometheusHandle,
    /// The OpenAPI document, as JSON.
    pub openapi: String,
    /// When this process was started.
    pub started_at: OffsetDateTime,
    sessions: auth::SessionStore,
}

impl App {
    /// Puts the state together.
    pub fn new(settings: Settings, db: PgPool, cipher: Cipher, metrics: PrometheusHandle) -> Self {
        let sessions = auth::SessionStore::new(db.clone());
        let cipher = Arc::new(cipher);
        let events = Bus::new(db.clone());
        Self(Arc::new(AppState {
            identities: Arc::new(Identities::new(db.clone(), sessions.clone())),
            tunnels: Tunnels::new(db.clone(), events.replica(), cipher.clone()),
            events,
            cattle: Cattle::default(),
            swarms: Swarms::default(),
            kubernetes: Kubernetes::default(),
            hosts: Hosts::new(),
            providers: Providers::default(),
            projects: stacks::Projects::default(),
            openapi: openapi::document(),
            started_at: OffsetDateTime::now_utc(),
            settings,
            db,
            cipher,
            metrics,
            sessions,
        }))
    }

    /// Starts the tasks that every domain runs beside requests.
    pub fn spawn_tasks(&self) {
        hosts::spawn(self.clone());
        tunnel::spawn(self.clone());
        agents::spawn(self);
        clusters::start(self);
        tokio::spawn(environments::finish_removals(self.clone()));
        catalog::start(self);
        providers::start(self);
        let app = self.clone();
        tokio::spawn(async move {
            let identities = app.identities.clone();
            app.events.clone().listen(move || identities.invalidate()).await;
        });
        let app = self.clone();
        tokio::spawn(async move {
            let mut timer = tokio::time::interval(Duration::from_secs(600));
            loop {
                timer.tick().await;
                if let Err(error) = app.sweep().await {
                    tracing::warn!(%error, "cannot sweep ended sessions");
                }
            }
        });
    }
}

impl AppState {
    /// Something has changed that decides who may do what: forgets what was cached about it, here
    /// and on the other replicas, and tells the browsers.
    pub async fn access_changed(&self, topic: Topic, environment: Option<Uuid>, id: impl ToString) {
        self.identities.invalidate();
        self.events.publish_access(events::event(topic, environment, id, Change::Updated)).await;
    }

    /// The same for what no page shows: sessions and API keys.
    pub async fn access_changed_quietly(&self) {
        self.access_changed(Topic::User, None, "").await;
    }

    /// Whether the database answers.
    pub async fn check_database(&self) -> Result<()> {
        let ping = async {
            self.db.acquire().await?;
            sqlx::query("SELECT 1").execute(&self.db).await
        };
        match tokio::time::timeout(SLOWEST_START, ping).await {
            Ok(answer) => answer.map(drop).map_err(Error::from),
            Err(_) => {
                Err(Error::unavailable("database_unavailable", "The database does not answer."))
            }
        }
    }

    async fn sweep(&self) -> sqlx::Result<()> {
        auth::sweep(&self.db).await?;
        providers::sweep(&self.db).await?;
        crate::idempotency::store::sweep(&self.db).await?;
        Ok(())
    }
}

/// Every documented route. A new domain adds its router here.
pub fn api_router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(auth::router())
        .merge(users::router())
        .merge(providers::router())
        .merge(environments::router())
        .merge(events::router())
        .merge(audit::router())
        .merge(settings::router())
        .merge(hosts::router())
        .merge(agents::router())
        .merge(tunnel::router())
        .merge(operations::router())
        .merge(stacks::router())
        .merge(clusters::swarm::router())
        .merge(clusters::kubernetes::router())
        .merge(secrets::router())
        .merge(catalog::router())
        .merge(scim::router())
        .merge(docker_api::router())
        .merge(kubernetes_api::router())
}

/// The whole service.
pub fn router(app: App) -> Router {
    let (api, _) = api_router().split_for_parts();
    let idle = time::Duration::hours(app.settings.session_idle_hours.into());
    let sessions = SessionManagerLayer::new(app.sessions.clone())
        .with_name("drover_session")
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_secure(app.settings.secure())
        .with_expiry(Expiry::OnInactivity(idle));
    api.merge(web::router())
        .merge(agents::web_router())
        .merge(docker_api::proxy_router())
        .merge(kubernetes_api::proxy_router())
        .merge(clusters::kubernetes::web_router())
        .route_layer(middleware::from_fn_with_state(app.clone(), access::enforce))
        .fallback(|| async { Error::not_found("page") })
        .method_not_allowed_fallback(|| async {
            Error::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not take this method.",
            )
        })
        .layer(sessions)
        .layer(DefaultBodyLimit::max(extract::LARGEST_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), web::secure_headers))
        .layer(CatchPanicLayer::custom(|_| Error::internal("a handler panicked").into_response()))
        .layer(middleware::from_fn(name_request))
        // Outside of what rewrites bodies.
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(IsNotRaw)))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(NewRequestId))
        .with_state(app)
}

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = Uuid::now_v7().simple().to_string();
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// The address without its query: a query can hold what a log must not.
fn span(request: &Request) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = logged_path(request.uri().path()),
        request_id = id.unwrap_or_default(),
    )
}

/// An address that lets somebody in is a secret itself.
fn logged_path(path: &str) -> &str {
    if path.starts_with("/k8s/forward/") { "/k8s/forward/…" } else { path }
}

/// Puts the request's id into problems, and ignores ids that clients send: they could not be
/// trusted in the log.
async fn name_request(mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.header_value().clone());
    if let Some(id) = &id {
        request.headers_mut().insert(HeaderName::from_static("x-request-id"), id.clone());
    }
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else {
        return response;
    };
    let mut problem = problem.clone();
    problem.request_id = id.and_then(|id| id.to_str().ok().map(str::to_owned));
    let (mut parts, _) = response.into_parts();
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body.into())
}

/// Why the encryption key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none, and the secrets of a shared database need one.
    #[error(
        "DROVER_ENCRYPTION_KEY is not set: with DATABASE_URL it must be (make one with `openssl rand -base64 32` and keep a copy)"
    )]
    Missing,
    /// It is malformed, or not the one that this database's secrets were sealed with.
    #[error("DROVER_ENCRYPTION_KEY: {0}")]
    Cipher(#[from] CipherError),
    /// The generated one cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Where it is.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database does not answer.
    #[error("cannot check the encryption key: {0}")]
    Database(#[from] sqlx::Error),
}

/// The cipher under the key of the settings; without one, and with a private database, under one
/// that is made in the data directory.
pub fn cipher(settings: &Settings) -> Result<Cipher, KeyError> {
    if let Some(key) = &settings.encryption_key {
        return Ok(Cipher::new(key)?);
    }
    if settings.database_url.is_some() {
        return Err(KeyError::Missing);
    }
    let path = settings.data_dir().join("encryption.key");
    let key = read_or_make_key(&path).map_err(|source| KeyError::File { path, source })?;
    Ok(Cipher::new(&key)?)
}

fn read_or_make_key(path: &std::path::Path) -> std::io::Result<SecretString> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    if path.exists() {
        return std::fs::read_to_string(path).map(SecretString::from);
    }
    let key = Cipher::generate_key();
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()?;
    Ok(key)
}

/// Makes sure that this is the key that the database's secrets were sealed with, at the start
/// rather than at the first use.
pub async fn check_key(db: &PgPool, cipher: &Cipher) -> Result<(), KeyError> {
    let known = settings::key_check(db, &cipher.seal(b"drover")).await?;
    cipher.open(&known)?;
    Ok(())
}
