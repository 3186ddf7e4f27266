//! The catalog: finding apps, answering their questions, upgrading them, and where they come from.

use std::path::Path;

use super::*;
use drover_api::{
    Catalog, CatalogKind, Role, TemplateCategory, TemplateDetail, TemplatePreview, TemplateSummary,
    UpgradePreview,
};
use drover_tests::{GIT_USER, GitServer, assert_no_secret};
use tempfile::TempDir;

const ABOUT: &str = "name: {en: Shop, zh-CN: 商店}\ndescription: Sells things.\ncategories: [Commerce]\nkeywords: [basket]\n";
const README: &str =
    "# Shop\n\nSells *things*. <script>alert(1)</script> [x](javascript:alert(2))\n";
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" fill="#333"/></svg>"##;
const QUESTIONS: &str = r#"
app_version: "1"
questions:
  - {variable: TITLE, type: string, default: Shop, min_length: 2, max_length: 20, pattern: "[A-Za-z ]+"}
  - {variable: TEXT, type: multiline}
  - {variable: COUNT, type: int, default: 1, min: 1, max: 5, required: true}
  - {variable: RATE, type: float, default: 0.5, min: 0, max: 1}
  - {variable: DEBUG, type: boolean, default: false}
  - {variable: LEVEL, type: enum, options: [low, high], default: low, show_if: DEBUG}
  - {variable: PASSWORD, type: password, generate: {length: 24}}
  - {variable: HOST, type: hostname, show_if: "LEVEL=high"}
  - {variable: SIZE, type: storage_size, default: 64m, min: 16m, max: 1g}
  - {variable: PEER, type: service}
  - {variable: CERT, type: certificate}
"#;
const SHOP: &str = r#"services:
  web:
    image: drover-test/web:1
    stop_grace_period: 0s
    environment:
      TITLE: ${TITLE}
      PASSWORD: ${PASSWORD}
      PEER_STACK:
      PEER_SERVICE:
      HOST:
    mem_limit: ${SIZE}
    deploy: {replicas: "${COUNT}", update_config: {monitor: 0s}}
"#;

/// A catalog in a folder.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::with_prefix("drover-catalog-").unwrap())
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn app(&self, name: &str) -> &Self {
        self.write(&format!("{name}/template.yaml"), ABOUT)
            .write(&format!("{name}/README.md"), README)
            .write(&format!("{name}/icon.svg"), ICON)
    }

    fn version(&self, app: &str, version: &str, about: &str, compose: &str) -> &Self {
        self.write(&format!("{app}/{version}/version.yaml"), about)
            .write(&format!("{app}/{version}/compose.yaml"), compose)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A server with this catalog; the catalog as the API shows it.
async fn with(folder: &Folder) -> (Fixture, Catalog) {
    let builder = TestServer::builder().set("DROVER_CATALOG_DIR", folder.path());
    let fixture = Fixture::on(Docker::start().await, builder).await;
    let catalog = read(&fixture, |catalog| catalog.kind == CatalogKind::Directory).await;
    (fixture, catalog)
}

/// Waits until a catalog has been read.
async fn read(fixture: &Fixture, which: impl Fn(&Catalog) -> bool) -> Catalog {
    eventually("the catalog has been read", LATER, async || {
        let list: List<Catalog> = fixture.admin.get("/v1/catalogs").await.expect(200).json();
        list.items.into_iter().find(|c| which(c) && c.checked_at.is_some() && !c.refreshing)
    })
    .await
}

async fn refresh(fixture: &Fixture, catalog: &Catalog) -> Catalog {
    let path = format!("/v1/catalogs/{}", catalog.id);
    let before = catalog.checked_at.unwrap();
    fixture.admin.post(&format!("{path}/refresh"), json!({})).await.expect(202);
    eventually("the catalog has been read again", LATER, async || {
        let now: Catalog = fixture.admin.get(&path).await.expect(200).json();
        (now.checked_at.unwrap() > before && !now.refreshing).then_some(now)
    })
    .await
}

fn from_template(catalog: &Catalog, name: &str, version: &str, answers: Value) -> Value {
    json!({
        "name": name,
        "source": {
            "kind": "template", "catalog_id": catalog.id, "template": "shop", "version": version,
            "answers": answers,
        },
    })
}

async fn begin_template(fixture: &Fixture, body: &Value) -> StackOperation {
    fixture.admin.post(&fixture.path("stacks"), body).await.expect(202).json()
}

#[tokio::test]
async fn apps_are_found_and_described() {
    let folder = Folder::new();
    folder.app("shop").version("shop", "1.0.0", QUESTIONS, SHOP);
    let (fixture, catalog) = with(&folder).await;
    assert_eq!((catalog.templates, catalog.problems.len(), catalog.error), (1, 0, None));
    let find = async |query: &str| -> List<TemplateSummary> {
        fixture.admin.get(&format!("/v1/templates?{query}")).await.expect(200).json()
    };
    let builtin = read(&fixture, |catalog| catalog.kind == CatalogKind::Builtin).await;
    let all = find(&format!("catalog_id={}", builtin.id)).await;
    assert!(all.total >= 15 && builtin.problems.is_empty(), "{builtin:?}");
    assert!(find("q=wordpress").await.items.iter().any(|app| app.template == "wordpress"));
    for (query, found) in
        [("q=basket", 1), ("q=sells", 1), ("category=Commerce", 1), ("q=no-such-app", 0)]
    {
        assert_eq!(find(query).await.total, found, "{query}");
    }
    let chinese = find("q=basket&language=zh-CN").await;
    assert_eq!(chinese.items[0].title, "商店");
    let categories: List<TemplateCategory> =
        fixture.admin.get("/v1/templates/categories").await.expect(200).json();
    assert!(categories.items.iter().any(|c| c.name == "Commerce" && c.templates == 1));

    // The README is HTML without anything that runs; so is the picture.
    let path = format!("/v1/templates/{}/shop", catalog.id);
    let detail: TemplateDetail = fixture.admin.get(&path).await.expect(200).json();
    assert!(detail.readme_html.contains("<em>things</em>"), "{}", detail.readme_html);
    for word in ["<script", "javascript:"] {
        assert!(!detail.readme_html.contains(word), "{}", detail.readme_html);
    }
    let icon = fixture.admin.get(&detail.summary.icon.unwrap()).await.expect(200);
    assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
    assert!(icon.header("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test]
async fn answers_are_checked_and_previewed() {
    let folder = Folder::new();
    folder.app("shop").version("shop", "1.0.0", QUESTIONS, SHOP);
    let (fixture, catalog) = with(&folder).await;
    for (variable, answer) in [
        ("TITLE", json!("x")),
        ("TITLE", json!(["a", "list"])),
        ("TEXT", json!("x".repeat(300 << 10))),
        ("PASSWORD", json!("two\nlines")),
        ("PEER", json!("no-slash")),
        ("CERT", json!("../etc/passwd")),
        ("COUNT", json!(0)),
        ("COUNT", json!(1.5)),
        ("SIZE", json!("2Gi")),
        ("TITLE", json!("Shop 24")),
        ("TITLE", json!("A shop with a very long name")),
        ("COUNT", json!(6)),
        ("COUNT", json!("many")),
        ("RATE", json!(1.5)),
        ("DEBUG", json!("maybe")),
        ("SIZE", json!("8m")),
        ("SIZE", json!("lots")),
        ("NOBODY", json!("asked")),
    ] {
        let body = from_template(&catalog, "wrong", "1.0.0", json!({ variable: answer }));
        let answer = fixture.admin.post(&fixture.path("stacks"), &body).await;
        let problem = answer.problem(422, "invalid_input");
        assert_eq!(problem.errors[0].field, format!("answers.{variable}"), "{problem:?}");
    }
    // What is hidden is not asked; what is shown is.
    let hidden = json!({ "LEVEL": "none", "HOST": "a b" });
    let preview = async |answers: Value| -> TemplatePreview {
        let path = fixture.path(&format!("templates/{}/shop/versions/1.0.0/preview", catalog.id));
        fixture.admin.post(&path, json!({ "answers": answers })).await.expect(200).json()
    };
    let quiet = preview(hidden).await;
    assert_eq!(quiet.errors, []);
    assert!(!quiet.shown.contains(&"LEVEL".to_owned()), "{:?}", quiet.shown);
    let unknown = preview(json!({ "DEBUG": true, "LEVEL": "none" })).await;
    assert_eq!(unknown.errors[0].field, "answers.LEVEL");
    let loud = preview(json!({ "DEBUG": true, "LEVEL": "high", "HOST": "a b" })).await;
    assert_eq!(loud.errors[0].field, "answers.HOST");
    let three = preview(json!({ "COUNT": 3 })).await;
    assert_eq!((three.services[0].name.as_str(), three.services[0].scale), ("web", 3));
    assert_eq!(three.services[0].image, "drover-test/web:1");
}

#[tokio::test]
async fn an_upgrade_keeps_answers_and_edits_and_names_conflicts() {
    let folder = Folder::new();
    folder.app("shop").version("shop", "1.9.0", QUESTIONS, SHOP);
    let newer =
        SHOP.replace("web:1", "web:2").replace("      HOST:", "      HOST:\n      MODE: fast");
    let (fixture, catalog) = with(&folder).await;
    let name = unique("shop");
    let body =
        from_template(&catalog, &name, "1.9.0", json!({ "TITLE": "My Shop", "PEER": "blog/db" }));
    let begun = begin_template(&fixture, &body).await;
    fixture.succeeds(&begun.operation).await;
    let variables = |container: &str| {
        let format = "{{range .Config.Env}}{{println .}}{{end}}";
        fixture.docker.run(&["inspect", "--format", format, container])
    };
    let web = format!("{name}-web-1");
    let first = variables(&web);
    let password =
        first.lines().find_map(|line| line.strip_prefix("PASSWORD=")).unwrap().to_owned();
    assert_eq!(password.len(), 24);
    assert!(first.contains("TITLE=My Shop") && !first.contains("HOST"), "{first}");
    assert!(first.contains("PEER_STACK=blog") && first.contains("PEER_SERVICE=db"), "{first}");
    let detail = fixture.detail(&begun.stack).await;
    assert_eq!(detail.variables["PASSWORD"], None);
    assert_eq!(detail.stack.template.unwrap().upgrade_available, None);

    // A newer version appears; 1.10 is newer than 1.9. A pre-release is offered to nobody.
    let about = QUESTIONS.replace("app_version: \"1\"", "app_version: \"2\"\nnotes: Faster.");
    folder.version("shop", "1.10.0", &about, &newer);
    folder.version("shop", "2.0.0-rc.1", &about, &newer);
    folder.version("shop", "3.0.0", &format!("{about}upgrade_from: '>=2.0.0'\n"), &newer);
    let catalog = refresh(&fixture, &catalog).await;
    assert_eq!(catalog.problems, []);
    let detail = fixture.detail(&begun.stack).await;
    assert_eq!(detail.stack.template.unwrap().upgrade_available.as_deref(), Some("1.10.0"));

    // A person's own edit, and then one of the same line as the new version's.
    let own = SHOP.replace("    mem_limit", "    labels: {team: blue}\n    mem_limit");
    let edit = fixture.change(&begun.stack, &own).await;
    fixture.succeeds(&edit).await;
    let preview = async |body: &Value| -> UpgradePreview {
        let path = fixture.stack_path(&begun.stack, "/upgrade/preview");
        fixture.admin.post(&path, body).await.expect(200).json()
    };
    let to = json!({ "version": "1.10.0" });
    let clean = preview(&to).await;
    assert_eq!(clean.conflicts, []);
    let diff = clean.diff.unwrap();
    assert!(diff.contains("+    image: drover-test/web:2") && diff.contains("+      MODE: fast"));
    assert!(clean.compose.unwrap().contains("team: blue"));
    assert_eq!(clean.notes, "Faster.");
    let upgrade = fixture.stack_path(&begun.stack, "/upgrade");
    let far = fixture.admin.post(&upgrade, json!({ "version": "3.0.0" })).await;
    assert!(far.problem(409, "no_upgrade_path").detail.contains(">=2.0.0"));

    let both = own.replace("drover-test/web:1", "drover-test/sleep:1");
    let edit = fixture.change(&begun.stack, &both).await;
    fixture.succeeds(&edit).await;
    let conflict = preview(&to).await;
    assert_eq!(conflict.conflicts.len(), 1, "{conflict:?}");
    assert_eq!(conflict.conflicts[0].path, "services.web.image");
    assert!(conflict.compose.is_none());
    let refused = fixture.admin.post(&upgrade, &to).await.problem(409, "merge_conflicts");
    assert_eq!(refused.errors[0].field, "resolutions.services.web.image");
    let chosen = json!({
        "version": "1.10.0", "answers": { "PEER": "" },
        "resolutions": { "services.web.image": "theirs" },
    });
    let operation = fixture.ask(&begun.stack, "POST", "/upgrade", chosen).await;
    fixture.succeeds(&operation).await;
    let second = variables(&web);
    assert!(second.contains(&format!("PASSWORD={password}")), "the password is kept");
    assert!(second.contains("TITLE=My Shop") && second.contains("MODE=fast"), "{second}");
    assert!(!second.contains("PEER_"), "an emptied answer leaves nothing: {second}");
    assert_eq!(fixture.running(&name)[0].1, "drover-test/web:2");
    let labels = fixture.docker.run(&["inspect", "--format", "{{.Config.Labels.team}}", &web]);
    assert_eq!(labels, "blue");
    let template = fixture.detail(&begun.stack).await.stack.template.unwrap();
    assert_eq!(template.version, "1.10.0");

    // Back, with the answers and edits of then.
    let back = fixture.ask(&begun.stack, "POST", "/rollback", json!({ "revision": 2 })).await;
    fixture.succeeds(&back).await;
    assert_eq!(fixture.running(&name)[0].1, "drover-test/web:1");
    let third = variables(&web);
    assert!(third.contains(&format!("PASSWORD={password}")) && !third.contains("MODE"));
    let template = fixture.detail(&begun.stack).await.stack.template.unwrap();
    assert_eq!(template.version, "1.9.0");
    assert_no_secret(&fixture.server.log(), &[&password]);
}

#[tokio::test]
async fn a_template_is_no_way_around_a_role() {
    let folder = Folder::new();
    let plain = "services:\n  web:\n    image: drover-test/sleep:1\n";
    folder
        .app("shop")
        .version("shop", "1.0.0", "{}", &format!("{plain}    privileged: true\n"))
        .version("shop", "1.1.0", "{}", &format!("{plain}    volumes: [/var/run/docker.sock:/s]\n"))
        .version("shop", "1.2.0", "{}", &format!("{plain}    volumes: [v:/v]\nvolumes:\n  v: {{driver_opts: {{type: none, o: bind, device: /}}}}\n"))
        .version("shop", "1.3.0", "questions: [{variable: WHERE}]", &format!("{plain}    volumes: ['${{WHERE:-v}}:/v']\nvolumes: {{v: {{}}}}\n"));
    let (fixture, catalog) = with(&folder).await;
    assert_eq!(catalog.problems, []);
    let restricted = fixture.server.member("rita", fixture.environment, Role::Restricted).await;
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
        let answers = if version == "1.3.0" { json!({ "WHERE": "/etc" }) } else { json!({}) };
        let body = from_template(&catalog, "taken", version, answers);
        let answer = restricted.post(&fixture.path("stacks"), &body).await;
        answer.problem(403, "host_takeover_denied");
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_catalog_is_shown_with_its_line() {
    let folder = Folder::new();
    folder
        .app("shop")
        .version("shop", "1.0.0", QUESTIONS, SHOP)
        .version("shop", "1.1.0", "questions:\n  - variable: A\n    typ: int\n", SHOP)
        .version("shop", "1.2.0", "minimum_drover_version: 99.0.0\n", SHOP);
    let (fixture, catalog) = with(&folder).await;
    let problem = &catalog.problems[0];
    assert_eq!(
        (problem.file.as_str(), problem.line),
        ("shop/1.1.0/version.yaml", 3),
        "{problem:?}"
    );
    // The others are there; one that needs a newer Drover says so and is not installed.
    let path = format!("/v1/templates/{}/shop", catalog.id);
    let detail: TemplateDetail = fixture.admin.get(&path).await.expect(200).json();
    let versions: Vec<(&str, bool)> =
        detail.versions.iter().map(|v| (v.version.as_str(), v.incompatible.is_some())).collect();
    assert_eq!(versions, [("1.2.0", true), ("1.0.0", false)]);
    let body = from_template(&catalog, "new", "1.2.0", json!({}));
    let answer = fixture.admin.post(&fixture.path("stacks"), &body).await;
    assert!(answer.problem(409, "incompatible_version").detail.contains("99.0.0"));

    // The command line finds the same, and says it by its exit code.
    let linted =
        drover_tests::run(&["catalog", "lint", folder.path().to_str().unwrap()], &[], "").await;
    assert!(!linted.success && linted.stdout.contains("shop/1.1.0/version.yaml:3: "), "{linted:?}");
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts-catalog");
    let clean = drover_tests::run(&["catalog", "lint", builtin.to_str().unwrap()], &[], "").await;
    assert!(clean.success && clean.stdout.is_empty(), "{clean:?}");
}

#[tokio::test]
async fn a_catalog_comes_from_git_too() {
    let git = GitServer::start().await;
    let first = git
        .commit(&[
            ("catalog.yaml", "name: Company\n"),
            ("shop/template.yaml", ABOUT),
            ("shop/README.md", README),
            ("shop/icon.svg", ICON),
            ("shop/1.0.0/version.yaml", QUESTIONS),
            ("shop/1.0.0/compose.yaml", SHOP),
        ])
        .await;
    let builder = TestServer::builder().set("GIT_SSL_CAINFO", git.authority());
    let fixture = Fixture::on(Docker::start().await, builder).await;
    let (user, password) = GIT_USER;
    for location in ["file:///etc", "ext::sh -c id", "http://127.0.0.1/x.git", "-oProxyCommand=id"]
    {
        let body = json!({ "name": "bad", "location": location });
        fixture.admin.post("/v1/catalogs", body).await.problem(422, "invalid_input");
    }
    let body = json!({
        "name": "company", "location": git.url(), "username": user, "secret": password,
    });
    let added = fixture.admin.post("/v1/catalogs", body).await.expect(201);
    assert_no_secret(&added.text, &[password]);
    let company = read(&fixture, |catalog| catalog.name == "company").await;
    assert_eq!(company.error, None);
    assert_eq!((company.commit.as_deref(), company.templates), (Some(&*first), 1));

    let second =
        git.commit(&[("shop/1.1.0/version.yaml", QUESTIONS), ("shop/1.1.0/compose.yaml", SHOP)]);
    let second = second.await;
    let company = refresh(&fixture, &company).await;
    assert_eq!(company.commit, Some(second));
    let path = format!("/v1/templates/{}/shop", company.id);
    let detail: TemplateDetail = fixture.admin.get(&path).await.expect(200).json();
    assert_eq!(detail.summary.version, "1.1.0");

    // A redirection could lead anywhere: it is not followed, with or without a password.
    for (name, secret) in [("moved", None), ("moved-too", Some(password))] {
        let body = json!({
            "name": name, "location": git.moved_url(), "username": user, "secret": secret,
        });
        fixture.admin.post("/v1/catalogs", body).await.expect(201);
        let moved = read(&fixture, |catalog| catalog.name == name).await;
        assert!(moved.error.as_ref().is_some_and(|why| why.contains("302")), "{moved:?}");
        assert_eq!(moved.templates, 0);
    }

    // Without the password, what was read before stays, and the page says why.
    let change = json!({ "secret": "wrong" });
    fixture.admin.patch(&format!("/v1/catalogs/{}", company.id), change).await.expect(200);
    let locked = refresh(&fixture, &company).await;
    assert!(locked.error.is_some(), "{locked:?}");
    assert_eq!(locked.templates, 1);
    assert_no_secret(&fixture.server.log(), &[password]);
    assert_no_secret(&fixture.server.database().dump().await, &[password]);

    fixture.admin.delete(&format!("/v1/catalogs/{}", company.id)).await.expect(204);
    fixture.admin.get(&path).await.problem(404, "not_found");
}
