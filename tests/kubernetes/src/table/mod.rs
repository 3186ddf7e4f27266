//! Tables: the columns and cells that Kubernetes' own printers give for its kinds, and those that
//! CustomResourceDefinitions ask for.

mod cells;
pub mod jsonpath;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    clock,
    resources::{Origin, ResourceType},
    store::Object,
};

/// How much of the object comes with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All.
    Object,
}

/// A column: name, type, format, and 0 for every table or 1 for wide ones.
type Column = (&'static str, &'static str, &'static str, u8);

const fn text(name: &'static str) -> Column {
    (name, "string", "", 0)
}

const fn number(name: &'static str) -> Column {
    (name, "integer", "", 0)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", "", 1)
}

const NAME: Column = ("Name", "string", "name", 0);
const AGE: Column = text("Age");
const CREATED: Column = ("Created At", "date", "", 0);

/// The columns of a built-in resource.
fn columns(group: &str, plural: &str) -> Vec<Column> {
    const CONTAINERS: Column = wide("Containers");
    const IMAGES: Column = wide("Images");
    const SELECTOR: Column = wide("Selector");
    match (group, plural) {
        ("", "pods") => vec![
            NAME,
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ],
        ("apps", "deployments") => vec![
            NAME,
            text("Ready"),
            text("Up-to-date"),
            text("Available"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("apps", "replicasets") | ("", "replicationcontrollers") => vec![
            NAME,
            number("Desired"),
            number("Current"),
            number("Ready"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("apps", "daemonsets") => vec![
            NAME,
            number("Desired"),
            number("Current"),
            number("Ready"),
            number("Up-to-date"),
            number("Available"),
            text("Node Selector"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("apps", "statefulsets") => vec![NAME, text("Ready"), AGE, CONTAINERS, IMAGES],
        ("apps", "controllerrevisions") => {
            vec![NAME, text("Controller"), ("Revision", "string", "", 0), AGE]
        }
        ("batch", "jobs") => vec![
            NAME,
            text("Status"),
            text("Completions"),
            text("Duration"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("batch", "cronjobs") => vec![
            NAME,
            text("Schedule"),
            text("Timezone"),
            ("Suspend", "boolean", "", 0),
            number("Active"),
            text("Last Schedule"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("", "services") => vec![
            NAME,
            text("Type"),
            text("Cluster-IP"),
            text("External-IP"),
            text("Port(s)"),
            AGE,
            SELECTOR,
        ],
        ("", "endpoints") => vec![NAME, text("Endpoints"), AGE],
        ("discovery.k8s.io", "endpointslices") => {
            vec![NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE]
        }
        ("networking.k8s.io", "ingresses") => {
            vec![NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE]
        }
        ("networking.k8s.io", "ingressclasses") => {
            vec![NAME, text("Controller"), text("Parameters"), AGE]
        }
        ("networking.k8s.io", "networkpolicies") => vec![NAME, text("Pod-Selector"), AGE],
        ("", "nodes") => vec![
            NAME,
            text("Status"),
            text("Roles"),
            AGE,
            text("Version"),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ],
        ("", "namespaces") => vec![NAME, text("Status"), AGE],
        ("", "configmaps") => vec![NAME, text("Data"), AGE],
        ("", "secrets") => vec![NAME, text("Type"), text("Data"), AGE],
        ("", "serviceaccounts") => vec![NAME, AGE],
        ("", "persistentvolumes") => vec![
            NAME,
            text("Capacity"),
            text("Access Modes"),
            text("Reclaim Policy"),
            text("Status"),
            text("Claim"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            text("Reason"),
            AGE,
            wide("VolumeMode"),
        ],
        ("", "persistentvolumeclaims") => vec![
            NAME,
            text("Status"),
            text("Volume"),
            text("Capacity"),
            text("Access Modes"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            AGE,
            wide("VolumeMode"),
        ],
        ("storage.k8s.io", "storageclasses") => vec![
            NAME,
            text("Provisioner"),
            text("ReclaimPolicy"),
            text("VolumeBindingMode"),
            ("AllowVolumeExpansion", "boolean", "", 0),
            AGE,
        ],
        ("", "events") => vec![
            text("Last Seen"),
            text("Type"),
            text("Reason"),
            text("Object"),
            wide("Subobject"),
            wide("Source"),
            text("Message"),
            wide("First Seen"),
            wide("Count"),
            ("Name", "string", "name", 1),
        ],
        ("autoscaling", "horizontalpodautoscalers") => vec![
            NAME,
            text("Reference"),
            text("Targets"),
            text("MinPods"),
            text("MaxPods"),
            text("Replicas"),
            AGE,
        ],
        ("policy", "poddisruptionbudgets") => vec![
            NAME,
            text("Min Available"),
            text("Max Unavailable"),
            number("Allowed Disruptions"),
            AGE,
        ],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            vec![NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")]
        }
        ("", "resourcequotas") => vec![NAME, text("Request"), text("Limit"), AGE],
        ("coordination.k8s.io", "leases") => vec![NAME, text("Holder"), AGE],
        ("scheduling.k8s.io", "priorityclasses") => vec![
            NAME,
            ("Value", "integer", "", 0),
            ("Global-Default", "boolean", "", 0),
            AGE,
            text("PreemptionPolicy"),
        ],
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations" | "mutatingwebhookconfigurations",
        ) => vec![NAME, number("Webhooks"), AGE],
        ("node.k8s.io", "runtimeclasses") => vec![NAME, text("Handler"), AGE],
        ("storage.k8s.io", "csinodes") => vec![NAME, number("Drivers"), AGE],
        ("certificates.k8s.io", "certificatesigningrequests") => vec![
            NAME,
            AGE,
            text("SignerName"),
            text("Requestor"),
            text("RequestedDuration"),
            text("Condition"),
        ],
        ("", "componentstatuses") => vec![NAME, text("Status"), text("Message"), text("Error")],
        ("", "podtemplates") => vec![NAME, text("Containers"), text("Images"), text("Pod Labels")],
        ("apiregistration.k8s.io", "apiservices") => {
            vec![NAME, text("Service"), text("Available"), AGE]
        }
        ("storage.k8s.io", "csidrivers") => vec![
            NAME,
            ("AttachRequired", "boolean", "", 0),
            ("PodInfoOnMount", "boolean", "", 0),
            ("StorageCapacity", "boolean", "", 0),
            text("TokenRequests"),
            ("RequiresRepublish", "boolean", "", 0),
            text("Modes"),
            AGE,
        ],
        _ => vec![NAME, CREATED],
    }
}

/// A custom resource's column.
struct Custom {
    kind: String,
    path: Option<jsonpath::Path>,
}

/// Makes the tables of one resource.
pub struct Maker {
    group: String,
    plural: String,
    definitions: Value,
    custom: Option<Vec<Custom>>,
    include: Include,
    version: &'static str,
    resource: ResourceType,
}

impl Maker {
    /// For a resource.
    pub fn new(resource: &ResourceType, include: Include, version: &'static str) -> Self {
        let (definitions, custom) = match &resource.origin {
            Origin::Custom(version) => custom_columns(&version.columns),
            _ => (built_in_columns(&columns(&resource.storage.0, &resource.storage.1)), None),
        };
        Self {
            group: resource.storage.0.clone(),
            plural: resource.storage.1.clone(),
            definitions,
            custom,
            include,
            version,
            resource: resource.clone(),
        }
    }

    /// A whole table.
    pub fn table(&self, metadata: &Value, objects: &[&Object], columns: bool) -> Bytes {
        let mut out = BytesMut::from(self.start(metadata, columns).as_bytes());
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            out.put(self.row(object));
        }
        out.put(&b"]}"[..]);
        out.freeze()
    }

    /// A table's beginning, up to its rows.
    pub fn head(&self, metadata: &Value) -> String {
        self.start(metadata, true)
    }

    fn start(&self, metadata: &Value, columns: bool) -> String {
        let columns = if columns { self.definitions.to_string() } else { "null".to_owned() };
        format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":[",
            self.version
        )
    }

    /// One row. Whole objects go out as the bytes that are kept.
    pub fn row(&self, object: &Object) -> Bytes {
        let value = object.value();
        let now = clock::now();
        let cells = match &self.custom {
            Some(columns) => custom_cells(columns, &value, now),
            None => cells::cells(&self.group, &self.plural, &value, now),
        };
        let mut out = BytesMut::with_capacity(object.bytes.len() + 512);
        out.put(format!("{{\"cells\":{cells},\"object\":").as_bytes());
        match self.include {
            Include::None => out.put(&b"null"[..]),
            Include::Metadata => out.put(
                format!(
                    "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{}}}",
                    self.version, value["metadata"]
                )
                .as_bytes(),
            ),
            Include::Object => out.put(crate::handlers::wire(&self.resource, object, true)),
        }
        out.put_u8(b'}');
        out.freeze()
    }
}

fn built_in_columns(columns: &[Column]) -> Value {
    columns
        .iter()
        .map(|(name, kind, format, priority)| definition(name, kind, format, "", *priority))
        .collect()
}

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: u8) -> Value {
    let description = match (description, name) {
        ("", "Name") => {
            "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
        }
        ("", "Age" | "Created At") => {
            "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
        }
        (description, _) => description,
    };
    json!({
        "name": name,
        "type": kind,
        "format": format,
        "description": description,
        "priority": priority,
    })
}

fn custom_columns(columns: &[Value]) -> (Value, Option<Vec<Custom>>) {
    let mut definitions = vec![definition("Name", "string", "name", "", 0)];
    let mut custom = Vec::new();
    let age = [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})];
    let columns = if columns.is_empty() { &age } else { columns };
    for column in columns {
        let word = |key: &str| column[key].as_str().unwrap_or_default();
        let description = match word("description") {
            "" if word("name") == "Age" => "",
            "" => "Custom resource definition column (in JSONPath format): ",
            text => text,
        };
        let description = match description {
            text if text.ends_with(": ") => format!("{text}{}", word("jsonPath")),
            text => text.to_owned(),
        };
        let priority = column["priority"].as_u64().and_then(|p| u8::try_from(p).ok()).unwrap_or(0);
        definitions.push(definition(
            word("name"),
            word("type"),
            word("format"),
            &description,
            priority,
        ));
        custom.push(Custom {
            kind: word("type").to_owned(),
            path: jsonpath::Path::parse(word("jsonPath")),
        });
    }
    (Value::Array(definitions), Some(custom))
}

fn custom_cells(columns: &[Custom], value: &Value, now: OffsetDateTime) -> Value {
    let mut cells = vec![value["metadata"]["name"].clone()];
    for column in columns {
        let found = column.path.as_ref().map(|path| path.find(value)).unwrap_or_default();
        cells.push(match found.first() {
            None => Value::Null,
            Some(first) => custom_cell(&column.kind, first, &found, now),
        });
    }
    Value::Array(cells)
}

fn custom_cell(kind: &str, first: &Value, all: &[&Value], now: OffsetDateTime) -> Value {
    match kind {
        "integer" => match first {
            Value::Number(number) => json!(
                number
                    .as_i64()
                    .or_else(|| number.as_f64().map(|n| format!("{n:.0}").parse().unwrap_or(0)))
            ),
            _ => Value::Null,
        },
        "number" => {
            if first.is_number() {
                (*first).clone()
            } else {
                Value::Null
            }
        }
        "boolean" => {
            if first.is_boolean() {
                (*first).clone()
            } else {
                Value::Null
            }
        }
        "date" => match first.as_str() {
            Some(text) => json!(cells::age(text, now)),
            None => json!("<unknown>"),
        },
        _ => match all {
            [Value::String(text)] => json!(text),
            _ => {
                let texts: Vec<_> = all
                    .iter()
                    .map(|one| match one {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    })
                    .collect();
                json!(texts.join(" "))
            }
        },
    }
}
