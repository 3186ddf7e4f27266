//! Sign-in through LDAP: what it adds to the directory's own time, many at once, all groups read
//! again, and the role check that all of it ends in. Against a real slapd with 10,000 people and
//! 1,000 groups nested 5 deep.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use drover_api::{LdapConfig, Provider};
use drover_tests::{
    Client, LDAP_PASSWORD, LDAP_SERVICE, LEVEL, Slapd, TestServer, connect, http_client,
    large_company, ldap_config, resident, user_dn,
};
use futures_util::StreamExt;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::{Row, milliseconds, percentile};

/// Sign-ins a second.
const RATE: u32 = 200;
/// For how long, seconds.
const SECONDS: u32 = 20;
/// People who are signed in when all groups are read again.
const REFRESHED: usize = 1000;

pub async fn rows() -> Vec<Row> {
    let slapd = Slapd::start_with("server", &large_company()).await;
    let mut rows = vec![one(&slapd).await];
    rows.extend(many(&slapd).await);
    rows.push(refresh(&slapd).await);
    rows
}

/// A server that lets everybody of the directory in.
struct Company {
    server: TestServer,
    admin: Client,
    provider: Uuid,
    /// Without cookies: each sign-in is a browser of its own.
    http: reqwest::Client,
}

impl Company {
    async fn start(slapd: &Slapd) -> Self {
        let server = TestServer::start().await;
        let admin = server.admin().await;
        let provider = connect(&admin, slapd, "Example Corp", "user9999").await.id;
        Self { server, admin, provider, http: http_client().build().unwrap() }
    }

    /// The status of the answer.
    fn sign_in(&self, number: usize) -> impl Future<Output = u16> + Send + use<> {
        let login = format!("user{number}");
        let body =
            json!({ "login": login, "password": LDAP_PASSWORD, "provider_id": self.provider });
        let request = self.http.post(format!("{}/v1/session", self.server.base())).json(&body);
        async move {
            match request.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    answer.bytes().await.map_or(0, |_| status)
                }
                Err(_) => 0,
            }
        }
    }
}

/// What the server asks the directory for a sign-in, asked without the server.
struct Directory {
    config: LdapConfig,
    service: Ldap,
    person: Ldap,
}

impl Directory {
    async fn connect(slapd: &Slapd) -> Self {
        let config = ldap_config(slapd);
        let url = format!("ldaps://{}", slapd.tls_server());
        let open = async || {
            let settings = LdapConnSettings::new().set_no_tls_verify(true);
            let (connection, ldap) = LdapConnAsync::with_settings(settings, &url).await.unwrap();
            tokio::spawn(connection.drive());
            ldap
        };
        let mut service = open().await;
        let (name, password) = LDAP_SERVICE;
        service.simple_bind(name, password).await.unwrap().success().unwrap();
        Self { config, service, person: open().await }
    }

    /// The DNs of the entries under `base` that match.
    async fn search(&mut self, base: &str, filter: &str, attributes: &[&str]) -> Vec<String> {
        let found = self.service.search(base, Scope::Subtree, filter, attributes).await.unwrap();
        let (entries, _) = found.success().unwrap();
        entries.into_iter().map(|entry| SearchEntry::construct(entry).dn).collect()
    }

    /// Finds the person, binds as them, and climbs from their groups until there are no more.
    async fn sign_in(&mut self, number: usize) {
        let login = format!("user{number}");
        let (users, groups) = (self.config.user_base.clone(), self.config.group_base.clone());
        let filter = format!("(&(objectClass=inetOrgPerson)(uid={login}))");
        let attributes = [
            "uid",
            "cn",
            "mail",
            "entryUUID",
            "gidNumber",
            "nsAccountLock",
            "pwdAccountLockedTime",
            "pwdReset",
        ];
        let found = self.search(&users, &filter, &attributes).await;
        let [dn] = found.as_slice() else { panic!("{login}: {found:?}") };
        assert_eq!(*dn, user_dn(&login));
        self.person.simple_bind(dn, LDAP_PASSWORD).await.unwrap().success().unwrap();
        let mut names = format!("(member={dn})(memberUid={login})");
        let mut all = 0;
        loop {
            let filter =
                format!("(&(|(objectClass=groupOfNames)(objectClass=posixGroup))(|{names}))");
            let found = self.search(&groups, &filter, &["cn", "entryUUID"]).await;
            if found.is_empty() {
                break;
            }
            all += found.len();
            names = found.iter().map(|dn| format!("(member={dn})")).collect();
        }
        assert_eq!(all, 5, "{login}");
    }
}

/// One after the other, in the directory alone and through the server by turns.
async fn one(slapd: &Slapd) -> Row {
    let company = Company::start(slapd).await;
    let mut directory = Directory::connect(slapd).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // No two have a group in common, of which the server would remember what is above it.
    for number in 0..LEVEL {
        for turn in 0..2 {
            let start = Instant::now();
            if (number + turn).is_multiple_of(2) {
                directory.sign_in(number).await;
                theirs.push(start.elapsed().as_secs_f64() * 1000.0);
            } else {
                assert_eq!(company.sign_in(number).await, 200);
                ours.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    let (whole, own) = (percentile(&mut ours, 50), percentile(&mut theirs, 50));
    let added = whole - own;
    Row {
        what: "Sign-in through LDAP at 1 user, beyond the directory's own time",
        goal: "< 10 ms",
        measured: format!(
            "{added:.1} ms (median {whole:.1} ms, directory alone {own:.1} ms, {LEVEL} sign-ins)"
        ),
        met: added < 10.0,
    }
}

/// As many each second, whether those before are done or not, each somebody who has not been here
/// before.
async fn many(slapd: &Slapd) -> [Row; 2] {
    let company = Company::start(slapd).await;
    let pid = company.server.pid();
    let before = resident(pid);
    let (send_most, most) = watch::channel(before);
    let sampler = tokio::spawn(async move {
        loop {
            send_most.send_modify(|most| *most = resident(pid).max(*most));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let total = RATE * SECONDS;
    let every = Duration::from_secs(1) / RATE;
    let mut waiting = JoinSet::new();
    let start = Instant::now();
    let mut due = start;
    for number in 0..total {
        tokio::time::sleep_until(due.into()).await;
        let answer = company.sign_in(number as usize);
        // From when it was due: waiting for the generator counts, too.
        let from = due;
        waiting.spawn(async move { (answer.await, from.elapsed().as_secs_f64() * 1000.0) });
        due += every;
    }
    let ended = waiting.join_all().await;
    let rate = f64::from(total) / start.elapsed().as_secs_f64();
    sampler.abort();
    let failures = ended.iter().filter(|(status, _)| *status != 200).count();
    let mut latencies: Vec<f64> = ended.into_iter().map(|(_, latency)| latency).collect();
    let (median, p99) = (percentile(&mut latencies, 50), percentile(&mut latencies, 99));
    let most = *most.borrow();
    let grown = most - before;
    [
        Row {
            what: "Sign-ins through LDAP, 10,000 users, 1,000 groups nested 5 deep",
            goal: "200/s",
            measured: format!(
                "{rate:.0}/s (median {median:.0} ms, p99 {p99:.0} ms, {failures} of {total} failed)"
            ),
            // The last ones end after the last was due.
            met: rate > 0.98 * f64::from(RATE) && failures == 0,
        },
        Row {
            what: "Resident memory that these sign-ins add, at most",
            goal: "< 40 MiB",
            measured: format!("{grown:.0} MiB (from {before:.0} to {most:.0} MiB)"),
            met: grown < 40.0,
        },
    ]
}

/// Reads the groups of all who are signed in again.
async fn refresh(slapd: &Slapd) -> Row {
    let company = Company::start(slapd).await;
    let mut sign_ins =
        futures_util::stream::iter((0..REFRESHED).map(|n| company.sign_in(n))).buffer_unordered(16);
    while let Some(status) = sign_ins.next().await {
        assert_eq!(status, 200);
    }
    let path = format!("/v1/identity-providers/{}", company.provider);
    let begun = time::OffsetDateTime::now_utc();
    let start = Instant::now();
    company.admin.post(&format!("{path}/refresh"), json!({})).await.expect(202);
    loop {
        let now: Provider = company.admin.get(&path).await.expect(200).json();
        if now.health.refresh_pending == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The last ones may still be under way: until all of them are written down.
    let mut database = company.server.database().connect().await;
    loop {
        let query = "SELECT count(*) FROM identities WHERE refreshed_at > $1 AND error IS NULL";
        let done: i64 =
            sqlx::query_scalar(query).bind(begun).fetch_one(&mut database).await.unwrap();
        if done >= i64::try_from(REFRESHED).unwrap() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{done} are refreshed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = start.elapsed().as_secs_f64();
    Row {
        what: "Refresh of the groups of 1,000 signed-in users",
        goal: "< 30 s",
        measured: format!("{took:.1} s"),
        met: took < 30.0,
    }
}

/// What `tests/benches/role_check.rs` measures.
pub fn role_check() -> Row {
    let mut command = Command::new("cargo");
    command.args(["bench", "--quiet", "--locked", "--package", "drover-tests"]);
    let output = command.args(["--bench", "role_check"]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let (cached, uncached) = (median(&report, "cached"), median(&report, "uncached"));
    Row {
        what: "Role check of a request, a person in 500 groups",
        goal: "< 20 µs",
        measured: format!("median {cached} (read anew from the database: {uncached})"),
        met: milliseconds(&cached.replace(' ', "")) < 0.02,
    }
}

/// The column `median` of a line of divan's table: name and fastest, slowest, median.
fn median(report: &str, name: &str) -> String {
    let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    let column = line.and_then(|line| line.split('│').nth(2));
    column.unwrap_or_else(|| panic!("no line {name}: {report}")).trim().to_owned()
}
