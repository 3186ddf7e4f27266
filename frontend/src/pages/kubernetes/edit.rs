//! An object of an everyday kind, edited by form: what people change most, everything else stays as
//! it is. The whole object is applied, as the YAML tab does, so that changes are shown and conflicts
//! are told in the same way.

use drover_api::{ObjectDetail, editable};
use leptos::prelude::*;
use serde_json::{Value, json};

use super::{
    Kube,
    forms::schedule_is_right,
    secret,
    write::{Outcome, Writing, changed_there, may_write},
};
use crate::{
    components::*,
    i18n::{fill, kubernetes, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// The kinds that have such a form.
pub(super) fn has_form(type_id: &str) -> bool {
    pod_spec(type_id).is_some()
        || matches!(
            type_id,
            "configmaps"
                | "secrets"
                | "services"
                | "persistentvolumeclaims"
                | "horizontalpodautoscalers.autoscaling"
        )
}

/// Where the pods of a workload are described. Those of Jobs cannot be changed any more.
fn pod_spec(type_id: &str) -> Option<&'static str> {
    match type_id {
        "deployments.apps" | "statefulsets.apps" | "daemonsets.apps" => Some("/spec/template/spec"),
        "cronjobs.batch" => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

/// Plain fields of a kind: their place, and whether they are numbers.
fn plain_fields(type_id: &str) -> &'static [(&'static str, bool)] {
    match type_id {
        "deployments.apps" | "statefulsets.apps" => &[("/spec/replicas", true)],
        "cronjobs.batch" => &[("/spec/schedule", false)],
        "services" => &[("/spec/type", false)],
        "persistentvolumeclaims" => &[("/spec/resources/requests/storage", false)],
        "horizontalpodautoscalers.autoscaling" => {
            &[("/spec/minReplicas", true), ("/spec/maxReplicas", true)]
        }
        _ => &[],
    }
}

/// What of a container can be changed.
#[derive(Debug, Clone, Default, PartialEq)]
struct Container {
    name: String,
    image: String,
    /// Requests of CPU and memory, then their limits.
    amounts: [String; 4],
    /// Variables with a value of their own.
    env: Vec<(String, String)>,
    /// How many come from somewhere else; those stay.
    borrowed: usize,
}

/// The places of [`Container::amounts`].
const AMOUNTS: [(&str, &str); 4] =
    [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")];

/// Everything in the form.
#[derive(Debug, Clone, Default, PartialEq)]
struct Edits {
    /// As [`plain_fields`] lists them.
    fields: Vec<String>,
    containers: Vec<Container>,
    /// A port of a Service, where it has one only: its own, and that of the pods.
    port: Option<(String, String)>,
    /// Texts of a ConfigMap or Secret.
    data: Option<Vec<(String, String)>>,
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number where it is one: ports may have names.
fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

impl Edits {
    fn read(type_id: &str, object: &Value) -> Self {
        let fields = plain_fields(type_id)
            .iter()
            .map(|(place, _)| object.pointer(place).map(text_of).unwrap_or_default())
            .collect();
        let containers = pod_spec(type_id)
            .and_then(|place| object.pointer(place)?["containers"].as_array())
            .map(|all| all.iter().map(Container::read).collect())
            .unwrap_or_default();
        let port = (type_id == "services")
            .then(|| match object.pointer("/spec/ports")?.as_array()?.as_slice() {
                [only] => Some((text_of(&only["port"]), text_of(&only["targetPort"]))),
                _ => None,
            })
            .flatten();
        let data = matches!(type_id, "configmaps" | "secrets")
            .then(|| secret::texts(object, type_id == "secrets"));
        Self { fields, containers, port, data }
    }

    /// The object with these changes.
    fn write(&self, type_id: &str, object: &Value) -> Value {
        let mut object = object.clone();
        for ((place, is_number), text) in plain_fields(type_id).iter().zip(&self.fields) {
            let text = text.trim();
            let value = if *is_number { number_or_text(text) } else { json!(text) };
            put(&mut object, place, (!text.is_empty()).then_some(value));
        }
        let all = pod_spec(type_id)
            .and_then(|place| object.pointer_mut(place)?.get_mut("containers")?.as_array_mut());
        for one in all.into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            if let Some(wanted) = self.containers.iter().find(|wanted| wanted.name == name) {
                wanted.write(one);
            }
        }
        if let Some((port, target)) = &self.port {
            put(&mut object, "/spec/ports/0/port", Some(number_or_text(port.trim())));
            let target = target.trim();
            let target = (!target.is_empty()).then(|| number_or_text(target));
            put(&mut object, "/spec/ports/0/targetPort", target);
        }
        if let Some(data) = &self.data {
            secret::put_texts(&mut object, data, type_id == "secrets");
        }
        object
    }

    /// What cannot be left like that.
    fn wrong(&self, type_id: &str) -> Option<&'static str> {
        let words = kubernetes();
        let is_number = |text: &String| text.trim().parse::<u32>().is_ok();
        let fields = plain_fields(type_id).iter().zip(&self.fields);
        if fields.clone().any(|((_, number), text)| *number && !is_number(text)) {
            return Some(words.replicas_bad);
        }
        if type_id == "cronjobs.batch" && !self.fields.first().is_some_and(|s| schedule_is_right(s))
        {
            return Some(words.schedule_bad);
        }
        if self.containers.iter().any(|one| one.image.trim().is_empty()) {
            return Some(words.image_bad);
        }
        let port = |text: &str| text.trim().parse::<u16>().is_ok_and(|port| port > 0);
        self.port.as_ref().filter(|(own, _)| !port(own)).map(|_| words.port_bad)
    }
}

/// Puts a value at a place, or takes it away with the empty objects around it.
fn put(object: &mut Value, place: &str, value: Option<Value>) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    match value {
        Some(value) => {
            if object.pointer(parent).is_none_or(Value::is_null) {
                put(object, parent, Some(json!({})));
            }
            if let Some(Value::Object(map)) = object.pointer_mut(parent) {
                map.insert(key.to_owned(), value);
            }
        }
        None => {
            let Some(Value::Object(map)) = object.pointer_mut(parent) else { return };
            map.remove(key);
            if map.is_empty() && parent.contains("resources") {
                put(object, parent, None);
            }
        }
    }
}

impl Container {
    fn read(container: &Value) -> Self {
        let env = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = |one: &&Value| one.get("valueFrom").is_none();
        Self {
            name: text_of(&container["name"]),
            image: text_of(&container["image"]),
            amounts: AMOUNTS.map(|(kind, what)| text_of(&container["resources"][kind][what])),
            env: env
                .iter()
                .filter(own)
                .map(|one| (text_of(&one["name"]), text_of(&one["value"])))
                .collect(),
            borrowed: env.iter().filter(|one| !own(one)).count(),
        }
    }

    fn write(&self, container: &mut Value) {
        container["image"] = json!(self.image.trim());
        for ((kind, what), amount) in AMOUNTS.iter().zip(&self.amounts) {
            let amount = amount.trim();
            let value = (!amount.is_empty()).then(|| json!(amount));
            put(container, &format!("/resources/{kind}/{what}"), value);
        }
        let before = container["env"].as_array().cloned().unwrap_or_default();
        let mut left = self.env.clone();
        let mut env: Vec<Value> = before
            .into_iter()
            .filter_map(|mut one| {
                if one.get("valueFrom").is_some() {
                    return Some(one);
                }
                let at = left.iter().position(|(name, _)| one["name"] == **name)?;
                let (_, value) = left.remove(at);
                // What was left out stays left out.
                if text_of(&one["value"]) != value {
                    one["value"] = json!(value);
                }
                Some(one)
            })
            .collect();
        env.extend(left.into_iter().map(|(name, value)| json!({ "name": name, "value": value })));
        put(container, "/env", (!env.is_empty()).then_some(Value::Array(env)));
    }
}

/// [`Container`], as it is typed.
#[derive(Clone)]
struct ContainerFields {
    name: String,
    image: RwSignal<String>,
    amounts: [RwSignal<String>; 4],
    env: RwSignal<Vec<LabelRow>>,
    borrowed: usize,
}

/// [`Edits`], as they are typed.
#[derive(Clone)]
struct Fields {
    fields: Vec<RwSignal<String>>,
    containers: Vec<ContainerFields>,
    port: Option<(RwSignal<String>, RwSignal<String>)>,
    data: Option<RwSignal<Vec<LabelRow>>>,
}

fn rows(pairs: &[(String, String)]) -> RwSignal<Vec<LabelRow>> {
    label_rows(pairs.iter().map(|(key, value)| (key, value)))
}

impl Fields {
    fn of(edits: &Edits) -> Self {
        let signal = |text: &String| RwSignal::new(text.clone());
        let container = |one: &Container| ContainerFields {
            name: one.name.clone(),
            image: signal(&one.image),
            amounts: one.amounts.each_ref().map(signal),
            env: rows(&one.env),
            borrowed: one.borrowed,
        };
        Self {
            fields: edits.fields.iter().map(signal).collect(),
            containers: edits.containers.iter().map(container).collect(),
            port: edits.port.as_ref().map(|(own, target)| (signal(own), signal(target))),
            data: edits.data.as_ref().map(|data| rows(data)),
        }
    }

    fn read(&self) -> Edits {
        let get = |signal: &RwSignal<String>| signal.get_untracked();
        let container = |one: &ContainerFields| Container {
            name: one.name.clone(),
            image: get(&one.image),
            amounts: one.amounts.each_ref().map(get),
            env: labels_of(one.env),
            borrowed: one.borrowed,
        };
        Edits {
            fields: self.fields.iter().map(get).collect(),
            containers: self.containers.iter().map(container).collect(),
            port: self.port.as_ref().map(|(own, target)| (get(own), get(target))),
            data: self.data.map(labels_of),
        }
    }

    fn view(&self, type_id: &str) -> AnyView {
        let words = kubernetes();
        let field = |at: usize| self.fields.get(at).copied().unwrap_or_default();
        let plain = match type_id {
            "deployments.apps" | "statefulsets.apps" => view! {
                <TextField label=words.replicas value=field(0) kind="number" help=words.replicas_help />
            }
            .into_any(),
            "cronjobs.batch" => view! {
                <TextField label=words.schedule value=field(0) help=words.schedule_help mono=true />
            }
            .into_any(),
            "services" => self.service(),
            "persistentvolumeclaims" => view! {
                <TextField label=words.size value=field(0) help=words.size_grows mono=true />
            }
            .into_any(),
            "horizontalpodautoscalers.autoscaling" => view! {
                <div class="form-row">
                    <TextField label=words.least value=field(0) kind="number" />
                    <TextField label=words.most value=field(1) kind="number" />
                </div>
            }
            .into_any(),
            _ => ().into_any(),
        };
        let several = self.containers.len() > 1;
        let containers = self.containers.iter().map(|one| one.view(several)).collect_view();
        let help = if type_id == "secrets" { words.secret_help } else { words.data_help };
        let data = self.data.map(|rows| {
            view! {
                <LabelEditor label=words.data rows=rows help=help add=words.add_key long=true />
            }
        });
        view! { {plain} {containers} {data} }.into_any()
    }

    fn service(&self) -> AnyView {
        let words = kubernetes();
        let kind = self.fields.first().copied().unwrap_or_default();
        let kinds = super::forms::service_types(Some(kind.get_untracked()));
        let port = self.port.map(|(own, target)| view! {
            <TextField label=words.port value=own kind="number" />
            <TextField label=words.target_port value=target help=words.target_port_help mono=true optional=true />
        });
        view! {
            <div class="form-row">
                <SelectField label=words.of_type value=kind options=kinds />
                {port}
            </div>
        }
        .into_any()
    }
}

impl ContainerFields {
    fn view(&self, several: bool) -> AnyView {
        let words = kubernetes();
        let heading = several.then(|| view! { <h3 class="break">{self.name.clone()}</h3> });
        let amounts = self
            .amounts
            .iter()
            .zip(AMOUNTS)
            .map(|(value, (kind, what))| {
                let what = if what == "cpu" { words.cpu } else { words.memory };
                let words_of = if kind == "requests" { words.asks_for } else { words.limit_of };
                let label = fill(words_of, &[("what", what)]);
                view! { <TextField label=label value=*value mono=true optional=true /> }
            })
            .collect_view();
        let borrowed = (self.borrowed > 0)
            .then(|| view! { <p class="small muted">{words.borrowed_variables}</p> });
        view! {
            <div class="stack">
                {heading}
                <TextField label=words.image value=self.image mono=true />
                <div class="form-row">{amounts}</div>
                <LabelEditor label=words.variables rows=self.env add=words.add_variable />
                {borrowed}
            </div>
        }
        .into_any()
    }
}

/// The tab.
#[component]
pub(super) fn Edit(kube: Kube, type_id: String, detail: Remote<ObjectDetail>) -> impl IntoView {
    let words = kubernetes();
    let now = Memo::new(move |_| {
        detail.with(|one| one.map(|one| editable(&one.object)).unwrap_or_default())
    });
    // What the form was made from, and is compared with.
    let base = RwSignal::new(now.get_untracked());
    let id = StoredValue::new(type_id);
    let fields = Memo::new_with_compare(
        move |_| {
            let edits = id.with_value(|id| base.with(|base| Edits::read(id, base)));
            Made(Fields::of(&edits), edits)
        },
        |_, _| true,
    );
    let typed = move || fields.with_untracked(|Made(fields, _)| fields.read());
    let is_edited = move || fields.with_untracked(|Made(fields, edits)| fields.read() != *edits);
    let moved = RwSignal::new(false);
    let applied = StoredValue::new(false);
    let take = move || {
        moved.set(false);
        base.set(now.get_untracked());
    };
    Effect::new(move || {
        let same = now.with(|now| base.with_untracked(|base| now == base));
        if same {
            return;
        }
        if applied.get_value() || !is_edited() {
            applied.set_value(false);
            take();
        } else {
            moved.set(true);
        }
    });
    let done = Callback::new(move |_| {
        applied.set_value(true);
        use_toasts().success(words.is_applied);
        detail.reload();
    });
    let text = RwSignal::new(String::new());
    let writing = Writing::new(kube, text, RwSignal::new(String::new()), done);
    let problem = RwSignal::new(None::<&'static str>);
    let send = move |dry_run: bool| {
        applied.set_value(false);
        let edits = typed();
        let wrong = id.with_value(|id| edits.wrong(id));
        problem.set(wrong);
        if wrong.is_none() {
            let object = id.with_value(|id| base.with_untracked(|base| edits.write(id, base)));
            // JSON is YAML.
            text.set(object.to_string());
            writing.send(dry_run, false);
        }
    };
    let may = may_write(detail);
    let forbidden = Signal::derive(move || !may.get());
    view! {
        <div class="stack">
            {move || moved.get().then(|| changed_there(take))}
            <Card>
                <form class="stack" on:submit=move |event| { event.prevent_default(); send(true); }>
                    {move || fields.with(|Made(fields, _)| id.with_value(|id| fields.view(id)))}
                    {move || problem.get().map(|problem| view! { <Notice tone=Tone::Bad>{problem}</Notice> })}
                    {move || forbidden.get().then(|| view! { <p class="small muted">{t().error.forbidden}</p> })}
                    <div class="form-actions">
                        <Button label=words.show_changes icon=Glyph::Eye submit=true busy=writing.is_busy() disabled=forbidden />
                        <Button label=words.apply look=Look::Primary busy=writing.is_busy() disabled=forbidden on_click=move |_| send(false) />
                    </div>
                </form>
            </Card>
            <Outcome writing=writing />
        </div>
    }
    .into_any()
}

/// The form's fields, and what they began with.
#[derive(Clone)]
struct Made(Fields, Edits);

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "uid": "x", "resourceVersion": "7",
                "annotations": { "deployment.kubernetes.io/revision": "3", "mine": "y" } },
            "spec": { "replicas": 2, "template": { "spec": { "containers": [{
                "name": "web", "image": "nginx:1",
                "resources": { "requests": { "cpu": "50m" } },
                "env": [
                    { "name": "A", "value": "1" },
                    { "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                    { "name": "EMPTY" },
                ],
            }] } } },
            "status": { "replicas": 2 },
        })
    }

    #[test]
    fn what_is_not_edited_stays() {
        let object = editable(&deployment());
        assert_eq!(object.get("status"), None);
        assert_eq!(object["metadata"], json!({ "name": "web", "annotations": { "mine": "y" } }));
        let edits = Edits::read("deployments.apps", &object);
        assert_eq!(edits.write("deployments.apps", &object), object);
        assert_eq!(edits.containers[0].borrowed, 1);
        assert_eq!(edits.wrong("deployments.apps"), None);
    }

    #[test]
    fn a_workload_is_changed_where_the_form_says_so() {
        let object = editable(&deployment());
        let mut edits = Edits::read("deployments.apps", &object);
        edits.fields[0] = "5".into();
        let container = &mut edits.containers[0];
        container.image = "nginx:2".into();
        container.amounts = ["".into(), "64Mi".into(), "".into(), "".into()];
        container.env = vec![("A".into(), "2".into()), ("B".into(), "3".into())];
        let changed = edits.write("deployments.apps", &object);
        assert_eq!(changed["spec"]["replicas"], 5);
        let one = &changed["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(one["image"], "nginx:2");
        assert_eq!(one["resources"], json!({ "requests": { "memory": "64Mi" } }));
        let names: Vec<_> =
            one["env"].as_array().unwrap().iter().map(|one| text_of(&one["name"])).collect();
        assert_eq!(names, ["A", "KEY", "B"]);
        assert_eq!(one["env"][0]["value"], "2");
        let mut none = Edits::read("deployments.apps", &object);
        none.containers[0].amounts = Default::default();
        let changed = none.write("deployments.apps", &object);
        assert_eq!(changed.pointer("/spec/template/spec/containers/0/resources"), None);
        edits.fields[0] = "many".into();
        assert!(edits.wrong("deployments.apps").is_some());
    }

    #[test]
    fn a_service_with_one_port_can_change_it() {
        let object = json!({ "spec": { "type": "ClusterIP",
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] } });
        let mut edits = Edits::read("services", &object);
        edits.port = Some(("8080".into(), "9090".into()));
        let changed = edits.write("services", &object);
        assert_eq!(
            changed["spec"]["ports"],
            json!([{ "name": "http", "port": 8080, "targetPort": 9090 }])
        );
        let many = json!({ "spec": { "ports": [{ "port": 1 }, { "port": 2 }] } });
        assert_eq!(Edits::read("services", &many).port, None);
        assert_eq!(edits.wrong("services"), None);
        edits.port = Some(("0".into(), String::new()));
        assert!(edits.wrong("services").is_some());
    }

    #[test]
    fn data_of_a_config_map_are_changed_and_bytes_stay() {
        let object = json!({ "data": { "a": "1", "b": "x\ny" }, "binaryData": { "c": "AA==" } });
        let mut edits = Edits::read("configmaps", &object);
        let data = edits.data.as_mut().unwrap();
        assert_eq!(data.len(), 2);
        data.remove(0);
        data.push(("d".into(), "2".into()));
        assert_eq!(
            edits.write("configmaps", &object),
            json!({ "data": { "b": "x\ny", "d": "2" }, "binaryData": { "c": "AA==" } })
        );
    }
}
