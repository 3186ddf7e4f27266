//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    resources::{Origin, ResourceType},
    status::{ApiError, Result},
};

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Greater(String, i64),
    Less(String, i64),
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Requirement>);

impl Labels {
    /// Reads the text of a query: `a=b,c!=d,e in (f,g),!h`.
    ///
    /// # Errors
    /// When it is none, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split_outside(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(format!("found '{text}', expected: identifier after ','"));
            }
            requirements.push(requirement(part)?);
        }
        Ok(Self(requirements))
    }

    /// From an object's `LabelSelector`; nothing selects nothing.
    pub fn of_object(selector: &Value) -> Option<Self> {
        let selector = selector.as_object()?;
        let mut requirements = Vec::new();
        if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                let value = value.as_str().unwrap_or_default().to_owned();
                requirements.push(Requirement::In(key.clone(), vec![value]));
            }
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.map(Vec::as_slice).unwrap_or_default() {
            requirements.push(expression_requirement(expression)?);
        }
        Some(Self(requirements))
    }

    /// From a plain map, as a Service has it.
    pub fn of_map(labels: &Value) -> Option<Self> {
        let labels = labels.as_object().filter(|labels| !labels.is_empty())?;
        let requirements = labels
            .iter()
            .map(|(key, value)| {
                Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()])
            })
            .collect();
        Some(Self(requirements))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                labels.get(key).is_some_and(|value| values.contains(value))
            }
            Requirement::NotIn(key, values) => {
                labels.get(key).is_none_or(|value| !values.contains(value))
            }
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Missing(key) => !labels.contains_key(key),
            Requirement::Greater(key, than) => number(labels, key).is_some_and(|n| n > *than),
            Requirement::Less(key, than) => number(labels, key).is_some_and(|n| n < *than),
        })
    }

    /// Whether it selects an object with the labels of this metadata.
    pub fn matches_value(&self, labels: &Value) -> bool {
        self.matches(&label_map(labels))
    }
}

/// Labels as a map.
pub fn label_map(labels: &Value) -> BTreeMap<String, String> {
    labels
        .as_object()
        .map(|labels| {
            labels
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect()
        })
        .unwrap_or_default()
}

fn number(labels: &BTreeMap<String, String>, key: &str) -> Option<i64> {
    labels.get(key)?.parse().ok()
}

fn expression_requirement(expression: &Value) -> Option<Requirement> {
    let key = expression["key"].as_str()?.to_owned();
    let values = || {
        let values = expression["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    match expression["operator"].as_str()? {
        "In" => Some(Requirement::In(key, values())),
        "NotIn" => Some(Requirement::NotIn(key, values())),
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::Missing(key)),
        _ => None,
    }
}

/// Splits at commas that stand in no parentheses.
fn split_outside(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::Missing(label_key(key.trim())?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(label_key(key)?, vec![label_value(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(label_key(key)?, vec![label_value(value)?]));
    }
    if let Some((key, value)) = part.split_once('>') {
        let value = value.trim().parse().map_err(|_| {
            format!("{value}: for 'Gt', 'Lt' operators, the value must be an integer")
        })?;
        return Ok(Requirement::Greater(label_key(key)?, value));
    }
    if let Some((key, value)) = part.split_once('<') {
        let value = value.trim().parse().map_err(|_| {
            format!("{value}: for 'Gt', 'Lt' operators, the value must be an integer")
        })?;
        return Ok(Requirement::Less(label_key(key)?, value));
    }
    let mut words = part.splitn(2, char::is_whitespace);
    let key = words.next().unwrap_or_default();
    let Some(rest) = words.next() else { return Ok(Requirement::Exists(label_key(key)?)) };
    let rest = rest.trim();
    let (operator, values) = rest
        .split_once('(')
        .ok_or_else(|| format!("found '{rest}', expected: in, notin, =, ==, !=, gt, lt"))?;
    let values = values
        .trim()
        .strip_suffix(')')
        .ok_or_else(|| format!("found '{values}', expected: ',' or ')'"))?;
    let values = values.split(',').map(label_value).collect::<Result<Vec<_>, _>>()?;
    match operator.trim() {
        "in" => Ok(Requirement::In(label_key(key)?, values)),
        "notin" => Ok(Requirement::NotIn(label_key(key)?, values)),
        other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
    }
}

fn label_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    match crate::names::qualified_name(key) {
        Some(why) => Err(format!("<nil>: Invalid value: \"{key}\": {why}")),
        None => Ok(key.to_owned()),
    }
}

fn label_value(value: &str) -> Result<String, String> {
    let value = value.trim();
    match crate::names::label_value(value) {
        Some(why) => Err(format!("<nil>: Invalid value: \"{value}\": {why}")),
        None => Ok(value.to_owned()),
    }
}

/// A field selector.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(Vec<String>, bool, String)>);

impl Fields {
    /// Reads the text of a query for one resource.
    ///
    /// # Errors
    /// When it is none, or names a field that cannot be selected by.
    pub fn parse(text: &str, resource: &ResourceType) -> Result<Self> {
        let mut terms = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (field, true, value)
            } else {
                return Err(ApiError::bad_request(format!(
                    "Unable to find \"{}\" that match label selector \"\", field selector \"{text}\": invalid selector: '{text}'; can't understand '{part}'",
                    resource.plural
                )));
            };
            if !selectable(resource, field) {
                let message = if resource.is_custom() || !known_fields(resource).is_empty() {
                    format!("field label not supported: {field}")
                } else {
                    format!(
                        "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                };
                return Err(ApiError::bad_request(format!(
                    "Unable to find \"{}\" that match label selector \"\", field selector \"{text}\": {message}",
                    crate::resources::api_version_resource(resource)
                )));
            }
            let path = path_of(resource, field);
            terms.push((path, equal, value.to_owned()));
        }
        Ok(Self(terms))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one name that it asks for, if it does.
    pub fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(path, equal, _)| {
                *equal && path.len() == 2 && path[0] == "metadata" && path[1] == "name"
            })
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether only metadata.name and metadata.namespace are asked for.
    pub fn only_keys(&self) -> bool {
        self.0.iter().all(|(path, _, _)| {
            path.len() == 2
                && path[0] == "metadata"
                && (path[1] == "name" || path[1] == "namespace")
        })
    }

    /// Whether it selects an object, by its key alone.
    pub fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().all(|(path, equal, wanted)| {
            let found = if path[1] == "name" { name } else { namespace };
            (found == wanted) == *equal
        })
    }

    /// Whether it selects an object.
    pub fn matches(&self, value: &Value) -> bool {
        self.0.iter().all(|(path, equal, wanted)| {
            let found = path.iter().fold(value, |value, field| &value[field.as_str()]);
            let found = match found {
                Value::String(text) => text.clone(),
                Value::Null => default_of(path).to_owned(),
                other => other.to_string(),
            };
            (found == *wanted) == *equal
        })
    }
}

fn default_of(path: &[String]) -> &'static str {
    match path.last().map(String::as_str) {
        Some("unschedulable" | "hostNetwork") => "false",
        Some("replicas" | "successful") => "0",
        _ => "",
    }
}

fn path_of(resource: &ResourceType, field: &str) -> Vec<String> {
    if resource.storage.1 == "events" && field == "source" {
        return vec!["source".to_owned(), "component".to_owned()];
    }
    if resource.storage.1 == "events" && field == "reportingController" {
        return vec!["reportingComponent".to_owned()];
    }
    field.split('.').map(str::to_owned).collect()
}

fn selectable(resource: &ResourceType, field: &str) -> bool {
    if field == "metadata.name" || field == "metadata.namespace" && resource.namespaced {
        return true;
    }
    if let Origin::Custom(version) = &resource.origin {
        return version.selectable.iter().any(|path| path.trim_start_matches('.') == field);
    }
    known_fields(resource).contains(&field)
}

/// The fields that a built-in kind can be selected by, beside those of its key.
fn known_fields(resource: &ResourceType) -> &'static [&'static str] {
    match resource.storage.1.as_str() {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "reportingController",
            "source",
            "type",
        ],
        "jobs" => &["status.successful"],
        "replicasets" | "replicationcontrollers" => &["status.replicas"],
        "certificatesigningrequests" => &["spec.signerName"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_are_read_as_kubernetes_reads_them() {
        let labels: BTreeMap<_, _> =
            [("app", "web"), ("tier", "front")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (text, expected) in [
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("app in (web, api),tier notin (back)", true),
            ("!app", false),
            ("other!=x", true),
            ("", true),
        ] {
            assert_eq!(Labels::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
        assert!(Labels::parse("app in web").is_err());
        assert!(Labels::parse("-app=web").is_err());
    }
}
