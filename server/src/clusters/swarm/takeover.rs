//! What in a service's spec could take over the nodes that it runs on. Pure.

use drover_compose::takeover::{
    adds_capability, is_foreign_volume_driver, is_mount_option, is_sysctl_of_host,
};
use serde_json::Value;

/// Why a service could take over its nodes, in the engine's JSON of its spec.
pub(super) fn reason(spec: &Value) -> Option<String> {
    let task = &spec["TaskTemplate"];
    if !task["PluginSpec"].is_null() {
        return Some("it is a plugin".into());
    }
    let container = &task["ContainerSpec"];
    for mount in list(&container["Mounts"]) {
        let source = mount["Source"].as_str().unwrap_or_default();
        match mount["Type"].as_str().unwrap_or_default() {
            "bind" => return Some(format!("it mounts the host's {source}")),
            "volume" => {
                let driver = &mount["VolumeOptions"]["DriverConfig"];
                // The engine takes no name for its own driver.
                let name = driver["Name"].as_str().filter(|name| !name.is_empty());
                let mut options = driver["Options"].as_object().into_iter().flatten();
                if name.is_some_and(is_foreign_volume_driver)
                    || options.any(|(key, _)| is_mount_option(key))
                {
                    return Some(format!("the volume {source} is mounted with driver options"));
                }
            }
            "tmpfs" => {}
            other => return Some(format!("it mounts a {other}")),
        }
    }
    for capability in list(&container["CapabilityAdd"]) {
        let name = capability.as_str().unwrap_or_default();
        if adds_capability(name) {
            return Some(format!("it has the capability {name}"));
        }
    }
    if let Some(sysctls) = container["Sysctls"].as_object()
        && let Some(name) = sysctls.keys().find(|name| is_sysctl_of_host(name))
    {
        return Some(format!("it sets the kernel parameter {name}"));
    }
    let privileges = &container["Privileges"];
    for key in ["CredentialSpec", "SELinuxContext", "Seccomp", "AppArmor"] {
        if !privileges[key].is_null() {
            return Some(format!("it has privileges of its own ({key})"));
        }
    }
    let networks = list(&task["Networks"]).chain(list(&spec["Networks"]));
    for network in networks {
        if network["Target"] == "host" {
            return Some("it uses the host's network".into());
        }
    }
    None
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(container: Value) -> Option<String> {
        reason(&json!({ "TaskTemplate": { "ContainerSpec": container } }))
    }

    #[test]
    fn what_reaches_the_host_is_named() {
        assert_eq!(of(json!({ "Image": "a", "CapabilityAdd": ["CHOWN"] })), None);
        let volume = json!({ "Type": "volume", "Source": "v", "VolumeOptions": { "DriverConfig": { "Name": "local", "Options": { "size": "1g" } } } });
        assert_eq!(of(json!({ "Mounts": [volume, { "Type": "tmpfs", "Target": "/x" }] })), None);
        for container in [
            json!({ "Mounts": [{ "Type": "bind", "Source": "/", "Target": "/host" }] }),
            json!({ "Mounts": [{ "Type": "volume", "Source": "v", "VolumeOptions": { "DriverConfig": { "Options": { "device": "/" } } } }] }),
            json!({ "Mounts": [{ "Type": "npipe" }] }),
            json!({ "CapabilityAdd": ["CAP_SYS_ADMIN"] }),
            json!({ "Sysctls": { "kernel.shmmax": "1" } }),
            json!({ "Privileges": { "AppArmor": { "Mode": "disabled" } } }),
        ] {
            assert!(of(container.clone()).is_some(), "{container}");
        }
        let host = json!({ "TaskTemplate": { "Networks": [{ "Target": "host" }] } });
        assert!(reason(&host).is_some());
    }
}
