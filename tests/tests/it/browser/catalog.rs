//! The catalog that the browser tests install from: an app made of the tests' own images.

use std::path::Path;

use drover_tests::Docker;

/// What the catalog calls its app.
pub const APP: &str = "Team Notes";

const CATALOG: &str = "\
name: Acme apps
categories: [Collaboration]
";
const TEMPLATE: &str = "\
name: Team Notes
description: Shared notes for a team, with search and history.
categories: [Collaboration]
home: https://notes.example.com/
license: MIT
maintainer: Acme
";
const README: &str = "\
# Team Notes

Notes that a whole team writes, finds and restores.

## What is created

| service | what it does |
| --- | --- |
| `web` | the page, on the port that you choose |
| `indexer` | keeps the search up to date |
| `store` | holds the notes, in the volume `notes` |
";
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect x="7" y="5" width="34" height="38" rx="6" fill="#f2b13c"/><path d="M15 16h18M15 24h18M15 32h11" stroke="#5b3d06" stroke-width="3" stroke-linecap="round"/></svg>
"##;
const COMPOSE: &str = r#"services:
  web:
    image: team-notes/web:1.0
    ports:
      - "${PORT}:8080"
    environment:
      SITE_NAME: ${SITE_NAME}
      ADDRESS: ${ADDRESS}
      MAIL_HOST: ${MAIL_HOST:-}
      STORE_PASSWORD: ${STORE_PASSWORD}
    depends_on:
      store:
        condition: service_healthy
    healthcheck:
      test: ["CMD-SHELL", "nc -w 1 127.0.0.1 8080 < /dev/null"]
      interval: 1s
    stop_grace_period: 1s

  indexer:
    image: team-notes/indexer:1.0
    command:
      - sh
      - -c
      - |
        for part in configuration store schema 'search index' languages queue; do
          printf '\033[36mSTART\033[0m %s is ready\n' "$$part"
        done
        for note in 101 102 103 104 105 106 107 108; do
          printf '\033[32mINFO\033[0m  read note %d from the store\n' $$note
        done
        n=0
        while true; do
          n=$$((n + 1)); i=0
          while [ $$i -lt $$((20000 + n % 7 * 8000)) ]; do i=$$((i + 1)); done
          printf '\033[32mINFO\033[0m  indexed note %d in %d ms\n' $$n $$((8 + n % 7 * 3))
          if [ $$((n % 8)) = 0 ]; then printf '\033[33mWARN\033[0m  note %d has no title\n' $$n >&2; fi
          sleep 1
        done
    environment:
      INDEXING: ${INDEXING}
    depends_on:
      store:
        condition: service_healthy
    stop_grace_period: 1s

  store:
    image: team-notes/store:1.0
    environment:
      PASSWORD: ${STORE_PASSWORD}
    volumes:
      - notes:/data
    healthcheck:
      test: ["CMD", "ls", "/data"]
      interval: 2s
    stop_grace_period: 1s

volumes:
  notes: {}
"#;
const QUESTIONS: &str = r#"questions:
  - variable: SITE_NAME
    label: Name of the site
    default: Our notes
    required: true
    group: Site
  - variable: ADDRESS
    label: Address
    description: What people type to get here.
    type: hostname
    default: notes.example.com
    required: true
    group: Site
  - variable: PORT
    label: Port
    type: int
    default: 8090
    min: 1
    max: 65535
    required: true
    group: Site
  - variable: INDEXING
    label: Search finds
    type: enum
    options:
      - {value: titles, label: Titles only}
      - {value: all, label: The whole text}
    default: titles
    group: Site
  - variable: MAIL
    label: Send mail
    type: boolean
    default: false
    group: Mail
  - variable: MAIL_HOST
    label: Mail server
    type: hostname
    required: true
    show_if: MAIL=true
    group: Mail
  - variable: STORE_PASSWORD
    label: Password of the store
    type: password
    min_length: 8
    generate: {length: 24}
    required: true
    group: Store
"#;
const WELCOME: &str = r#"
  - variable: WELCOME
    label: Welcome text
    default: Welcome!
    group: Site
"#;

/// Writes the catalog into a folder.
pub fn write(folder: &Path) {
    let put = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    put("catalog.yaml", CATALOG);
    put("team-notes/template.yaml", TEMPLATE);
    put("team-notes/README.md", README);
    put("team-notes/icon.svg", ICON);
    put("team-notes/1.0.0/compose.yaml", COMPOSE);
    put("team-notes/1.0.0/version.yaml", &format!("app_version: \"1.0\"\n{QUESTIONS}"));
    let newer = COMPOSE
        .replace("web:1.0", "web:1.1")
        .replace("      ADDRESS:", "      WELCOME: ${WELCOME}\n      ADDRESS:");
    put("team-notes/1.1.0/compose.yaml", &newer);
    let about = "app_version: \"1.1\"\nnotes: A text that greets people.\n";
    put("team-notes/1.1.0/version.yaml", &format!("{about}{QUESTIONS}{WELCOME}"));
}

/// Gives the tests' images the names that the catalog uses.
pub fn name_images(docker: &Docker) {
    for (image, name) in [
        ("drover-test/web:1", "team-notes/web:1.0"),
        ("drover-test/web:2", "team-notes/web:1.1"),
        ("drover-test/sleep:1", "team-notes/indexer:1.0"),
        ("drover-test/sleep:1", "team-notes/store:1.0"),
    ] {
        docker.run(&["tag", image, name]);
    }
}
