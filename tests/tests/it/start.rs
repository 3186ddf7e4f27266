//! How the server starts, and what it says when it cannot.

use std::{net::TcpListener, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{Environment, List, ServerSettings};
use drover_tests::{ADMIN, Client, Database, TestServer, eventually, run};

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("DROVER_LISTEN", "here", &["--listen", "here"]),
        ("DROVER_PUBLIC_URL", "drover.example.com", &["--public-url", "http://"]),
        ("DROVER_PUBLIC_URL", "https://example.com/drover", &["--public-url", "no path"]),
        ("DROVER_TRUSTED_PROXIES", "10.0.0.1,proxy", &["--trusted-proxies", "proxy"]),
        ("DROVER_DATABASE_CONNECTIONS", "1", &["--database-connections", "2..=500"]),
        ("DROVER_SESSION_IDLE_HOURS", "0", &["--session-idle-hours"]),
        ("DROVER_LOG_FORMAT", "xml", &["--log-format", "text", "json"]),
        ("DROVER_LOG", "a=b=c", &["DROVER_LOG"]),
        ("DATABASE_URL", "mysql://localhost/drover", &["DATABASE_URL"]),
    ];
    for (name, value, expected) in cases {
        // The later of two settings of one name counts.
        let settings = [("DROVER_LISTEN", "127.0.0.1:0"), (*name, *value)];
        let exit = run(&["serve"], &settings, "").await;
        assert!(!exit.success, "{settings:?} is taken");
        for word in *expected {
            assert!(exit.stderr.contains(word), "{settings:?}: no {word} in {}", exit.stderr);
        }
        assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let key = key(1);
    let settings = [
        ("DATABASE_URL", "postgres://drover:hunter2@127.0.0.1:1/drover"),
        ("DROVER_ENCRYPTION_KEY", &key),
        ("DROVER_LISTEN", "127.0.0.1:0"),
    ];
    let exit = run(&["serve"], &settings, "").await;
    assert!(!exit.success);
    assert!(exit.stderr.contains("PostgreSQL at 127.0.0.1:1"), "{}", exit.stderr);
    assert!(exit.stderr.contains("refused"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("hunter2"), "{}", exit.stderr);
}

#[tokio::test]
async fn the_encryption_key_is_checked_at_the_start() {
    let database = Database::create().await;
    let url = database.url();
    let serve = async |key: Option<&str>| {
        let mut settings = vec![("DATABASE_URL", url.as_str()), ("DROVER_LISTEN", "127.0.0.1:0")];
        settings.extend(key.map(|key| ("DROVER_ENCRYPTION_KEY", key)));
        let exit = run(&["serve"], &settings, "").await;
        assert!(!exit.success);
        assert!(exit.stderr.contains("DROVER_ENCRYPTION_KEY"), "{}", exit.stderr);
        exit.stderr
    };
    serve(None).await;
    let malformed = serve(Some("c2hvcnQ=")).await;
    assert!(malformed.contains("32 bytes"), "{malformed}");

    let right = key(1);
    let mut server =
        TestServer::builder().database(database).set("DROVER_ENCRYPTION_KEY", &right).start().await;
    assert!(server.stop().await, "{}", server.log());
    let wrong = serve(Some(&key(2))).await;
    assert!(!wrong.contains(&key(2)), "{wrong}");
    server.restart().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let exit = run(&["serve", "--listen", &address], &[], "").await;
    assert!(!exit.success);
    assert!(exit.stderr.contains(&address), "{}", exit.stderr);
    assert!(exit.stderr.contains("DROVER_LISTEN"), "{}", exit.stderr);
}

#[tokio::test]
async fn the_private_database_keeps_its_data() {
    let mut server = TestServer::builder().private_database().start().await;
    let admin = server.admin().await;
    let settings: ServerSettings = admin.get("/v1/settings").await.expect(200).json();
    assert!(settings.embedded_database);
    server.environment_named("Kept").await;

    // With kill -9 its PostgreSQL runs on, and is found again.
    server.restart().await;
    let environments = async |server: &TestServer| {
        let list: List<Environment> =
            server.sign_in(ADMIN).await.get("/v1/environments").await.json();
        list.items.into_iter().map(|environment| environment.name).collect::<Vec<_>>()
    };
    assert_eq!(environments(&server).await, ["Default", "Kept"]);

    assert!(server.stop().await, "{}", server.log());
    let pid_file = server.folder().join("data/postgres/postmaster.pid");
    assert!(!pid_file.exists(), "its PostgreSQL still runs");
    server.restart().await;
    assert_eq!(environments(&server).await, ["Default", "Kept"]);
    let key = std::fs::metadata(server.folder().join("data/encryption.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn the_manual_names_every_setting() {
    let manual = include_str!("../../../docs/operations.md");
    let help = run(&["serve", "--help"], &[], "").await.stdout;
    let named = |line: &&str| line.starts_with("--");
    for option in help.lines().map(str::trim).filter(named) {
        let flag = option.split(' ').next().unwrap();
        assert!(manual.contains(&format!("`{flag}`")), "the manual lacks {flag}");
    }
    for rest in help.split("[env: ").skip(1) {
        let variable = rest.split(['=', ']']).next().unwrap();
        assert!(manual.contains(&format!("`{variable}`")), "the manual lacks {variable}");
    }
}

#[tokio::test]
async fn help_names_every_setting_with_its_variable() {
    let exit = run(&["serve", "--help"], &[], "").await;
    assert!(exit.success);
    let options: Vec<&str> =
        exit.stdout.lines().map(str::trim).filter(|line| line.starts_with("--")).collect();
    assert!(options.len() > 10, "{options:?}");
    let variables = exit.stdout.matches("[env: ").count();
    assert_eq!(variables, options.len(), "{}", exit.stdout);
}

#[tokio::test]
async fn a_stopped_server_ends_cleanly() {
    let mut server = TestServer::start().await;
    assert!(server.stop().await, "{}", server.log());
    assert!(server.log().contains("stopping"), "{}", server.log());
}

#[tokio::test]
async fn an_open_page_does_not_hold_up_the_end() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut events = server.events(&admin, None).await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    assert!(server.stop().await, "{}", server.log());
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn replicas_on_one_database_know_of_each_other() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let key = server
        .environment()
        .iter()
        .rev()
        .find(|(name, _)| *name == "DROVER_ENCRYPTION_KEY")
        .unwrap()
        .1;
    let second = TestServer::builder()
        .set("DATABASE_URL", server.database().url())
        .set("DROVER_ENCRYPTION_KEY", key)
        .start()
        .await;
    let (made, _) = server.key(&admin, None, None).await;
    let there = Client::with_key(&second.base(), &made.token);
    let mut events = second.events(&there, None).await;
    events.next().await.unwrap();
    // What happens at the one, the other's browsers are told.
    let environment = server.environment_named("Seen").await;
    let id = environment.id.to_string();
    events.wait_for(|message| message.event == "change" && message.change().id == id).await;
    // A key that is revoked at the one ends at the other, although it is cached there.
    admin.delete(&format!("/v1/api-keys/{}", made.key.id)).await.expect(204);
    eventually("the key ends", Duration::from_secs(2), async || {
        (there.get("/v1/users").await.status == 401).then_some(())
    })
    .await;
}
