//! A container's details out of the engine's inspect, with what may be secret taken out, and
//! whether the container could take over its host.

use drover_api::{Container, ContainerDetail, HealthResult, Mount};
use drover_compose::takeover;
use indexmap::IndexMap;
use serde_json::Value;

use super::{
    driver::{
        DockerError, ErrorKind, Result,
        models::{ContainerInspectResponse, MountPoint},
    },
    resources::parse_time,
};

/// Puts the details together. Without `secrets`, the values of environment variables and of the
/// log driver's options are left out, here and in the raw answer.
pub fn of(container: Container, mut raw: Value, secrets: bool) -> Result<ContainerDetail> {
    if !secrets {
        hide_secrets(&mut raw);
    }
    let inspect: ContainerInspectResponse =
        serde_json::from_value(raw.clone()).map_err(|error| {
            DockerError::new(
                ErrorKind::EngineError,
                format!("The engine's answer could not be read: {error}."),
            )
        })?;
    let state = inspect.state.unwrap_or_default();
    let config = inspect.config.unwrap_or_default();
    let health = state.health.unwrap_or_default();
    let time = |text: &Option<String>| text.as_deref().and_then(parse_time);
    let mut command: Vec<String> = inspect.path.into_iter().collect();
    command.extend(inspect.args.unwrap_or_default());
    let mut labels: IndexMap<String, String> =
        config.labels.unwrap_or_default().into_iter().collect();
    labels.sort_unstable_keys();
    let mut networks: IndexMap<String, String> = inspect
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default()
        .into_iter()
        .map(|(name, endpoint)| (name, endpoint.ip_address.unwrap_or_default()))
        .collect();
    networks.sort_unstable_keys();
    Ok(ContainerDetail {
        container,
        command,
        environment: config
            .env
            .unwrap_or_default()
            .into_iter()
            .map(|variable| match variable.split_once('=') {
                Some((name, value)) => (name.to_owned(), secrets.then(|| value.to_owned())),
                None => (variable, None),
            })
            .collect(),
        labels,
        mounts: inspect.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        networks,
        restart_policy: inspect
            .host_config
            .and_then(|config| config.restart_policy)
            .and_then(|policy| policy.name)
            .map(|name| name.to_string())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "no".to_owned()),
        restart_count: inspect.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        started_at: time(&state.started_at),
        finished_at: time(&state.finished_at),
        error: state.error.filter(|error| !error.is_empty()),
        oom_killed: state.oom_killed.unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        health_log: health
            .log
            .unwrap_or_default()
            .into_iter()
            .map(|result| HealthResult {
                at: time(&result.end),
                exit_code: result.exit_code.unwrap_or_default(),
                output: result.output.unwrap_or_default(),
            })
            .collect(),
        inspect: raw,
    })
}

fn mount(point: MountPoint) -> Mount {
    let kind = point.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let source = match kind.as_str() {
        "volume" => point.name.or(point.source),
        _ => point.source,
    };
    Mount {
        kind,
        source: source.unwrap_or_default(),
        target: point.destination.unwrap_or_default(),
        writable: point.rw.unwrap_or(true),
    }
}

/// Takes the values out of a list of `NAME=VALUE`s.
pub fn hide_values(variables: &mut Value) {
    for variable in variables.as_array_mut().into_iter().flatten() {
        if let Some((name, _)) = variable.as_str().and_then(|text| text.split_once('=')) {
            *variable = Value::String(format!("{name}="));
        }
    }
}

/// Takes what may be secret out of the engine's answer to a container's inspect.
pub fn hide_secrets(raw: &mut Value) {
    if let Some(variables) = raw.pointer_mut("/Config/Env") {
        hide_values(variables);
    }
    let options = raw.pointer_mut("/HostConfig/LogConfig/Config").and_then(Value::as_object_mut);
    for (_, value) in options.into_iter().flatten() {
        *value = Value::String(String::new());
    }
    // A volume driver's options can hold the password of a network file system.
    let mounts = raw.pointer_mut("/HostConfig/Mounts").and_then(Value::as_array_mut);
    for mount in mounts.into_iter().flatten() {
        let options = mount.pointer_mut("/VolumeOptions/DriverConfig/Options");
        for (_, value) in options.and_then(Value::as_object_mut).into_iter().flatten() {
            *value = Value::String(String::new());
        }
    }
}

/// Why a container could take over its host; `None` when it could not. The rules are those of the
/// permission `host_takeover`: privileged, the host's namespaces, its paths, its devices, the
/// Docker socket, added capabilities, loosened confinement.
pub fn takeover_reason(inspect: &ContainerInspectResponse) -> Option<String> {
    let config = inspect.host_config.as_ref()?;
    let is_host = |mode: &Option<String>| {
        mode.as_deref().and_then(takeover::shared_namespace) == Some(takeover::Namespace::Host)
    };
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if config.privileged == Some(true) {
        return Some("it is privileged".into());
    }
    for (mode, what) in [
        (&config.network_mode, "network"),
        (&config.pid_mode, "pid"),
        (&config.ipc_mode, "ipc"),
        (&config.uts_mode, "uts"),
        (&config.userns_mode, "user"),
    ] {
        if is_host(mode) {
            return Some(format!("it shares the host's {what} namespace"));
        }
    }
    if config.cap_add.iter().flatten().any(|name| takeover::adds_capability(name)) {
        return Some("it has added capabilities".into());
    }
    if config.devices.as_ref().is_some_and(|devices| !devices.is_empty())
        || some(&config.device_cgroup_rules)
        || config.device_requests.as_ref().is_some_and(|devices| !devices.is_empty())
    {
        return Some("it has devices of the host".into());
    }
    // Engines fill in the masked paths; an empty list is one that was asked for.
    if config.security_opt.iter().flatten().any(|option| takeover::loosens_confinement(option))
        || config.masked_paths.as_ref().is_some_and(Vec::is_empty)
    {
        return Some("its confinement is loosened".into());
    }
    if config.sysctls.iter().flatten().any(|(name, _)| takeover::is_sysctl_of_host(name)) {
        return Some("it has kernel parameters of the host".into());
    }
    let bound = inspect
        .mounts
        .iter()
        .flatten()
        .find(|mount| mount.typ.as_ref().is_some_and(|kind| kind == "bind"));
    bound.map(|mount| {
        format!("it has {} of the host mounted", mount.source.as_deref().unwrap_or("a path"))
    })
}

/// Whether a volume of these driver options is a path or device of the host (the `local` driver's
/// `type`, `o` and `device` are those of `mount`).
pub fn volume_reaches_host<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    options.into_iter().any(|(key, value)| match key {
        "device" => value.starts_with('/'),
        "o" => value.split(',').any(|option| matches!(option.trim(), "bind" | "rbind")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container() -> Container {
        serde_json::from_value(json!({
            "id": "a", "name": "web", "host_id": uuid::Uuid::nil(), "host_name": "one",
            "image": "nginx", "state": "running", "health": null, "status": "Up",
            "exit_code": null, "created_at": "2026-01-01T00:00:00Z", "ports": [],
            "stack_id": null, "stack_name": null, "service": null, "managed": false
        }))
        .unwrap()
    }

    fn inspect() -> Value {
        json!({
            "Path": "/bin/sh", "Args": ["-c", "x"], "RestartCount": 2,
            "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00.5Z",
                "FinishedAt": "0001-01-01T00:00:00Z", "Error": "",
                "Health": {"Status": "healthy", "Log": [{"Start": "2026-01-01T00:00:00Z", "End": "2026-01-01T00:00:01Z", "ExitCode": 0, "Output": "ok"}]}},
            "Config": {"Env": ["PASSWORD=hunter2", "A=b=c"], "Labels": {"z": "1", "a": "2"}, "Tty": true},
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"},
                "LogConfig": {"Type": "splunk", "Config": {"splunk-token": "hunter2"}}},
            "Mounts": [{"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data", "RW": false}],
            "NetworkSettings": {"Networks": {"b": {"IPAddress": "10.0.0.2"}, "a": {"IPAddress": ""}}}
        })
    }

    #[test]
    fn details_are_read() {
        let detail = of(container(), inspect(), true).unwrap();
        assert_eq!(detail.command, ["/bin/sh", "-c", "x"]);
        assert_eq!(detail.environment["A"].as_deref(), Some("b=c"));
        assert_eq!(detail.labels.keys().collect::<Vec<_>>(), ["a", "z"]);
        assert_eq!(detail.mounts[0].source, "data");
        assert!(!detail.mounts[0].writable);
        assert_eq!(detail.restart_policy, "unless-stopped");
        assert!(detail.started_at.is_some() && detail.finished_at.is_none());
        assert!(detail.error.is_none() && detail.tty);
        assert_eq!(detail.health_log[0].output, "ok");
    }

    #[test]
    fn who_may_not_see_secrets_sees_none() {
        let detail = of(container(), inspect(), false).unwrap();
        assert_eq!(detail.environment["PASSWORD"], None);
        let text = serde_json::to_string(&detail).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("PASSWORD"));
    }

    #[test]
    fn volumes_that_are_paths_of_the_host() {
        assert!(volume_reaches_host([("type", "none"), ("o", "rw,bind"), ("device", "/etc")]));
        assert!(volume_reaches_host([("type", "ext4"), ("device", "/dev/sda1")]));
        assert!(!volume_reaches_host([("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]));
        assert!(!volume_reaches_host([
            ("type", "nfs"),
            ("device", ":/export"),
            ("o", "addr=10.0.0.1")
        ]));
    }

    #[test]
    fn what_could_take_over_a_host_is_named() {
        let harmless = json!({"HostConfig": {"NetworkMode": "bridge", "IpcMode": "private", "CapAdd": null,
            "SecurityOpt": ["no-new-privileges"], "CgroupnsMode": "host"}, "Mounts": [{"Type": "volume", "Name": "x"}]});
        let check = |value: Value| {
            takeover_reason(&serde_json::from_value::<ContainerInspectResponse>(value).unwrap())
        };
        assert_eq!(check(harmless), None);
        for dangerous in [
            json!({"HostConfig": {"Privileged": true}}),
            json!({"HostConfig": {"NetworkMode": "host"}}),
            json!({"HostConfig": {"PidMode": "host"}}),
            json!({"HostConfig": {"IpcMode": "host"}}),
            json!({"HostConfig": {"CapAdd": ["SYS_ADMIN"]}}),
            json!({"HostConfig": {"Devices": [{"PathOnHost": "/dev/sda"}]}}),
            json!({"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}}),
            json!({"HostConfig": {}, "Mounts": [{"Type": "bind", "Source": "/var/run/docker.sock"}]}),
        ] {
            assert!(check(dangerous.clone()).is_some(), "{dangerous}");
        }
    }
}
