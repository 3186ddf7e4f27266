//! Whole texts: what is read, and what is refused where.

use drover_compose::{DependencyCondition, FileSource, MountKind, Project, Severity, load};
use indexmap::IndexMap;

fn variables() -> IndexMap<String, String> {
    [("TAG".to_owned(), "1.27".to_owned()), ("PORT".to_owned(), "8080".to_owned())].into()
}

fn project(source: &str) -> Project {
    let loaded = load(source, &variables());
    loaded.project.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

#[test]
fn reads_a_whole_application() {
    let project = project(
        r#"
name: blog
x-logging: &logging
  driver: json-file
  options: {max-size: 10m}
services:
  db:
    image: mariadb:11
    environment:
      MARIADB_ROOT_PASSWORD_FILE: /run/secrets/root
    volumes: ["data:/var/lib/mysql"]
    secrets: [root]
    healthcheck:
      test: ["CMD", "healthcheck.sh", "--connect"]
      interval: 5s
      retries: 10
    logging: *logging
  web:
    image: nginx:${TAG}
    command: nginx -g 'daemon off;'
    ports: ["${PORT}:80", {target: 443, published: 8443}]
    depends_on:
      db: {condition: service_healthy}
    deploy:
      replicas: 2
      resources: {limits: {cpus: "0.5", memory: 256M}}
      placement: {constraints: ["node.labels.zone == a"]}
      update_config: {order: start-first, delay: 2s}
    networks: {default: {aliases: [www]}, back: {}}
    ulimits: {nofile: {soft: 1024, hard: 2048}}
    x-drover-when: "PORT=8080"
  debug:
    image: busybox
    x-drover-when: "DEBUG=true"
networks: {back: {internal: true}}
volumes: {data: {}}
secrets: {root: {content: hunter2}}
"#,
    );
    assert_eq!(project.services.keys().collect::<Vec<_>>(), ["db", "web"]);
    let web = &project.services["web"];
    assert_eq!(web.image, "nginx:1.27");
    assert_eq!(web.command.as_deref().unwrap_or_default(), ["nginx", "-g", "daemon off;"]);
    assert_eq!(web.ports.iter().filter_map(|p| p.published).collect::<Vec<_>>(), [8080, 8443]);
    assert_eq!(web.depends_on["db"].condition, DependencyCondition::Healthy);
    assert_eq!(web.deploy.limits.memory, Some(256 << 20));
    assert!(web.deploy.update.start_first);
    let db = &project.services["db"];
    assert_eq!(db.volumes[0].kind, MountKind::Volume);
    assert_eq!(db.secrets[0].target, "/run/secrets/root");
    assert_eq!(db.logging.as_ref().map(|l| l.options["max-size"].as_str()), Some("10m"));
    assert_eq!(project.secrets["root"], FileSource::Content("hunter2".into()));
    assert!(project.networks.contains_key("default"));
    assert_eq!(project.takeovers(), []);
}

#[test]
fn names_what_is_wrong_with_line_and_column() {
    let cases: &[(&str, Severity, &str, u32, u32)] = &[
        ("services:\n  web:\n    image: [", Severity::Error, "yaml_syntax", 4, 1),
        ("", Severity::Error, "empty", 1, 1),
        ("a: 1\n---\nb: 2", Severity::Error, "several_documents", 2, 1),
        ("services:\n  web:\n    image: a\n    image: b", Severity::Error, "duplicate_key", 4, 5),
        ("services:\n  web:\n    imgae: a", Severity::Error, "unknown_key", 3, 5),
        (
            "services:\n  web:\n    image: a\n    build: .",
            Severity::Unsupported,
            "unsupported",
            4,
            5,
        ),
        ("services:\n  web:\n    image: a\n    ports: [web]", Severity::Error, "bad_port", 4, 13),
        (
            "services:\n  web:\n    image: a\n    volumes: [./x:/y]",
            Severity::Error,
            "bad_mount",
            4,
            15,
        ),
        (
            "services:\n  web:\n    image: a\n    volumes:\n      - data:/y",
            Severity::Error,
            "unknown_reference",
            5,
            7,
        ),
        (
            "services:\n  web:\n    image: a\n    depends_on: [db]",
            Severity::Error,
            "unknown_reference",
            4,
            17,
        ),
        (
            "services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}",
            Severity::Error,
            "dependency_cycle",
            2,
            29,
        ),
        (
            "services:\n  web:\n    image: a\n    mem_limit: lots",
            Severity::Error,
            "bad_value",
            4,
            16,
        ),
        ("services:\n  web: {}", Severity::Error, "missing", 2, 8),
        ("services:\n  web:\n    image: ${X:?which}", Severity::Error, "variable", 3, 12),
        (
            "services:\n  web:\n    image: a\n    env_file: .env",
            Severity::Unsupported,
            "unsupported",
            4,
            5,
        ),
        ("nothing: 1", Severity::Error, "unknown_key", 1, 1),
        ("- a", Severity::Error, "not_a_mapping", 1, 1),
    ];
    for (source, severity, code, line, column) in cases {
        let loaded = load(source, &variables());
        assert!(loaded.project.is_none(), "{source}");
        let found = loaded.diagnostics.iter().any(|diagnostic| {
            diagnostic.severity == *severity
                && diagnostic.code == *code
                && (diagnostic.line, diagnostic.column) == (*line, *column)
        });
        assert!(found, "{source}\n{:#?}", loaded.diagnostics);
    }
}

#[test]
fn a_hint_names_the_nearest_key() {
    let loaded = load("services:\n  web:\n    image: a\n    enviroment: {}", &());
    assert!(loaded.diagnostics[0].message.contains("Did you mean `environment`?"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut source = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (name, before) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
        let list = vec![format!("*{before}"); 10].join(",");
        source.push_str(&format!("{name}: &{name} [{list}]\n"));
    }
    let loaded = load(&source, &());
    assert_eq!(loaded.diagnostics[0].code, "too_many_nodes");
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(load(&deep, &()).project.is_none());
}

#[test]
fn finds_what_could_take_over_a_host() {
    let project = project(
        r#"
services:
  a:
    image: a
    privileged: true
    pid: host
    network_mode: host
    cap_add: [SYS_ADMIN, CHOWN]
    devices: [/dev/kvm]
    security_opt: ["no-new-privileges:true", "seccomp=unconfined"]
    volumes: ["/var/run/docker.sock:/var/run/docker.sock", "/etc:/host", "sly:/mnt", "own:/data"]
volumes:
  own: {}
  sly: {driver_opts: {type: none, o: bind, device: /}}
  other: {external: true}
networks:
  out: {external: true}
"#,
    );
    let codes: Vec<String> = project.takeovers().into_iter().map(|found| found.code).collect();
    let expected = [
        "privileged",
        "host_namespace",
        "host_namespace",
        "docker_socket",
        "host_path",
        "capability",
        "device",
        "security_option",
        "volume_options",
        "external_volume",
        "external_network",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn lists_the_variables_of_a_text() {
    let found = drover_compose::variables_used(
        "services:\n  a:\n    image: x:${TAG:-1}\n    user: ${U:?}\n    hostname: $H\n",
    );
    let found: Vec<_> =
        found.iter().map(|v| (v.name.as_str(), v.default.as_deref(), v.required, v.line)).collect();
    assert_eq!(found, [("TAG", Some("1"), false, 3), ("U", None, true, 4), ("H", None, false, 5)]);
}
