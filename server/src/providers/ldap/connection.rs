//! Connections to a directory: one that the service account searches through, shared by all, and a
//! few through which people's passwords are checked.
//!
//! The first server that answers is used; one that has failed is tried last for a while. A
//! connection that broke is made anew at the next request, so that a directory that was down is
//! found again without anybody's doing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use drover_api::{DirectoryConnection, DirectorySecurity, TestStepKind};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, StdStream};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    net::TcpStream,
    sync::{Mutex, Semaphore},
    time::timeout,
};

use super::{
    search::{self, Found, Query, SearchError},
    trouble::{self, Trouble, code},
};
use crate::providers::{ProviderError, Steps, tls};

/// Firewalls forget connections that say nothing, and then answer nothing at all.
const IDLE: Duration = Duration::from_secs(60);
/// How long a server that has failed is tried last.
const AVOID: Duration = Duration::from_secs(30);
/// Passwords that are checked at the same time.
const BINDS: usize = 32;
/// Connections kept for that.
const KEPT: usize = BINDS;

/// The ports that a directory has by default: with TLS from the first byte, and without.
pub(crate) const LDAP_PORTS: (u16, u16) = (636, 389);
/// Those of Active Directory's global catalog.
pub(crate) const CATALOG_PORTS: (u16, u16) = (3269, 3268);

/// A directory and how to reach it.
pub(crate) struct Directory {
    servers: Vec<Server>,
    security: DirectorySecurity,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    search_timeout: Duration,
    account: Option<(String, SecretString)>,
    service: Mutex<Service>,
    opened: AtomicU64,
    binds: Semaphore,
    kept: std::sync::Mutex<Vec<Open>>,
}

/// The service account's connection.
#[derive(Default)]
struct Service {
    open: Option<Open>,
    /// When the last try ended badly, for those who waited meanwhile.
    failed: Option<(Instant, Trouble)>,
}

/// An open connection.
#[derive(Clone)]
struct Open {
    ldap: Ldap,
    /// Of which of the servers.
    server: usize,
    /// To tell it from the one that took its place.
    number: u64,
    used: Instant,
}

impl Open {
    fn is_usable(&mut self) -> bool {
        self.used.elapsed() < IDLE && !self.ldap.is_closed()
    }
}

/// One of its servers.
struct Server {
    host: String,
    port: u16,
    avoid_until: std::sync::Mutex<Option<Instant>>,
}

impl Server {
    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn is_avoided(&self) -> bool {
        let until = self.avoid_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn avoid(&self, yes: bool) {
        let mut until = self.avoid_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *until = yes.then(|| Instant::now() + AVOID);
    }
}

/// Host and port of `host`, `host:port`, `[address]` or `[address]:port`.
pub(crate) fn parse_server(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (format!("[{address}]"), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let letters = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let named = host.len() <= 253
        && host.split('.').all(|part| (1..=63).contains(&part.len()) && letters(part));
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => default_port,
    };
    (named || host.starts_with('[')).then_some((host, port))
}

impl Directory {
    /// Settings that can be used; nothing is connected yet.
    pub(crate) fn new(
        config: &DirectoryConnection,
        (tls_port, plain_port): (u16, u16),
        secret: Option<SecretString>,
    ) -> Result<Self, ProviderError> {
        let port = match config.security {
            DirectorySecurity::Ldaps => tls_port,
            DirectorySecurity::StartTls | DirectorySecurity::Plain => plain_port,
        };
        let servers = config.servers.iter().map(|text| {
            let (host, port) = parse_server(text.trim(), port).ok_or_else(|| {
                ProviderError::Misconfigured(format!("`{text}` is not the name of a server."))
            })?;
            Ok(Server { host, port, avoid_until: std::sync::Mutex::default() })
        });
        let servers: Vec<_> = servers.collect::<Result<_, ProviderError>>()?;
        if servers.is_empty() {
            return Err(ProviderError::Misconfigured("No server is entered.".into()));
        }
        let tls = match config.security {
            DirectorySecurity::Plain => None,
            _ => Some(tls::client_config(config.ca.as_deref())?),
        };
        Ok(Self {
            servers,
            security: config.security,
            tls,
            connect_timeout: Duration::from_secs(
                config.connect_timeout_seconds.clamp(1, 60).into(),
            ),
            search_timeout: Duration::from_secs(config.search_timeout_seconds.clamp(1, 120).into()),
            account: service_account(config, secret)?,
            service: Mutex::default(),
            opened: AtomicU64::new(0),
            binds: Semaphore::new(BINDS),
            kept: std::sync::Mutex::default(),
        })
    }

    /// Connects anew, whatever is open already, and signs in with the service account.
    pub(crate) async fn try_anew(&self, steps: &mut Steps) -> Result<(), Trouble> {
        self.open_service(steps).await.map(drop)
    }

    /// Sees to it that the service account's connection is there, and notes how.
    pub(crate) async fn ready(&self, steps: &mut Steps) -> Result<(), Trouble> {
        self.service(steps).await.map(drop)
    }

    /// Searches, once more with a new connection when the one that was there is of no use.
    pub(crate) async fn search(&self, query: &Query<'_>) -> Result<Found, Trouble> {
        match self.search_if_there(query).await? {
            Some(found) => Ok(found),
            None => Err(trouble::no_base(query.step, query.base)),
        }
    }

    /// The same; `None` when the entry to begin at is not there.
    pub(crate) async fn search_if_there(
        &self,
        query: &Query<'_>,
    ) -> Result<Option<Found>, Trouble> {
        let mut again = true;
        loop {
            let (open, reused) = self.service(&mut Steps::default()).await?;
            let server = &self.servers[open.server];
            let error = match search::once(&open.ldap, query, self.search_timeout).await {
                Ok(found) if query.all && found.more && found.entries.len() < query.limit => {
                    return self.search_pages(query).await.map(Some);
                }
                Ok(found) => return Ok(Some(found)),
                Err(error) => error,
            };
            let (error, other_server) = match error {
                SearchError::Refused(result) if result.rc == code::NO_SUCH_OBJECT => {
                    return Ok(None);
                }
                SearchError::Refused(result) => {
                    let busy = matches!(result.rc, code::BUSY | code::UNAVAILABLE);
                    let error =
                        trouble::search_refused(query.step, &server.name(), query.base, &result);
                    if !busy {
                        return Err(error);
                    }
                    (error, true)
                }
                SearchError::Lost(error) => {
                    let slow = matches!(error, LdapError::Timeout { .. });
                    (trouble::lost(query.step, &server.name(), &error), slow)
                }
            };
            self.forget(&open, other_server).await;
            let useful = if other_server { self.servers.len() > 1 } else { reused };
            if !(again && useful) {
                return Err(error);
            }
            again = false;
        }
    }

    /// Searches page by page, through a connection of its own.
    async fn search_pages(&self, query: &Query<'_>) -> Result<Found, Trouble> {
        let open = self.open_service(&mut Steps::default()).await?;
        let server = self.servers[open.server].name();
        match search::paged(&open.ldap, query, self.search_timeout).await {
            Ok(found) => Ok(found),
            Err(SearchError::Refused(result)) => {
                Err(trouble::search_refused(query.step, &server, query.base, &result))
            }
            Err(SearchError::Lost(error)) => Err(trouble::lost(query.step, &server, &error)),
        }
    }

    /// Checks a password by signing in as the person. The connections for this are for nothing
    /// else, and each use begins with the bind, so that nobody acts as the person before.
    pub(crate) async fn bind(
        &self,
        dn: &str,
        password: &SecretString,
    ) -> Result<(String, LdapResult), Trouble> {
        let step = TestStepKind::UserBind;
        if dn.is_empty() || password.expose_secret().is_empty() {
            // An unauthenticated bind (RFC 4513, 5.1.2) would succeed.
            return Err(Trouble::wrong_credentials(step, "The password is empty.", None));
        }
        let waited = timeout(self.search_timeout, self.binds.acquire()).await;
        let Ok(Ok(_permit)) = waited else {
            let error = ProviderError::Unavailable(
                "Too many people are signing in at once. Try again.".into(),
            );
            return Err(Trouble::new(step, error, None));
        };
        loop {
            let kept = self.take_kept();
            let reused = kept.is_some();
            let mut open = match kept {
                Some(open) => open,
                None => self.open(&mut Steps::default()).await?,
            };
            let server = self.servers[open.server].name();
            let bind = open.ldap.simple_bind(dn, password.expose_secret());
            match timeout(self.search_timeout, bind).await {
                Ok(Ok(result)) => {
                    self.keep(open);
                    return Ok((server, result));
                }
                // It broke while nobody used it.
                Ok(Err(_)) if reused => {}
                Ok(Err(error)) => return Err(trouble::lost(step, &server, &error)),
                Err(elapsed) => {
                    self.servers[open.server].avoid(true);
                    return Err(trouble::lost(step, &server, &elapsed.into()));
                }
            }
        }
    }

    fn take_kept(&self) -> Option<Open> {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Some(mut open) = kept.pop() {
            let hangs = self.servers.len() > 1 && self.servers[open.server].is_avoided();
            if open.is_usable() && !hangs {
                return Some(open);
            }
        }
        None
    }

    fn keep(&self, mut open: Open) {
        open.used = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.retain_mut(Open::is_usable);
        if kept.len() < KEPT {
            kept.push(open);
        }
    }

    /// The service account's connection, and whether it was there before.
    async fn service(&self, steps: &mut Steps) -> Result<(Open, bool), Trouble> {
        let began = Instant::now();
        let mut service = self.service.lock().await;
        if let Some(open) = &mut service.open
            && open.is_usable()
        {
            open.used = began;
            let name = self.servers[open.server].name();
            steps.ok(TestStepKind::Connection, format!("The connection to {name} is open."));
            steps.ok(TestStepKind::Bind, self.account_note());
            return Ok((open.clone(), true));
        }
        if let Some((at, trouble)) = &service.failed
            && *at >= began
        {
            return Err(trouble.clone());
        }
        service.open = None;
        match self.open_service(steps).await {
            Ok(open) => {
                service.failed = None;
                service.open = Some(open.clone());
                Ok((open, false))
            }
            Err(trouble) => {
                service.failed = Some((Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }

    /// Uses it no more, and for a while another server.
    async fn forget(&self, broken: &Open, other_server: bool) {
        if other_server {
            self.servers[broken.server].avoid(true);
        }
        let mut service = self.service.lock().await;
        if service.open.as_ref().is_some_and(|open| open.number == broken.number) {
            service.open = None;
        }
    }

    async fn open_service(&self, steps: &mut Steps) -> Result<Open, Trouble> {
        let Some((name, password)) = &self.account else {
            let open = self.open(steps).await?;
            steps.ok(TestStepKind::Bind, self.account_note());
            return Ok(open);
        };
        let mut last = None;
        // Once more when a server that takes connections is not ready for more than that.
        for _ in 0..self.servers.len() {
            let mut open = self.open(steps).await?;
            let server = &self.servers[open.server];
            let bind = open.ldap.simple_bind(name, password.expose_secret());
            let trouble = match timeout(self.search_timeout, bind).await {
                Ok(Ok(result)) if result.rc == 0 => {
                    steps.ok(TestStepKind::Bind, self.account_note());
                    return Ok(open);
                }
                Ok(Ok(result)) => trouble::service_refused(&server.name(), name, &result),
                Ok(Err(error)) => trouble::lost(TestStepKind::Bind, &server.name(), &error),
                Err(elapsed) => trouble::lost(TestStepKind::Bind, &server.name(), &elapsed.into()),
            };
            if !matches!(trouble.error, ProviderError::Unavailable(_)) {
                return Err(trouble);
            }
            server.avoid(true);
            last = Some(trouble);
        }
        Err(last.unwrap_or_else(no_server))
    }

    fn account_note(&self) -> String {
        match &self.account {
            Some((name, _)) => format!("Signed in as {name}."),
            None => "There is no service account: searches are anonymous.".into(),
        }
    }

    /// Connects to the first server that answers, those that have failed lately last.
    async fn open(&self, steps: &mut Steps) -> Result<Open, Trouble> {
        let (good, bad): (Vec<usize>, Vec<usize>) =
            (0..self.servers.len()).partition(|index| !self.servers[*index].is_avoided());
        let mut failed: Vec<Trouble> = Vec::new();
        for index in good.into_iter().chain(bad) {
            let server = &self.servers[index];
            let before: String =
                failed.iter().map(|failed| format!(" {}", failed.message)).collect();
            match self.open_one(server, &before, steps).await {
                Ok(ldap) => {
                    server.avoid(false);
                    let number = self.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok(Open { ldap, server: index, number, used: Instant::now() });
                }
                Err(trouble) => {
                    server.avoid(true);
                    failed.push(trouble);
                }
            }
        }
        Err(all_failed(failed))
    }

    async fn open_one(
        &self,
        server: &Server,
        before: &str,
        steps: &mut Steps,
    ) -> Result<Ldap, Trouble> {
        let name = server.name();
        let address = (server.host.trim_matches(['[', ']']), server.port);
        let connected = timeout(self.connect_timeout, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.into_std()
            })
            .map_err(|error| trouble::unreachable(&name, &error))?;
        steps.ok(TestStepKind::Connection, format!("Connected to {name}.{before}"));
        let mut settings = LdapConnSettings::new()
            .set_starttls(self.security == DirectorySecurity::StartTls)
            .set_std_stream(StdStream::Tcp(stream));
        if let Some(tls) = &self.tls {
            settings = settings.set_config(tls.clone());
        }
        let scheme = if self.security == DirectorySecurity::Ldaps { "ldaps" } else { "ldap" };
        let url = format!("{scheme}://{name}");
        let shaken = timeout(self.connect_timeout, LdapConnAsync::with_settings(settings, &url));
        let (connection, ldap) = shaken
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(|error| trouble::no_tls(&name, &error))?;
        // It ends when the last handle is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to a directory has ended");
            }
        });
        let note = match self.security {
            DirectorySecurity::Plain => "No TLS: passwords cross the network in the clear.",
            DirectorySecurity::Ldaps => "TLS is on, and the certificate is trusted.",
            DirectorySecurity::StartTls => "StartTLS went well, and the certificate is trusted.",
        };
        steps.ok(TestStepKind::Tls, note);
        Ok(ldap)
    }
}

fn service_account(
    config: &DirectoryConnection,
    secret: Option<SecretString>,
) -> Result<Option<(String, SecretString)>, ProviderError> {
    if config.bind_dn.trim().is_empty() {
        return Ok(None);
    }
    // With an empty password it would be an unauthenticated bind.
    match secret.filter(|secret| !secret.expose_secret().is_empty()) {
        Some(secret) => Ok(Some((config.bind_dn.trim().to_owned(), secret))),
        None => {
            let message = "The service account has no password: enter it.";
            Err(ProviderError::Misconfigured(message.into()))
        }
    }
}

fn no_server() -> Trouble {
    let error = ProviderError::Misconfigured("No server is entered.".into());
    Trouble::new(TestStepKind::Connection, error, None)
}

/// All of them, in the words of each; the first one's kind, as that server is the first choice.
fn all_failed(failed: Vec<Trouble>) -> Trouble {
    let messages: Vec<&str> = failed.iter().map(|trouble| trouble.message.as_str()).collect();
    let message = messages.join(" ");
    let details: Vec<&str> =
        failed.iter().filter_map(|trouble| trouble.detail.as_deref()).collect();
    let detail = trouble::words(&details.join("; "));
    // What passes by itself counts, if it is true of any.
    let passes = |trouble: &&Trouble| matches!(trouble.error, ProviderError::Unavailable(_));
    let Some(leading) = failed.iter().find(passes).or(failed.first()) else { return no_server() };
    let error = match leading.error {
        ProviderError::Misconfigured(_) => ProviderError::Misconfigured(message),
        _ => ProviderError::Unavailable(message),
    };
    // The step that got furthest says most.
    let tls = failed.iter().any(|trouble| trouble.step == TestStepKind::Tls);
    let step = if tls { TestStepKind::Tls } else { TestStepKind::Connection };
    Trouble::new(step, error, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers() {
        let parse = |text| parse_server(text, 636);
        assert_eq!(parse("ldap1"), Some(("ldap1".into(), 636)));
        assert_eq!(parse("ldap1.example.com:1636"), Some(("ldap1.example.com".into(), 1636)));
        assert_eq!(parse("127.0.0.1:1"), Some(("127.0.0.1".into(), 1)));
        assert_eq!(parse("[::1]:389"), Some(("[::1]".into(), 389)));
        assert_eq!(parse("[::1]"), Some(("[::1]".into(), 636)));
        for bad in
            ["", ":636", "a b", "ldap://a", "a:0", "a:70000", "a:b", "::1", "[x]", "a..b", "a/"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
