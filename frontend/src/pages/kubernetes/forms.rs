//! Forms for the kinds that people make every day: what is filled in, and the manifests that it
//! comes to.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    components::*,
    i18n::{fill, kubernetes, t},
};

/// The kinds that have a form, by their types' ids.
pub(super) const KINDS: [(&str, &str); 11] = [
    ("deployments.apps", "Deployment"),
    ("statefulsets.apps", "StatefulSet"),
    ("daemonsets.apps", "DaemonSet"),
    ("services", "Service"),
    ("configmaps", "ConfigMap"),
    ("secrets", "Secret"),
    ("jobs.batch", "Job"),
    ("cronjobs.batch", "CronJob"),
    ("ingresses.networking.k8s.io", "Ingress"),
    ("persistentvolumeclaims", "PersistentVolumeClaim"),
    ("namespaces", "Namespace"),
];

/// What is filled in; which of it matters depends on the kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filled {
    pub name: String,
    pub image: String,
    pub replicas: String,
    pub port: String,
    /// `none`, or a Service's type.
    pub service: String,
    pub command: String,
    pub cpu: String,
    pub memory: String,
    pub schedule: String,
    pub host: String,
    pub backend: String,
    pub path: String,
    /// Labels of a Service's pods: `app=web,tier=shop`.
    pub labels: String,
    /// The port of a Service's pods.
    pub target: String,
    pub class: String,
    pub size: String,
    pub mode: String,
    /// Environment variables, or data.
    pub values: Vec<(String, String)>,
}

/// Something that is wrong with what was filled in: the field, and what to do.
pub(super) type Wrong = (&'static str, &'static str);

/// The manifests of a kind.
///
/// # Errors
/// A field that cannot be left like that.
pub(super) fn documents(type_id: &str, filled: &Filled) -> Result<Vec<Value>, Wrong> {
    let words = kubernetes();
    if !is_name(&filled.name) {
        return Err(("name", words.name_bad));
    }
    let meta = json!({ "name": filled.name, "labels": { "app.kubernetes.io/name": filled.name } });
    let values: serde_json::Map<String, Value> = filled
        .values
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect();
    Ok(match type_id {
        "deployments.apps" => workload("Deployment", filled, meta)?,
        "statefulsets.apps" => workload("StatefulSet", filled, meta)?,
        "daemonsets.apps" => workload("DaemonSet", filled, meta)?,
        "services" => vec![service(filled, meta)?],
        "configmaps" => {
            vec![
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": values }),
            ]
        }
        "secrets" => vec![json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "stringData": values,
        })],
        "jobs.batch" => vec![json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job(filled)?,
        })],
        "cronjobs.batch" => {
            if !schedule_is_right(&filled.schedule) {
                return Err(("schedule", words.schedule_bad));
            }
            vec![json!({
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta,
                "spec": { "schedule": filled.schedule.trim(), "jobTemplate": { "spec": job(filled)? } },
            })]
        }
        "ingresses.networking.k8s.io" => vec![ingress(filled, meta)?],
        "persistentvolumeclaims" => {
            if filled.size.trim().is_empty() {
                return Err(("size", words.size_bad));
            }
            let mut spec = json!({
                "accessModes": [filled.mode],
                "resources": { "requests": { "storage": filled.size.trim() } },
            });
            if !filled.class.is_empty() {
                spec["storageClassName"] = json!(filled.class);
            }
            vec![
                json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec }),
            ]
        }
        _ => Vec::new(),
    })
}

/// A DNS label, as names of everyday objects are.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}

fn port(text: &str) -> Result<Option<u16>, Wrong> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse::<u16>().ok().filter(|port| *port > 0) {
            Some(port) => Ok(Some(port)),
            None => Err(("port", kubernetes().port_bad)),
        },
    }
}

fn container(filled: &Filled) -> Result<Value, Wrong> {
    let words = kubernetes();
    let image = filled.image.trim();
    if image.is_empty() || image.contains(char::is_whitespace) {
        return Err(("image", words.image_bad));
    }
    let mut container = json!({ "name": filled.name, "image": image });
    let command: Vec<&str> = filled.command.split_whitespace().collect();
    if !command.is_empty() {
        // What shells would do with quotes is left to a shell.
        container["command"] = match filled.command.contains(['"', '\'', '|', '&', '$', ';']) {
            true => json!(["sh", "-c", filled.command.trim()]),
            false => json!(command),
        };
    }
    if let Some(port) = port(&filled.port)? {
        container["ports"] = json!([{ "containerPort": port }]);
    }
    let env: Vec<Value> =
        filled.values.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    if !env.is_empty() {
        container["env"] = Value::Array(env);
    }
    let mut asked = serde_json::Map::new();
    for (name, text) in [("cpu", &filled.cpu), ("memory", &filled.memory)] {
        if !text.trim().is_empty() {
            asked.insert(name.to_owned(), json!(text.trim()));
        }
    }
    if !asked.is_empty() {
        let limits: serde_json::Map<_, _> = asked
            .iter()
            .filter(|(name, _)| *name == "memory")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        container["resources"] = json!({ "requests": asked });
        if !limits.is_empty() {
            container["resources"]["limits"] = Value::Object(limits);
        }
    }
    Ok(container)
}

/// Whether a text may be the schedule of a CronJob.
pub(super) fn schedule_is_right(schedule: &str) -> bool {
    schedule.split_whitespace().count() == 5 || schedule.trim().starts_with('@')
}

/// Labels as people write them: `app=web,tier=shop`.
fn labels(text: &str) -> Option<Value> {
    let pairs: Option<serde_json::Map<_, _>> = text
        .split(',')
        .map(|part| {
            let (key, value) = part.split_once('=')?;
            let (key, value) = (key.trim(), value.trim());
            (!key.is_empty()).then(|| (key.to_owned(), json!(value)))
        })
        .collect();
    pairs.map(Value::Object)
}

fn service(filled: &Filled, meta: Value) -> Result<Value, Wrong> {
    let words = kubernetes();
    let Some(selector) = labels(&filled.labels) else {
        return Err(("labels", words.pod_labels_bad));
    };
    let Some(port) = port(&filled.port)? else {
        return Err(("port", words.port_needed));
    };
    let target = match filled.target.trim() {
        "" => json!(port),
        text => text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    Ok(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": meta,
        "spec": {
            "type": filled.service,
            "selector": selector,
            "ports": [{ "port": port, "targetPort": target }],
        },
    }))
}

/// A workload, with a Service for its pods where one is wanted.
fn workload(kind: &str, filled: &Filled, meta: Value) -> Result<Vec<Value>, Wrong> {
    let words = kubernetes();
    let labels = json!({ "app.kubernetes.io/name": filled.name });
    let mut spec = json!({
        "selector": { "matchLabels": labels },
        "template": {
            "metadata": { "labels": labels },
            "spec": { "containers": [container(filled)?] },
        },
    });
    if kind != "DaemonSet" {
        let replicas = filled.replicas.trim().parse::<u32>();
        spec["replicas"] = json!(replicas.map_err(|_| ("replicas", words.replicas_bad))?);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!(filled.name);
    }
    let mut all = vec![json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec,
    })];
    if filled.service != "none" {
        let Some(port) = port(&filled.port)? else {
            return Err(("port", words.port_needed));
        };
        all.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {
                "type": filled.service,
                "selector": labels,
                "ports": [{ "port": port, "targetPort": port }],
            },
        }));
    }
    Ok(all)
}

/// The types of a Service, and that which it has already.
pub(super) fn service_types(now: Option<String>) -> Vec<(String, String)> {
    let words = kubernetes();
    let mut all: Vec<(String, String)> = [
        ("ClusterIP", words.service_cluster),
        ("NodePort", words.service_node),
        ("LoadBalancer", words.service_balancer),
    ]
    .map(|(key, label)| (key.to_owned(), label.to_owned()))
    .into();
    if let Some(now) = now.filter(|now| !now.is_empty() && all.iter().all(|(key, _)| key != now)) {
        all.push((now.clone(), now));
    }
    all
}

fn job(filled: &Filled) -> Result<Value, Wrong> {
    let container = container(filled)?;
    Ok(json!({
        "backoffLimit": 3,
        "template": { "spec": { "restartPolicy": "Never", "containers": [container] } },
    }))
}

fn ingress(filled: &Filled, meta: Value) -> Result<Value, Wrong> {
    let words = kubernetes();
    if !is_name(filled.backend.trim()) {
        return Err(("backend", words.backend_bad));
    }
    let Some(port) = port(&filled.port)? else {
        return Err(("port", words.port_needed));
    };
    if !filled.path.starts_with('/') {
        return Err(("path", words.path_bad));
    }
    let mut rule = json!({ "http": { "paths": [{
        "path": filled.path.trim(),
        "pathType": "Prefix",
        "backend": { "service": { "name": filled.backend.trim(), "port": { "number": port } } },
    }] } });
    if !filled.host.trim().is_empty() {
        rule["host"] = json!(filled.host.trim());
    }
    let mut spec = json!({ "rules": [rule] });
    if !filled.class.trim().is_empty() {
        spec["ingressClassName"] = json!(filled.class.trim());
    }
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec,
    }))
}

/// The fields of a form.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    name: RwSignal<String>,
    image: RwSignal<String>,
    replicas: RwSignal<String>,
    port: RwSignal<String>,
    service: RwSignal<String>,
    command: RwSignal<String>,
    cpu: RwSignal<String>,
    memory: RwSignal<String>,
    schedule: RwSignal<String>,
    host: RwSignal<String>,
    backend: RwSignal<String>,
    path: RwSignal<String>,
    labels: RwSignal<String>,
    target: RwSignal<String>,
    class: RwSignal<String>,
    size: RwSignal<String>,
    mode: RwSignal<String>,
    values: RwSignal<Vec<LabelRow>>,
}

impl Fields {
    /// Empty ones, with what most people want.
    pub(super) fn new() -> Self {
        let with = |text: &str| RwSignal::new(text.to_owned());
        Self {
            name: with(""),
            image: with(""),
            replicas: with("1"),
            port: with("80"),
            service: with("ClusterIP"),
            command: with(""),
            cpu: with(""),
            memory: with(""),
            schedule: with("0 3 * * *"),
            host: with(""),
            backend: with(""),
            path: with("/"),
            labels: with(""),
            target: with(""),
            class: with(""),
            size: with("1Gi"),
            mode: with("ReadWriteOnce"),
            values: RwSignal::new(vec![LabelRow::new("", "")]),
        }
    }

    /// What is filled in now.
    pub(super) fn read(self, type_id: &str) -> Filled {
        let get = |signal: RwSignal<String>| signal.get_untracked();
        let job = matches!(type_id, "jobs.batch" | "cronjobs.batch");
        Filled {
            name: get(self.name).trim().to_owned(),
            image: get(self.image),
            replicas: get(self.replicas),
            port: if job { String::new() } else { get(self.port) },
            service: match get(self.service).as_str() {
                // Chosen for a workload before.
                "none" if type_id == "services" => "ClusterIP".to_owned(),
                chosen => chosen.to_owned(),
            },
            command: get(self.command),
            cpu: get(self.cpu),
            memory: get(self.memory),
            schedule: get(self.schedule),
            host: get(self.host),
            backend: get(self.backend),
            path: get(self.path),
            labels: get(self.labels),
            target: get(self.target),
            class: get(self.class).trim().to_owned(),
            size: get(self.size),
            mode: get(self.mode),
            values: labels_of(self.values),
        }
    }

    /// The fields of a kind.
    pub(super) fn view(self, type_id: &str, form: Form) -> AnyView {
        let words = kubernetes();
        let name = view! {
            <TextField label=t().common.name value=self.name form=form name="name" help=words.name_help mono=true focus=true />
        };
        let rest = match type_id {
            "deployments.apps" | "statefulsets.apps" => self.workload(form, true),
            "daemonsets.apps" => self.workload(form, false),
            "services" => self.service(form),
            "jobs.batch" => self.container(form, false),
            "cronjobs.batch" => view! {
                <TextField label=words.schedule value=self.schedule form=form name="schedule" help=words.schedule_help mono=true />
                {self.container(form, false)}
            }
            .into_any(),
            "configmaps" => view! { <Data rows=self.values secret=false /> }.into_any(),
            "secrets" => view! { <Data rows=self.values secret=true /> }.into_any(),
            "ingresses.networking.k8s.io" => view! {
                <div class="form-row">
                    <TextField label=words.host value=self.host form=form name="host" placeholder="www.example.org" help=words.host_help optional=true mono=true />
                    <TextField label=words.path value=self.path form=form name="path" mono=true />
                </div>
                <div class="form-row">
                    <TextField label=words.backend_service value=self.backend form=form name="backend" mono=true />
                    <TextField label=words.port value=self.port form=form name="port" kind="number" />
                    <TextField label=words.class value=self.class form=form name="class" help=words.ingress_class_help optional=true mono=true />
                </div>
            }
            .into_any(),
            "persistentvolumeclaims" => {
                let modes: Vec<_> = [
                    ("ReadWriteOnce", words.mode_rwo),
                    ("ReadWriteMany", words.mode_rwx),
                    ("ReadOnlyMany", words.mode_rox),
                ]
                .map(|(key, label)| (key.to_owned(), label.to_owned()))
                .into();
                view! {
                    <div class="form-row">
                        <TextField label=words.size value=self.size form=form name="size" help=words.size_help mono=true />
                        <SelectField label=words.access_modes value=self.mode options=modes />
                        <TextField label=words.storage_class value=self.class form=form name="class" help=words.storage_class_help optional=true mono=true />
                    </div>
                }
                .into_any()
            }
            _ => view! { <p class="muted">{words.namespace_text}</p> }.into_any(),
        };
        view! { {name} {rest} }.into_any()
    }

    fn workload(self, form: Form, replicas: bool) -> AnyView {
        let words = kubernetes();
        let mut services = service_types(None);
        services.push(("none".to_owned(), words.service_none.to_owned()));
        view! {
            {self.container(form, true)}
            <div class="form-row">
                {replicas.then(|| view! { <TextField label=words.replicas value=self.replicas form=form name="replicas" kind="number" /> })}
                <SelectField label=words.service value=self.service options=services />
            </div>
        }
        .into_any()
    }

    fn service(self, form: Form) -> AnyView {
        let words = kubernetes();
        view! {
            <TextField label=words.pod_labels value=self.labels form=form name="labels" placeholder="app=web" mono=true />
            <div class="form-row">
                <TextField label=words.port value=self.port form=form name="port" kind="number" />
                <TextField label=words.target_port value=self.target form=form name="target" help=words.target_port_help optional=true mono=true />
                <SelectField label=words.of_type value=self.service options=service_types(None) />
            </div>
        }
        .into_any()
    }

    fn container(self, form: Form, ports: bool) -> AnyView {
        let words = kubernetes();
        view! {
            <div class="form-row">
                <TextField label=words.image value=self.image form=form name="image" placeholder="nginx:1.27" mono=true />
                {ports.then(|| view! { <TextField label=words.port value=self.port form=form name="port" kind="number" help=words.port_help optional=true /> })}
            </div>
            <TextField label=words.command value=self.command form=form name="command" help=words.command_help optional=true mono=true />
            <div class="form-row">
                <TextField label=fill(words.asks_for, &[("what", words.cpu)]) value=self.cpu form=form name="cpu" placeholder="100m" optional=true mono=true />
                <TextField label=fill(words.asks_for, &[("what", words.memory)]) value=self.memory form=form name="memory" placeholder="128Mi" optional=true mono=true />
            </div>
            <LabelEditor label=words.variables rows=self.values add=words.add_variable />
        }
        .into_any()
    }
}

/// Keys and values of a ConfigMap or Secret, with room for texts of several lines.
#[component]
fn Data(rows: RwSignal<Vec<LabelRow>>, secret: bool) -> impl IntoView {
    let words = kubernetes();
    let help = if secret { words.secret_help } else { words.data_help };
    view! {
        <LabelEditor label=words.data rows=rows help=help add=words.add_key long=true />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Filled {
        Filled {
            name: "web".into(),
            image: "nginx:1.27".into(),
            replicas: "2".into(),
            port: "80".into(),
            service: "ClusterIP".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_deployment_comes_with_its_service() {
        let all = documents("deployments.apps", &filled()).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0]["spec"]["replicas"], 2);
        assert_eq!(all[0]["spec"]["selector"]["matchLabels"], all[1]["spec"]["selector"]);
        let alone = Filled { service: "none".into(), port: String::new(), ..filled() };
        assert_eq!(documents("deployments.apps", &alone).unwrap().len(), 1);
        let no_port = Filled { port: String::new(), ..filled() };
        assert_eq!(documents("deployments.apps", &no_port).unwrap_err().0, "port");
    }

    #[test]
    fn other_workloads_have_what_they_need() {
        let all = documents("statefulsets.apps", &filled()).unwrap();
        assert_eq!(all[0]["spec"]["serviceName"], all[1]["metadata"]["name"]);
        let daemons = documents("daemonsets.apps", &filled()).unwrap();
        assert_eq!(daemons[0]["spec"].get("replicas"), None);
    }

    #[test]
    fn a_service_chooses_pods_by_their_labels() {
        let filled =
            Filled { labels: "app=web, tier=shop".into(), target: "http".into(), ..filled() };
        let all = documents("services", &filled).unwrap();
        assert_eq!(all[0]["spec"]["selector"], json!({ "app": "web", "tier": "shop" }));
        assert_eq!(all[0]["spec"]["ports"], json!([{ "port": 80, "targetPort": "http" }]));
        let none = Filled { labels: "web".into(), ..filled };
        assert_eq!(documents("services", &none).unwrap_err().0, "labels");
    }

    #[test]
    fn what_cannot_be_is_said_at_its_field() {
        let wrong = |change: fn(&mut Filled), of: &str| {
            let mut filled = filled();
            change(&mut filled);
            documents(of, &filled).unwrap_err().0
        };
        assert_eq!(wrong(|f| f.name = "Web".into(), "configmaps"), "name");
        assert_eq!(wrong(|f| f.image = "a b".into(), "jobs.batch"), "image");
        assert_eq!(wrong(|f| f.replicas = "x".into(), "deployments.apps"), "replicas");
        assert_eq!(wrong(|f| f.schedule = "daily".into(), "cronjobs.batch"), "schedule");
        assert_eq!(wrong(|f| f.backend = "".into(), "ingresses.networking.k8s.io"), "backend");
        assert_eq!(wrong(|f| f.size = " ".into(), "persistentvolumeclaims"), "size");
    }

    #[test]
    fn a_command_with_signs_of_a_shell_goes_to_one() {
        let of = |command: &str| {
            let filled = Filled { command: command.into(), ..filled() };
            container(&filled).unwrap()["command"].clone()
        };
        assert_eq!(of("sleep 10"), json!(["sleep", "10"]));
        assert_eq!(of("echo $HOME"), json!(["sh", "-c", "echo $HOME"]));
    }
}
