use std::{collections::BTreeSet, path::Path};

use drover_compose::yaml;
use serde_json::json;

use super::*;

/// What tests render, with what differs from one to the next.
struct Setup {
    generations: IndexMap<String, u32>,
    files: IndexMap<String, Vec<File>>,
    secrets: Vec<SecretString>,
    registries: Vec<Registry>,
    stopped: bool,
}

impl Setup {
    fn new() -> Self {
        Self {
            generations: IndexMap::new(),
            files: IndexMap::new(),
            secrets: Vec::new(),
            registries: Vec::new(),
            stopped: false,
        }
    }

    fn render(&self, project: &Project) -> Vec<Object> {
        let stack = Stack {
            id: Uuid::from_u128(1),
            environment: Uuid::from_u128(2),
            name: "blog",
            revision: 3,
            namespace: "team",
            domain: "cluster.local",
            generations: &self.generations,
            stopped: self.stopped,
            pull: false,
            salt: b"salt",
            secrets: &self.secrets,
            registries: &self.registries,
            files: &self.files,
        };
        render(&stack, project).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn project(text: &str) -> Project {
    let loaded = drover_compose::load(text, &());
    loaded.project.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn rendered(text: &str) -> Vec<Object> {
    Setup::new().render(&project(text))
}

fn find<'a>(all: &'a [Object], kind: &str, name: &str) -> &'a Value {
    let found = all.iter().find(|object| object.kind() == kind && object.name() == name);
    let known: Vec<_> = all.iter().map(|o| format!("{}/{}", o.kind(), o.name())).collect();
    &found.unwrap_or_else(|| panic!("no {kind} {name} in {known:?}")).value
}

fn kinds(all: &[Object]) -> Vec<String> {
    all.iter().map(|object| format!("{}/{}", object.kind(), object.name())).collect()
}

fn codes(text: &str) -> Vec<(String, drover_compose::Severity)> {
    check::check(&project(text)).into_iter().map(|found| (found.path, found.severity)).collect()
}

#[test]
fn a_service_is_rendered_in_full() {
    let text = r#"
services:
  web:
    image: app:1
    command: [serve, "$$(x)"]
    entrypoint: /init
    working_dir: /srv
    environment: {A: "1", B: "a$$$$b"}
    user: "1000:1001"
    group_add: ["5"]
    read_only: true
    cap_add: [CAP_NET_BIND_SERVICE]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    sysctls: {net.core.somaxconn: "1024"}
    ports: ["8080:80", "127.0.0.1:9090:9090", "30080:81"]
    expose: ["7000"]
    volumes: ["data:/data", "/cache", {type: tmpfs, target: /t, tmpfs: {size: 16m}}]
    tmpfs: /run:size=16m,mode=1777
    shm_size: 64m
    stop_grace_period: 1m
    extra_hosts: ["db:10.0.0.9"]
    dns_search: [example.com]
    labels: {team: shop, "io.drover.x:y": z}
    healthcheck: {test: [CMD, check], interval: 30s, timeout: 5s, retries: 2}
    deploy:
      replicas: 3
      labels: {cloud.example.com/size: small}
      update_config: {parallelism: 2, order: start-first, monitor: 3s}
      resources:
        limits: {cpus: "0.5", memory: 64m}
        reservations: {cpus: "0.25", memory: 32m}
      placement:
        constraints: [node.labels.disk == ssd, node.platform.arch != aarch64]
        preferences: [{spread: node.labels.zone}]
volumes: {data: {driver_opts: {size: 20g}, labels: {io.drover.kubernetes.storage-class: fast}}}
"#;
    let all = rendered(text);
    let deployment = find(&all, "Deployment", "blog-web");
    let metadata = &deployment["metadata"];
    assert_eq!(metadata["namespace"], "team");
    assert_eq!(metadata["labels"][names::STACK], Uuid::from_u128(1).to_string());
    assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "web");
    assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "blog");
    assert_eq!(metadata["labels"][names::MANAGED_BY], "drover");
    assert_eq!(metadata["annotations"][names::REVISION], "3");
    assert_eq!(metadata["annotations"]["cloud.example.com/size"], "small");
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 3);
    assert_eq!(
        spec["strategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } })
    );
    assert_eq!(spec["minReadySeconds"], 3);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["hostname"], "web");
    assert_eq!(pod["subdomain"], "blog-net");
    assert_eq!(pod["terminationGracePeriodSeconds"], 60);
    assert_eq!(pod["hostAliases"], json!([{ "ip": "10.0.0.9", "hostnames": ["db"] }]));
    assert_eq!(
        pod["dnsConfig"]["searches"],
        json!(["blog-net.team.svc.cluster.local", "example.com"])
    );
    assert_eq!(pod["securityContext"]["fsGroup"], 1001);
    assert_eq!(pod["securityContext"]["supplementalGroups"], json!([5]));
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(
        pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            [0]["matchExpressions"],
        json!([
            { "key": "disk", "operator": "In", "values": ["ssd"] },
            { "key": "kubernetes.io/arch", "operator": "NotIn", "values": ["arm64"] },
        ])
    );
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "zone");
    let container = &pod["containers"][0];
    assert_eq!(container["command"], json!(["/init"]));
    assert_eq!(container["args"], json!(["serve", "$$(x)"]));
    assert_eq!(
        container["env"],
        json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "a$$$$b" }])
    );
    assert_eq!(
        container["resources"],
        json!({ "limits": { "cpu": "500m", "memory": "64Mi" }, "requests": { "cpu": "250m", "memory": "32Mi" } })
    );
    assert_eq!(container["securityContext"]["runAsUser"], 1000);
    assert_eq!(
        container["securityContext"]["capabilities"],
        json!({ "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] })
    );
    assert_eq!(
        container["readinessProbe"],
        json!({ "exec": { "command": ["check"] }, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6 })
    );
    assert_eq!(container["livenessProbe"], Value::Null);
    let annotations = &spec["template"]["metadata"]["annotations"];
    assert_eq!(annotations["team"], "shop");
    assert!(annotations["io.drover.x:y"].is_null());
    let service = find(&all, "Service", "blog-web");
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(
        service["spec"]["ports"],
        json!([
            { "name": "tcp-8080", "port": 8080, "targetPort": 80, "protocol": "TCP" },
            { "name": "tcp-9090", "port": 9090, "targetPort": 9090, "protocol": "TCP" },
            { "name": "tcp-81", "port": 81, "targetPort": 81, "protocol": "TCP", "nodePort": 30080 },
            { "name": "tcp-7000", "port": 7000, "targetPort": 7000, "protocol": "TCP" },
        ])
    );
    let claim = find(&all, "PersistentVolumeClaim", "blog-data");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    // Three pods on a volume that one node can have stay together.
    assert!(!pod["affinity"]["podAffinity"].is_null());
    let names: Vec<_> = pod["initContainers"][0]["args"].as_array().into_iter().flatten().collect();
    assert_eq!(names, ["copy", "/data", "/drover/0", "/cache", "/drover/1"]);
    let mut order = kinds(&all);
    order.retain(|kind| !kind.starts_with("Secret"));
    assert_eq!(
        order,
        [
            "PersistentVolumeClaim/blog-data",
            "Service/blog-net",
            "Service/blog-web",
            "Deployment/blog-web"
        ]
    );
}

#[test]
fn every_mode_has_its_workload() {
    let text = "services:
  web: {image: a, depends_on: {init: {condition: service_completed_successfully}}}
  init: {image: a}
  once: {image: a, restart: 'no'}
  task: {image: a, deploy: {mode: replicated-job, replicas: 4}}
  agent: {image: a, deploy: {mode: global}}
  db: {image: a, volumes: ['data:/data']}
  queue: {image: a, volumes: ['own:/data'], deploy: {replicas: 3}}
volumes: {data: {}, own: {labels: {io.drover.kubernetes.each: 'true'}}}
";
    let all = rendered(text);
    let workloads: Vec<_> = all
        .iter()
        .filter_map(|object| {
            let name = object.service.as_deref()?;
            Some(format!("{name} {}", object.kind()))
        })
        .collect();
    assert_eq!(
        workloads,
        [
            "web Deployment",
            "init Job",
            "once Job",
            "task Job",
            "agent DaemonSet",
            "db Deployment",
            "queue StatefulSet"
        ]
    );
    assert_eq!(find(&all, "Deployment", "blog-db")["spec"]["strategy"]["type"], "Recreate");
    let queue = find(&all, "StatefulSet", "blog-queue");
    assert_eq!(queue["spec"]["serviceName"], "blog-net");
    assert_eq!(queue["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "volume-own");
    assert_eq!(queue["spec"]["template"]["spec"]["volumes"], Value::Null);
    let task = all.iter().find(|object| object.service.as_deref() == Some("task"));
    let spec = task.map(|object| object.value["spec"].clone()).unwrap_or_default();
    assert_eq!((&spec["completions"], &spec["backoffLimit"]), (&json!(4), &json!(6)));
    let once = all.iter().find(|object| object.service.as_deref() == Some("once"));
    let once = once.map(|object| object.value.clone()).unwrap_or_default();
    assert_eq!(once["spec"]["template"]["spec"]["restartPolicy"], "Never");
    // Another make of a job is another job.
    let other = rendered(&text.replace("once: {image: a", "once: {image: b"));
    assert!(
        !kinds(&other)
            .contains(&format!("Job/{}", once["metadata"]["name"].as_str().unwrap_or_default()))
    );
}

#[test]
fn a_stopped_stack_keeps_its_data_and_runs_nothing() {
    let text = "services:
  web: {image: a, volumes: ['data:/data'], deploy: {replicas: 2}}
  agent: {image: a, deploy: {mode: global}}
  once: {image: a, restart: 'no'}
volumes: {data: {}}
";
    let all = Setup { stopped: true, ..Setup::new() }.render(&project(text));
    assert_eq!(
        kinds(&all),
        ["PersistentVolumeClaim/blog-data", "Service/blog-net", "Deployment/blog-web"]
    );
    assert_eq!(find(&all, "Deployment", "blog-web")["spec"]["replicas"], 0);
}

#[test]
fn what_holds_a_secret_is_in_no_plain_object() {
    let text = "services:
  web:
    image: a
    command: [run, --password=hunter22]
    environment: {URL: 'postgres://u:hunter22@db', PLAIN: x}
    secrets: [token]
    configs: [conf, plain]
secrets: {token: {content: s3cret}}
configs: {conf: {content: 'password = hunter22'}, plain: {content: 'a = b'}}
";
    let file = |source: &str, secret, content: &str| File {
        source: source.into(),
        secret,
        own: None,
        path: format!("/run/{source}"),
        mode: 0o400,
        content: content.into(),
    };
    let files = vec![
        file("token", true, "s3cret"),
        file("conf", false, "password = hunter22"),
        file("plain", false, "a = b"),
    ];
    let setup = Setup {
        files: [("web".to_owned(), files)].into(),
        secrets: vec!["hunter22".to_owned().into()],
        registries: vec![Registry {
            address: "docker.io".into(),
            username: "grace".into(),
            password: "pull".to_owned().into(),
        }],
        ..Setup::new()
    };
    let all = setup.render(&project(text));
    for object in all.iter().filter(|object| object.kind() != "Secret") {
        let text = object.value.to_string();
        for secret in ["hunter22", "s3cret", "pull\""] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let secrets = kinds(&all).into_iter().filter(|kind| kind.starts_with("Secret/")).count();
    assert_eq!(secrets, 4);
    let deployment = find(&all, "Deployment", "blog-web");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!(["run", "$(DROVER_COMMAND_1)"]));
    assert_eq!(container["env"][0]["name"], "URL");
    assert!(container["env"][0]["valueFrom"]["secretKeyRef"]["name"].is_string());
    assert_eq!(container["env"][1], json!({ "name": "PLAIN", "value": "x" }));
    assert_eq!(container["env"][2]["name"], "DROVER_COMMAND_1");
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "blog-registries" }]));
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/run/token");
    // Another content is another object, and so another make of the pods.
    let mut other = setup;
    other.files["web"][0].content = b"other".to_vec();
    let changed = other.render(&project(text));
    assert_ne!(find(&changed, "Deployment", "blog-web"), deployment);
}

#[test]
fn sidekicks_share_a_pod() {
    let text = "services:
  web: {image: a, labels: {io.drover.sidekicks: log}}
  log: {image: b}
  proxy: {image: c, network_mode: 'service:web'}
";
    let all = rendered(text);
    assert_eq!(kinds(&all), ["Service/blog-net", "Deployment/blog-web"]);
    let containers =
        &find(&all, "Deployment", "blog-web")["spec"]["template"]["spec"]["containers"];
    let names: Vec<_> =
        containers.as_array().into_iter().flatten().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["web", "log", "proxy"]);
}

#[test]
fn services_that_share_a_volume_stay_on_a_node() {
    let text = "services:
  web: {image: a, volumes: ['data:/data']}
  cron: {image: a, volumes: ['data:/data']}
  db: {image: a, volumes: ['other:/data']}
volumes: {data: {}, other: {}}
";
    let all = rendered(text);
    let affinity = |name: &str| {
        find(&all, "Deployment", name)["spec"]["template"]["spec"]["affinity"]["podAffinity"]
            .clone()
    };
    assert!(!affinity("blog-web").is_null() && affinity("blog-web") == affinity("blog-cron"));
    assert!(affinity("blog-db").is_null());
}

#[test]
fn an_ingress_leads_to_the_port() {
    let text = "services:
  web:
    image: a
    ports: ['8080:80']
    x-drover-ingress:
      - {host: blog.example.com, tls: blog-tls, class: nginx}
      - {host: blog.example.com, path: /admin, port: 9000, class: nginx}
      - other.example.com
  api: {image: a, expose: ['3000'], x-drover-ingress: {path: /api}}
";
    let all = rendered(text);
    let ingress = find(&all, "Ingress", "blog-web");
    assert_eq!(ingress["spec"]["ingressClassName"], "nginx");
    assert_eq!(
        ingress["spec"]["tls"],
        json!([{ "hosts": ["blog.example.com"], "secretName": "blog-tls" }])
    );
    let paths = &ingress["spec"]["rules"][0]["http"]["paths"];
    assert_eq!(
        paths[0]["backend"]["service"],
        json!({ "name": "blog-web", "port": { "number": 8080 } })
    );
    assert_eq!(paths[1]["backend"]["service"]["port"]["number"], 9000);
    let second = find(&all, "Ingress", "blog-web-2");
    assert_eq!(second["spec"]["rules"][0]["host"], "other.example.com");
    let api = find(&all, "Ingress", "blog-api");
    assert_eq!(api["spec"]["rules"][0]["host"], Value::Null);
    assert_eq!(find(&all, "Service", "blog-api")["spec"]["type"], "ClusterIP");
}

#[test]
fn health_checks_become_probes() {
    let text = "services:
  web: {image: a, x-drover-health: {port: 80, http: {path: /up}, initializing_timeout: 60s}}
  quiet: {image: a, x-drover-health: {port: 81, strategy: none}}
  shell: {image: a, healthcheck: {test: 'curl localhost'}}
  none: {image: a, healthcheck: {disable: true}}
";
    let all = rendered(text);
    let container = |name: &str| {
        find(&all, "Deployment", name)["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let web = container("blog-web");
    assert_eq!(web["readinessProbe"]["httpGet"], json!({ "path": "/up", "port": 80 }));
    assert_eq!(web["livenessProbe"]["failureThreshold"], 3);
    assert_eq!(web["startupProbe"]["failureThreshold"], 30);
    let quiet = container("blog-quiet");
    assert_eq!(quiet["readinessProbe"]["tcpSocket"]["port"], 81);
    assert!(quiet["livenessProbe"].is_null());
    let shell = &container("blog-shell")["readinessProbe"]["exec"]["command"];
    assert_eq!(shell, &json!(["/bin/sh", "-c", "curl localhost"]));
    assert!(container("blog-none")["readinessProbe"].is_null());
}

#[test]
fn what_a_cluster_does_not_take_is_named() {
    use drover_compose::Severity::{Unsupported, Warning};
    let text = "services:
  web:
    image: a
    devices: [/dev/fuse]
    user: www-data
    network_mode: none
    ulimits: {nofile: 10}
    deploy: {mode: global, placement: {constraints: [node.id == x]}}
    volumes: ['data:/d']
    x-drover-ingress: blog.example.com
volumes: {data: {driver: rexray}}
";
    let found = codes(text);
    for (path, severity) in [
        ("services.web.devices", Unsupported),
        ("services.web.user", Unsupported),
        ("services.web.network_mode", Unsupported),
        ("services.web.deploy.placement.constraints", Unsupported),
        ("services.web.volumes", Unsupported),
        ("services.web.x-drover-ingress", Unsupported),
        ("volumes.data.driver", Unsupported),
        ("services.web.ulimits", Warning),
    ] {
        assert!(found.contains(&(path.to_owned(), severity)), "{path} is not in {found:?}");
    }
    let same = "services: {a_b: {image: a}, a-b: {image: a}}";
    assert!(codes(same).iter().any(|(_, severity)| *severity == Unsupported));
    assert_eq!(codes("services: {web: {image: a, ports: ['80:80']}}"), []);
}

#[test]
fn manifests_are_marked_and_stay_as_they_are() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, resourceVersion: '5', annotations: {drover.io/adopt: 'true'}}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: 'a:1'}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: odd}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: night}
spec: {schedule: '@daily'}
";
    let mut project = project(text);
    let setup = Setup { generations: [("web".to_owned(), 2)].into(), ..Setup::new() };
    let all = setup.render(&project);
    assert_eq!(kinds(&all), ["ConfigMap/c", "Deployment/web", "CronJob/night"]);
    let web = &all[1];
    assert!(web.adopt && web.service.as_deref() == Some("web"));
    assert!(web.value["spec"]["replicas"].is_null());
    assert!(web.value["metadata"]["resourceVersion"].is_null());
    assert_eq!(web.value["metadata"]["annotations"].as_object().map(|all| all.len()), Some(2));
    let template = &web.value["spec"]["template"]["metadata"];
    assert_eq!(template["labels"][names::SERVICE], "web");
    assert_eq!(template["annotations"][names::GENERATION], "2");
    assert!(template["annotations"][names::TEMPLATE].is_string());
    assert_eq!(web.value["spec"]["selector"], json!({ "matchLabels": { "app": "web" } }));
    // What is odd stays odd, for the cluster to refuse.
    assert_eq!(all[0].value["metadata"]["labels"], "odd");
    if let Some(service) = project.services.get_mut("web") {
        service.deploy.replicas = 4;
    }
    let scaled = setup.render(&project);
    assert_eq!(find(&scaled, "Deployment", "web")["spec"]["replicas"], 4);
    let stopped = Setup { stopped: true, ..Setup::new() }.render(&project);
    assert_eq!(find(&stopped, "Deployment", "web")["spec"]["replicas"], 0);
    assert_eq!(find(&stopped, "CronJob", "night")["spec"]["suspend"], true);
}

/// The answers that a version's questions get by themselves, with `choice` for the questions that
/// have choices.
fn answers(version: &yaml::Node, choice: usize) -> IndexMap<String, String> {
    let mut found = IndexMap::new();
    let items = |node: Option<&yaml::Node>| match node.map(|node| node.value.clone()) {
        Some(yaml::Value::List(items)) => items,
        _ => Vec::new(),
    };
    let mut all = items(version.get("questions"));
    let more: Vec<_> = all.iter().flat_map(|node| items(node.get("subquestions"))).collect();
    all.extend(more);
    for question in &all {
        let text = |key: &str| question.get(key).and_then(yaml::Node::text).map(str::to_owned);
        let Some(variable) = text("variable") else { continue };
        let options: Vec<String> = items(question.get("options"))
            .iter()
            .filter_map(|node| node.get("value").unwrap_or(node).text().map(str::to_owned))
            .collect();
        let option = options.get(choice % options.len().max(1)).cloned();
        let value = match text("type").as_deref() {
            Some("enum" | "radio") => option.or(text("default")),
            Some("boolean") => Some(["true", "false"][choice % 2].to_owned()),
            Some("password") => Some("hunter22hunter22".into()),
            Some("hostname") => text("default").or(Some("db.example.com".into())),
            Some("int") => text("default").or(Some("8080".into())),
            _ => text("default").or(Some("value".into())),
        };
        found.extend(value.map(|value| (variable, value)));
    }
    found
}

#[test]
fn every_template_of_the_catalog_is_rendered() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts-catalog");
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries.map(|e| e.path()).filter(|path| path.is_dir()).collect();
        all.sort();
        all
    };
    let mut count = 0;
    for version in folders(&catalog).iter().flat_map(|template| folders(template)) {
        let read = |name: &str| std::fs::read_to_string(version.join(name)).unwrap_or_default();
        let questions = yaml::parse(&read("version.yaml")).unwrap_or_else(|e| panic!("{e:?}"));
        for choice in 0..3 {
            let variables = answers(&questions, choice);
            let loaded = drover_compose::load(&read("compose.yaml"), &variables);
            let Some(project) = loaded.project else {
                panic!("{}: {:?}", version.display(), loaded.diagnostics)
            };
            let refused: Vec<_> = check::check(&project)
                .into_iter()
                .filter(|found| found.severity != drover_compose::Severity::Warning)
                .collect();
            assert_eq!(refused, [], "{}", version.display());
            let all = Setup::new().render(&project);
            let names: BTreeSet<_> = kinds(&all).into_iter().collect();
            assert_eq!(names.len(), all.len(), "{}", version.display());
            assert!(
                project
                    .services
                    .keys()
                    .all(|name| { all.iter().any(|object| object.service.as_ref() == Some(name)) })
            );
            assert_eq!(Setup::new().render(&project), all);
            count += 1;
        }
    }
    assert!(count > 60, "only {count} were found");
}
