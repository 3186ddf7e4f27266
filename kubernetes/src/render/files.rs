//! Secrets and configs, variables that hold secrets, and what lets images be pulled.
//!
//! ConfigMaps and Secrets have the digest of their content in their names: another content is
//! another object, so that pods change over by their update rules, and a way back is there.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use drover_compose::{Project, Service};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{File, Registry, RenderError, Stack, names, pods, storage::Mounted};

/// The most that one object holds, bytes.
const LARGEST: usize = 1 << 20;
/// The key of the only entry.
const KEY: &str = "content";
/// What the variables with secret words of commands begin with.
pub(super) const ENTRYPOINT: &str = "ENTRYPOINT";
pub(super) const COMMAND: &str = "COMMAND";

/// Whether a text has the value of a secret variable in it.
pub(super) fn is_secret(stack: &Stack<'_>, text: &str) -> bool {
    stack.secrets.iter().map(ExposeSecret::expose_secret).any(|secret| match secret.len() {
        0 => false,
        // A short one would be found in many texts that have nothing to do with it.
        1..4 => text == secret,
        _ => text.contains(secret),
    })
}

/// The variable for a word of a command that holds a secret.
pub(super) fn word_name(part: &str, number: usize) -> String {
    format!("DROVER_{part}_{number}")
}

/// The variables of a container that hold secrets, with those for words of its commands.
fn secret_variables(stack: &Stack<'_>, service: &Service) -> Vec<(String, String)> {
    let own = service.environment.iter().map(|(key, value)| (key.clone(), value.clone()));
    let words = |words: &Option<Vec<String>>, part: &'static str| {
        let words = words.clone().unwrap_or_default().into_iter().enumerate();
        words.map(move |(number, word)| (word_name(part, number), word))
    };
    own.chain(words(&service.entrypoint, ENTRYPOINT))
        .chain(words(&service.command, COMMAND))
        .filter(|(_, value)| is_secret(stack, value))
        .collect()
}

fn environment_name(stack: &Stack<'_>, name: &str, all: &[(String, String)]) -> String {
    let digest = names::digest(stack.salt, &json!(all));
    names::label(&[stack.name, name, "env", &digest[..8]])
}

/// The Secret with the variables of a service that hold secrets.
pub(super) fn environment(
    stack: &Stack<'_>,
    name: &str,
    service: &Service,
) -> Result<Option<Value>, RenderError> {
    let all = secret_variables(stack, service);
    if all.is_empty() {
        return Ok(None);
    }
    let size: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > LARGEST {
        return Err(RenderError::TooLarge(format!("services.{name}.environment")));
    }
    let mut value = names::object("v1", "Secret", &environment_name(stack, name, &all));
    value["type"] = "Opaque".into();
    let data = all.iter().enumerate().map(|(number, (_, value))| {
        (format!("value-{number}"), Value::from(BASE64_STANDARD.encode(value)))
    });
    value["data"] = Value::Object(data.collect());
    Ok(Some(value))
}

/// The variables of a container.
pub(super) fn variables(stack: &Stack<'_>, name: &str, service: &Service) -> Vec<Value> {
    let secret = secret_variables(stack, service);
    let from = environment_name(stack, name, &secret);
    let reference = |key: &str| {
        let number = secret.iter().position(|(known, _)| known == key)?;
        Some(json!({
            "name": key,
            "valueFrom": { "secretKeyRef": { "name": from, "key": format!("value-{number}") } },
        }))
    };
    let own = service.environment.iter().map(|(key, value)| {
        reference(key).unwrap_or_else(|| json!({ "name": key, "value": pods::literal(value) }))
    });
    let words = secret.iter().filter(|(key, _)| !service.environment.contains_key(key));
    own.chain(words.filter_map(|(key, _)| reference(key))).collect()
}

/// What a file is kept in: kind and name.
fn kept_in(stack: &Stack<'_>, file: &File) -> (bool, String) {
    let text = std::str::from_utf8(&file.content).unwrap_or_default();
    let secret = file.secret || is_secret(stack, text);
    if let Some(own) = &file.own {
        let name = own.split_once('/').map_or(own.as_str(), |(name, _)| name);
        return (secret, name.to_owned());
    }
    let digest = names::digest_bytes(stack.salt, &file.content);
    (secret, names::label(&[stack.name, &file.source, &digest[..8]]))
}

/// The ConfigMaps and Secrets of a stack's files, each once.
pub(super) fn shared(stack: &Stack<'_>) -> Result<Vec<Value>, RenderError> {
    let mut all: BTreeMap<(bool, String), Value> = BTreeMap::new();
    for file in stack.files.values().flatten().filter(|file| file.own.is_none()) {
        if file.content.len() > LARGEST {
            return Err(RenderError::TooLarge(file.source.clone()));
        }
        let (secret, name) = kept_in(stack, file);
        let kind = if secret { "Secret" } else { "ConfigMap" };
        let mut value = names::object("v1", kind, &name);
        let encoded = || Value::from(BASE64_STANDARD.encode(&file.content));
        match (secret, std::str::from_utf8(&file.content)) {
            (true, _) => {
                value["type"] = "Opaque".into();
                value["data"] = json!({ KEY: encoded() });
            }
            (false, Ok(text)) => value["data"] = json!({ KEY: text }),
            (false, Err(_)) => value["binaryData"] = json!({ KEY: encoded() }),
        }
        all.insert((secret, name), value);
    }
    Ok(all.into_values().collect())
}

/// Puts the files of a service at their paths. Each is mounted alone, so that what the image has
/// beside it stays.
pub(super) fn mount(stack: &Stack<'_>, name: &str, out: &mut Mounted) {
    for file in stack.files.get(name).into_iter().flatten() {
        let (secret, object) = kept_in(stack, file);
        let key = match &file.own {
            Some(own) => own.split_once('/').map_or(file.source.as_str(), |(_, key)| key),
            None => KEY,
        };
        let item = json!([{ "key": key, "path": KEY, "mode": file.mode }]);
        let volume = names::label(&["file", &object, key, &format!("{:o}", file.mode)]);
        if out.volumes.iter().all(|known| known["name"] != volume.as_str()) {
            out.volumes.push(if secret {
                json!({ "name": volume, "secret": { "secretName": object, "items": item } })
            } else {
                json!({ "name": volume, "configMap": { "name": object, "items": item } })
            });
        }
        out.mounts.push(json!({
            "name": volume,
            "mountPath": file.path,
            "subPath": KEY,
            "readOnly": true,
        }));
    }
}

/// The registries that images of the project come from.
fn used<'a>(stack: &'a Stack<'_>, project: &Project) -> Vec<&'a Registry> {
    let host = |image: &str| match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host.to_owned(),
        _ => "docker.io".to_owned(),
    };
    let hosts: Vec<String> =
        project.services.values().map(|service| host(&service.image)).collect();
    stack.registries.iter().filter(|registry| hosts.contains(&registry.address)).collect()
}

pub(super) fn has_registries(stack: &Stack<'_>, project: &Project) -> bool {
    !used(stack, project).is_empty()
}

pub(super) fn registries_name(stack: &Stack<'_>) -> String {
    names::label(&[stack.name, "registries"])
}

/// The Secret that lets nodes pull images.
pub(super) fn registries(stack: &Stack<'_>, project: &Project) -> Option<Value> {
    let mut auths = Map::new();
    for registry in used(stack, project) {
        let password = registry.password.expose_secret();
        let key = match registry.address.as_str() {
            "docker.io" => "https://index.docker.io/v1/",
            other => other,
        };
        let both = format!("{}:{password}", registry.username);
        let entry = json!({
            "username": registry.username,
            "password": password,
            "auth": BASE64_STANDARD.encode(both),
        });
        auths.insert(key.to_owned(), entry);
    }
    if auths.is_empty() {
        return None;
    }
    let config = json!({ "auths": auths }).to_string();
    let mut value = names::object("v1", "Secret", &registries_name(stack));
    value["type"] = "kubernetes.io/dockerconfigjson".into();
    value["data"] = json!({ ".dockerconfigjson": BASE64_STANDARD.encode(config) });
    Some(value)
}
