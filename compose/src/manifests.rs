//! A text that is Kubernetes manifests: one or many documents, each an object. It becomes a
//! [`Project`] with those objects, whose services are the workloads among them, so that whoever
//! lists and scales services need not know the difference.
//!
//! `${NAME}` is filled in where the stack has a variable of that name. Every other dollar sign
//! stays as it is, since scripts in manifests are full of them.

use indexmap::IndexMap;

use crate::{
    Diagnostic, LARGEST_SOURCE, Manifest, Port, Project, Restart, Service, Severity, VariableUse,
    Variables,
    yaml::{self, Document, Node, Value},
};

/// The documents of a text, if it is manifests: its first document has an `apiVersion` and a
/// `kind`. A text that cannot be read is left to the reader of Compose texts to complain about.
pub(crate) fn recognise(source: &str) -> Option<Vec<Document>> {
    let documents = yaml::parse_documents(source, LARGEST_SOURCE).ok()?;
    let first = &documents.first()?.root;
    let is = first.get("apiVersion").is_some() && first.get("kind").is_some();
    is.then_some(documents)
}

/// The variables that manifests use, in their order.
pub(crate) fn variables_used(documents: &[Document]) -> Vec<VariableUse> {
    let mut found: IndexMap<String, u32> = IndexMap::new();
    for document in documents {
        walk(&document.root, &mut |node, text| {
            for (name, _) in names(text) {
                found.entry(name.to_owned()).or_insert(node.line);
            }
        });
    }
    let used = |(name, line)| VariableUse { name, default: None, required: false, line };
    found.into_iter().map(used).collect()
}

fn walk(node: &Node, see: &mut dyn FnMut(&Node, &str)) {
    match &node.value {
        Value::Scalar(text, _) => see(node, text),
        Value::List(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Map(entries) => entries.iter().for_each(|(_, node)| walk(node, see)),
    }
}

/// The names in `${NAME}`s of a text, and where each stands, in bytes.
fn names(text: &str) -> impl Iterator<Item = (&str, std::ops::Range<usize>)> {
    text.match_indices("${").filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        let name = &rest[..rest.find('}')?];
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        fits.then_some((name, at..at + 3 + name.len()))
    })
}

fn fill(node: &mut Node, variables: &dyn Variables) {
    match &mut node.value {
        Value::Scalar(text, _) => {
            let mut filled = String::new();
            let mut done = 0;
            for (name, place) in names(text) {
                let Some(value) = variables.get(name) else { continue };
                filled.push_str(&text[done..place.start]);
                filled.push_str(&value);
                done = place.end;
            }
            if done > 0 {
                filled.push_str(&text[done..]);
                *text = filled;
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, variables)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| fill(node, variables)),
    }
}

/// Reads the documents.
pub(crate) fn project(
    documents: Vec<Document>,
    variables: &dyn Variables,
    found: &mut Vec<Diagnostic>,
) -> Project {
    let mut project = Project::default();
    for (number, mut document) in documents.into_iter().enumerate() {
        fill(&mut document.root, variables);
        let root = &document.root;
        // A List is only a way to write several objects as one.
        let is_list = root.get("kind").and_then(Node::text) == Some("List");
        match root.get("items").map(|items| &items.value) {
            Some(Value::List(items)) if is_list => {
                for (item, node) in items.iter().enumerate() {
                    object(node, &format!("{}.items.{item}", number + 1), &mut project, found);
                }
            }
            _ => object(root, &(number + 1).to_string(), &mut project, found),
        }
    }
    if project.manifests.len() > MOST_OBJECTS {
        let message = format!("A stack has at most {MOST_OBJECTS} objects.");
        found.push(diagnostic(1, "", "too_many_objects", message));
    }
    project
}

/// How many objects one stack may have.
const MOST_OBJECTS: usize = 500;

fn diagnostic(line: u32, path: &str, code: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        line,
        column: 1,
        path: path.to_owned(),
        code: code.into(),
        message,
    }
}

fn object(node: &Node, path: &str, project: &mut Project, found: &mut Vec<Diagnostic>) {
    let text = |keys: &[&str]| {
        let mut node = Some(node);
        for key in keys {
            node = node.and_then(|node| node.get(key));
        }
        node.and_then(Node::text).filter(|text| !text.is_empty())
    };
    for keys in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
        if text(keys).is_none() {
            let key = keys.join(".");
            let generated = text(&["metadata", "generateName"]).is_some();
            let message = match generated && key == "metadata.name" {
                true => "An object of a stack needs a `metadata.name`: by `generateName` there would be a new one each time.".to_owned(),
                false => format!("`{key}` is missing here: this is no object of Kubernetes."),
            };
            found.push(diagnostic(node.line, &format!("{path}.{key}"), "missing", message));
            return;
        }
    }
    let manifest = node.to_json();
    let same = |other: &Manifest| {
        ["apiVersion", "kind"].iter().all(|key| other.object[*key] == manifest[*key])
            && ["name", "namespace"]
                .iter()
                .all(|key| other.object["metadata"][*key] == manifest["metadata"][*key])
    };
    if let Some(other) = project.manifests.iter().find(|other| same(other)) {
        let message = format!("This object stands here twice, first in line {}.", other.line);
        found.push(diagnostic(node.line, path, "duplicate_object", message));
        return;
    }
    let service = workload(node.line, &manifest).map(|service| {
        let name = text(&["metadata", "name"]).unwrap_or_default().to_owned();
        let kind = text(&["kind"]).unwrap_or_default().to_ascii_lowercase();
        let name =
            if project.services.contains_key(&name) { format!("{name}.{kind}") } else { name };
        project.services.insert(name.clone(), service);
        name
    });
    project.manifests.push(Manifest { line: node.line, service, object: manifest });
}

/// What of a workload those who list services show.
fn workload(line: u32, object: &serde_json::Value) -> Option<Service> {
    let api = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let spec = &object["spec"];
    let mut service = Service { line, ..Service::default() };
    let replicas = |key: &str| {
        let count = spec[key].as_u64().and_then(|count| u32::try_from(count).ok());
        count.unwrap_or(1)
    };
    let pod = match (api, kind) {
        ("apps/v1", "Deployment" | "StatefulSet" | "ReplicaSet") => {
            service.deploy.replicas = replicas("replicas");
            &spec["template"]["spec"]
        }
        ("apps/v1", "DaemonSet") => {
            service.deploy.global = true;
            &spec["template"]["spec"]
        }
        ("batch/v1", "Job") => {
            service.deploy.job = true;
            service.restart = Some(Restart::No);
            service.deploy.replicas = replicas("completions");
            &spec["template"]["spec"]
        }
        ("v1", "Pod") => spec,
        _ => return None,
    };
    let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    service.image =
        containers.first().and_then(|first| first["image"].as_str()).unwrap_or_default().into();
    for port in containers.iter().flat_map(|container| container["ports"].as_array()).flatten() {
        let Some(target) = port["containerPort"].as_u64().and_then(|n| u16::try_from(n).ok())
        else {
            continue;
        };
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_ascii_lowercase();
        service.ports.push(Port { host_ip: None, published: None, target, protocol, mode: None });
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    const TEXT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {run: 'echo ${HOME} ${PORT} $(x) $$'}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  template: {spec: {containers: [{name: a, image: 'nginx:1', ports: [{containerPort: 80}]}]}}\n";

    #[test]
    fn manifests_become_a_project() {
        let variables = IndexMap::from([("PORT".to_owned(), "8080".to_owned())]);
        let loaded = load(TEXT, &variables);
        assert_eq!(loaded.diagnostics, []);
        let project = loaded.project.unwrap_or_default();
        assert_eq!(project.manifests.len(), 2);
        assert_eq!(project.manifests[0].object["data"]["run"], "echo ${HOME} 8080 $(x) $$");
        assert_eq!(project.manifests[1].service.as_deref(), Some("web"));
        assert_eq!(project.manifests[1].line, 6);
        let web = &project.services["web"];
        assert_eq!((web.image.as_str(), web.deploy.replicas), ("nginx:1", 3));
        let used = crate::variables_used(TEXT);
        let names: Vec<_> = used.iter().map(|used| used.name.as_str()).collect();
        assert_eq!(names, ["HOME", "PORT"]);
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n";
        let project = load(text, &()).project.unwrap_or_default();
        let kinds: Vec<_> = project.manifests.iter().map(|m| m.object["kind"].as_str()).collect();
        assert_eq!(kinds, [Some("Service"), Some("Pod")]);
    }

    #[test]
    fn what_is_no_object_is_named_with_its_line() {
        for (text, code, line) in [
            ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "missing", 1),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nservices: {}\n", "missing", 5),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
                "duplicate_object",
                5,
            ),
        ] {
            let loaded = load(text, &());
            assert!(loaded.project.is_none(), "{text}");
            let first = &loaded.diagnostics[0];
            assert_eq!((first.code.as_str(), first.line), (code, line), "{text}");
        }
    }
}
