//! What objects look like: the schemas of the built-in types (from k8s-openapi, with what
//! Kubernetes says of how lists merge) and those of CustomResourceDefinitions, in one form.

mod check;
mod lists;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Map, Value, json};

pub use check::{prune, type_error};

/// All named schemas: as OpenAPI has them, and compiled.
#[derive(Debug, Default)]
pub struct Definitions {
    /// As OpenAPI v3 has them.
    pub raw: BTreeMap<String, Value>,
    nodes: HashMap<String, Arc<Node>>,
}

impl Definitions {
    /// From what the types say of themselves.
    pub fn new(mut raw: BTreeMap<String, Value>) -> Self {
        for (name, schema) in &mut raw {
            lists::annotate(name, schema);
        }
        let nodes = raw
            .iter()
            .map(|(name, schema)| (name.clone(), Arc::new(Node::compile(name, schema))))
            .collect();
        Self { raw, nodes }
    }
}

/// A schema with what its references mean.
#[derive(Clone)]
pub struct Schema {
    node: Arc<Node>,
    definitions: Arc<Definitions>,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("name", &self.node.name).finish_non_exhaustive()
    }
}

/// How the entries of a list are told apart when it is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    Atomic,
    /// Each value stands once.
    Set,
    /// Entries have keys.
    Map(Vec<String>),
}

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// A whole number or a text.
    IntOrString,
    /// Fields.
    Object {
        fields: BTreeMap<String, Link>,
        additional: Option<Link>,
        preserve: bool,
        embedded: bool,
    },
    /// A list.
    List { items: Link, kind: ListType, patch_key: Option<String> },
}

/// A schema, or the name of one.
#[derive(Debug)]
pub enum Link {
    Inline(Arc<Node>),
    Named(String),
}

/// One schema.
#[derive(Debug)]
pub struct Node {
    /// The Go type, or empty.
    name: String,
    shape: Shape,
    atomic: bool,
    nullable: bool,
    required: Vec<String>,
    /// The schema itself, for what is rarely asked.
    raw: Value,
}

impl Node {
    fn compile(name: &str, raw: &Value) -> Self {
        let flag = |key: &str| raw[key].as_bool().unwrap_or(false);
        let required = raw["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            name: name.rsplit('.').next().unwrap_or_default().to_owned(),
            shape: shape(raw),
            atomic: raw["x-kubernetes-map-type"] == "atomic",
            nullable: flag("nullable"),
            required: required.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            raw: raw.clone(),
        }
    }
}

fn link(raw: &Value) -> Link {
    let reference = raw["$ref"].as_str().or_else(|| raw["allOf"][0]["$ref"].as_str());
    match reference {
        Some(reference) => Link::Named(reference.rsplit('/').next().unwrap_or_default().to_owned()),
        None => Link::Inline(Arc::new(Node::compile("", raw))),
    }
}

fn shape(raw: &Value) -> Shape {
    let flag = |key: &str| raw[key].as_bool().unwrap_or(false);
    if flag("x-kubernetes-int-or-string") || raw["format"] == "int-or-string" {
        return Shape::IntOrString;
    }
    match raw["type"].as_str() {
        Some("string") => Shape::String,
        Some("integer") => Shape::Integer,
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        Some("array") => Shape::List {
            items: link(&raw["items"]),
            kind: list_type(raw),
            patch_key: raw["x-kubernetes-patch-merge-key"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| (raw["x-kubernetes-patch-strategy"] == "merge").then(String::new)),
        },
        _ if raw["properties"].is_object() || raw["type"] == "object" => {
            let empty = Map::new();
            let fields = raw["properties"].as_object().unwrap_or(&empty);
            let additional = match &raw["additionalProperties"] {
                Value::Object(_) => Some(link(&raw["additionalProperties"])),
                Value::Bool(true) => Some(Link::Inline(Arc::new(Node::compile("", &json!({}))))),
                _ => None,
            };
            Shape::Object {
                fields: fields.iter().map(|(name, raw)| (name.clone(), link(raw))).collect(),
                additional,
                preserve: flag("x-kubernetes-preserve-unknown-fields"),
                embedded: flag("x-kubernetes-embedded-resource"),
            }
        }
        _ => Shape::Any,
    }
}

fn list_type(raw: &Value) -> ListType {
    match raw["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = raw["x-kubernetes-list-map-keys"].as_array();
            let keys = keys.map(Vec::as_slice).unwrap_or_default();
            ListType::Map(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
        }
        _ => ListType::Atomic,
    }
}

impl Schema {
    /// The schema of that name; anything, if there is none.
    pub fn named(definitions: &Arc<Definitions>, name: &str) -> Self {
        match definitions.nodes.get(name) {
            Some(node) => Self { node: Arc::clone(node), definitions: Arc::clone(definitions) },
            None => Self::any(),
        }
    }

    /// The schema of a CustomResourceDefinition's version. What every object has is added.
    pub fn of_custom(definitions: &Arc<Definitions>, raw: &Value) -> Self {
        let mut raw = raw.clone();
        if !raw.is_object() {
            raw = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
        raw["properties"]["apiVersion"] = json!({"type": "string"});
        raw["properties"]["kind"] = json!({"type": "string"});
        raw["properties"]["metadata"] = json!({
            "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        });
        Self { node: Arc::new(Node::compile("", &raw)), definitions: Arc::clone(definitions) }
    }

    /// Whatever there may be.
    pub fn any() -> Self {
        Self {
            node: Arc::new(Node::compile("", &json!({}))),
            definitions: Arc::new(Definitions::default()),
        }
    }

    fn follow(&self, link: &Link) -> Self {
        match link {
            Link::Inline(node) => {
                Self { node: Arc::clone(node), definitions: Arc::clone(&self.definitions) }
            }
            Link::Named(name) => match self.definitions.nodes.get(name) {
                Some(node) => {
                    Self { node: Arc::clone(node), definitions: Arc::clone(&self.definitions) }
                }
                None => Self::any(),
            },
        }
    }

    /// What it may be.
    pub fn shape(&self) -> &Shape {
        &self.node.shape
    }

    /// The Go type's name, or nothing.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// The schema as OpenAPI has it.
    pub fn raw(&self) -> &Value {
        &self.node.raw
    }

    /// Whether it stands in its own right as one value.
    pub fn is_atomic(&self) -> bool {
        self.node.atomic
    }

    /// Whether it may be null.
    pub fn nullable(&self) -> bool {
        self.node.nullable
    }

    /// The fields that must be there.
    pub fn required(&self) -> &[String] {
        &self.node.required
    }

    /// The schema of a field or entry, if it is known.
    pub fn field(&self, name: &str) -> Option<Self> {
        match &self.node.shape {
            Shape::Object { fields, additional, .. } => {
                fields.get(name).or(additional.as_ref()).map(|link| self.follow(link))
            }
            Shape::Any => Some(Self::any()),
            _ => None,
        }
    }

    /// Whether the field is one of a struct's, and not an entry of a map.
    pub fn is_struct_field(&self, name: &str) -> bool {
        matches!(&self.node.shape, Shape::Object { fields, .. } if fields.contains_key(name))
    }

    /// Whether fields that are not known may stay.
    pub fn preserves(&self) -> bool {
        matches!(&self.node.shape, Shape::Object { preserve: true, .. } | Shape::Any)
    }

    /// Whether it is an object with apiVersion, kind and metadata of its own.
    pub fn is_embedded(&self) -> bool {
        matches!(&self.node.shape, Shape::Object { embedded: true, .. })
    }

    /// The schema of a list's entries.
    pub fn items(&self) -> Option<Self> {
        match &self.node.shape {
            Shape::List { items, .. } => Some(self.follow(items)),
            Shape::Any => Some(Self::any()),
            _ => None,
        }
    }

    /// How the list merges by apply.
    pub fn list_type(&self) -> &ListType {
        match &self.node.shape {
            Shape::List { kind, .. } => kind,
            _ => &ListType::Atomic,
        }
    }

    /// How the list merges by strategic merge: by that key, by value (an empty key), or not.
    pub fn patch_key(&self) -> Option<&str> {
        match &self.node.shape {
            Shape::List { patch_key, .. } => patch_key.as_deref(),
            _ => None,
        }
    }

    /// The default of a field of a list's entry, for its key.
    pub fn key_default(&self, key: &str) -> Option<Value> {
        let field = self.items()?.field(key)?;
        match field.raw().get("default") {
            Some(default) => Some(default.clone()),
            None if key == "protocol" => Some(json!("TCP")),
            None => None,
        }
    }

    /// The schema below a path of fields.
    pub fn at(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |schema, field| schema.field(field))
    }
}
