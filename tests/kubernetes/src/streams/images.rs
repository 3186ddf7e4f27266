//! What made-up images do: which cannot be pulled, and on which ports those with a server answer.

use serde_json::Value;

/// Whether an image is in no registry.
pub fn is_missing(image: &str) -> bool {
    let (name, tag) = split(image);
    let last = name.rsplit('/').next().unwrap_or_default();
    last == "missing"
        || last.contains("does-not-exist")
        || last.contains("doesnotexist")
        || last.contains("nonexistent")
        || tag.contains("does-not-exist")
        || tag.contains("doesnotexist")
        || tag.contains("nonexistent")
        || tag == "missing"
        // Names of this domain lead nowhere (RFC 2606).
        || name.split('/').next().is_some_and(|host| host.ends_with(".invalid"))
}

fn split(image: &str) -> (&str, &str) {
    let bare = image.split('@').next().unwrap_or_default();
    match bare.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (bare, "latest"),
    }
}

/// Where an image's own server listens.
const SERVERS: &[(&str, &[u16])] = &[
    ("nginx", &[80]),
    ("nginx-unprivileged", &[8080]),
    ("httpd", &[80]),
    ("caddy", &[80, 443]),
    ("whoami", &[80]),
    ("echo", &[8080]),
    ("redis", &[6379]),
    ("valkey", &[6379]),
    ("postgres", &[5432]),
    ("mysql", &[3306]),
    ("mariadb", &[3306]),
    ("registry", &[5000]),
    ("pause", &[]),
    ("busybox", &[]),
    ("alpine", &[]),
    ("debian", &[]),
    ("ubuntu", &[]),
];

/// The ports on which a container answers: those of its image; for an image that is not known
/// those that it declares. With a command of its own it answers on none.
pub fn ports(container: &Value) -> Vec<u16> {
    let list = |field: &str| container[field].as_array().is_some_and(|all| !all.is_empty());
    if list("command") {
        return Vec::new();
    }
    let (name, _) = split(container["image"].as_str().unwrap_or_default());
    let last = name.rsplit('/').next().unwrap_or_default();
    if let Some((_, ports)) = SERVERS.iter().find(|(image, _)| *image == last) {
        return ports.to_vec();
    }
    container["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|port| port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok()))
        .collect()
}

/// Whether an image without a command ends at once, as a shell without a terminal does.
pub fn ends_at_once(image: &str) -> bool {
    let (name, _) = split(image);
    let last = name.rsplit('/').next().unwrap_or_default();
    matches!(last, "busybox" | "alpine" | "debian" | "ubuntu" | "bash" | "hello-world")
}

/// A port by its name in any of the containers, or by its number.
pub fn resolve(pod: &Value, port: &Value) -> Option<u16> {
    if let Some(number) = port.as_u64() {
        return u16::try_from(number).ok();
    }
    let name = port.as_str()?;
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    pod["spec"]["containers"]
        .as_array()?
        .iter()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .find(|port| port["name"] == name)
        .and_then(|port| port["containerPort"].as_u64())
        .and_then(|port| u16::try_from(port).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_told_apart() {
        assert!(is_missing("drover-test/missing:1"));
        assert!(is_missing("registry.invalid/web:1"));
        assert!(!is_missing("localhost:5000/web:1"));
        assert_eq!(ports(&json!({"image": "docker.io/library/nginx:1.29"})), [80]);
        assert_eq!(
            ports(&json!({"image": "drover-test/web:1", "ports": [{"containerPort": 8080}]})),
            [8080]
        );
        assert!(ports(&json!({"image": "nginx", "command": ["sleep", "9"]})).is_empty());
    }
}
