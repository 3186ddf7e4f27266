use proptest::prelude::*;
use serde_json::json;

use super::*;

fn container(body: Value) -> Result<Value, Refusal> {
    read(body.to_string().as_bytes(), &CONTAINER, true)
}

fn option(refused: Result<Value, Refusal>) -> String {
    match refused {
        Err(Refusal::Takeover { option, .. }) => option,
        other => panic!("not refused: {other:?}"),
    }
}

/// A container as `docker run` of 28.2 asks for it, with what it sends when nothing is said.
fn plain() -> Value {
    let text = r#"{
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
        "AttachStderr": true, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": ["A=1"],
        "Cmd": ["sh"], "Image": "busybox", "Volumes": {}, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": {"a": "1", "A": "2"},
        "HostConfig": {
            "Binds": ["data:/data:ro"], "ContainerIDFile": "",
            "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default",
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": false,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null,
            "CapDrop": null, "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [],
            "ExtraHosts": null, "GroupAdd": null, "IpcMode": "", "Cgroup": "", "Links": null,
            "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
            "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
            "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "Devices": [],
            "DeviceCgroupRules": null, "DeviceRequests": null, "MemorySwappiness": -1,
            "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "MaskedPaths": null,
            "ReadonlyPaths": null,
            "Mounts": [{"Type": "volume", "Source": "more", "Target": "/more"}]
        },
        "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null, "Links": null,
            "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
            "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
            "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "DNSNames": null}}}
    }"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_clients_send_is_harmless_and_not_changed() {
    assert_eq!(container(plain()).unwrap(), plain());
    let references = References::of(&plain());
    assert_eq!(references.volumes, ["data", "more"]);
    assert!(references.networks.is_empty());
    let old = json!({"Image": "x", "Privileged": false, "HostConfig": {"NewOption": null}});
    assert_eq!(container(old).unwrap(), json!({"Image": "x", "HostConfig": {}}));
}

/// Every option of a container that could take over its host, as it stands in `HostConfig`.
fn takeovers() -> Vec<(&'static str, Value)> {
    vec![
        ("Annotations", json!({"run.oci.hooks.stdout": "/x"})),
        ("Binds", json!(["/:/host"])),
        ("Binds", json!(["/var/run/docker.sock:/var/run/docker.sock"])),
        ("Binds", json!(["data:/data", "./x:/x"])),
        ("Binds", json!(["data:/data:rshared"])),
        ("Binds", json!(["C:\\x:/x:ro"])),
        ("Binds", json!([["/:/host"]])),
        ("CapAdd", json!(["SYS_ADMIN"])),
        ("CapAdd", json!(["chown", "cap_sys_ptrace"])),
        ("CapAdd", json!("ALL")),
        ("Capabilities", json!(["CAP_SYS_ADMIN"])),
        ("Cgroup", json!("container:x")),
        ("CgroupParent", json!("/")),
        ("CgroupnsMode", json!("host")),
        ("DeviceCgroupRules", json!(["a *:* rwm"])),
        ("DeviceRequests", json!([{"Count": -1}])),
        ("Devices", json!([{"PathOnHost": "/dev/sda"}])),
        ("IpcMode", json!("host")),
        ("IpcMode", json!("container:x")),
        ("LogConfig.Type", json!({"Type": "syslog", "Config": {}})),
        ("MaskedPaths", json!([])),
        ("Mounts.Type", json!([{"Type": "bind", "Source": "/", "Target": "/host"}])),
        ("Mounts.Type", json!([{"Type": "npipe", "Source": "x", "Target": "/host"}])),
        ("Mounts.Source", json!([{"Type": "volume", "Source": "/etc", "Target": "/host"}])),
        (
            "Mounts.BindOptions",
            json!([{"Type": "volume", "BindOptions": {"Propagation": "shared"}}]),
        ),
        (
            "Mounts.VolumeOptions.DriverConfig.Name",
            json!([{"Type": "volume",
            "VolumeOptions": {"DriverConfig": {"Name": "sshfs"}}}]),
        ),
        (
            "Mounts.VolumeOptions.DriverConfig.Options",
            json!([{"Type": "volume",
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options":
                {"type": "none", "o": "bind", "device": "/"}}}}]),
        ),
        ("NetworkMode", json!("host")),
        ("NetworkMode", json!("container:x")),
        ("NetworkMode", json!(["host"])),
        ("OomKillDisable", json!(true)),
        ("OomScoreAdj", json!(-1000)),
        ("PidMode", json!("host")),
        ("PidMode", json!("container:x")),
        ("Privileged", json!(true)),
        ("Privileged", json!("true")),
        ("ReadonlyPaths", json!([])),
        ("Runtime", json!("nvidia")),
        ("SecurityOpt", json!(["no-new-privileges", "seccomp=unconfined"])),
        ("SecurityOpt", json!(["label:disable"])),
        ("StorageOpt", json!({"dm.x": "1"})),
        ("Sysctls", json!({"kernel.msgmax": "1"})),
        ("UTSMode", json!("host")),
        ("UsernsMode", json!("host")),
        ("VolumeDriver", json!("sshfs")),
        ("VolumesFrom", json!(["x"])),
        ("SomethingNew", json!({"deep": [1]})),
    ]
}

#[test]
fn every_way_to_take_over_a_host_is_refused_whatever_its_spelling() {
    for (name, value) in takeovers() {
        let key = name.split('.').next().unwrap();
        let spellings = [key.to_owned(), key.to_lowercase(), key.to_uppercase()];
        for key in
            spellings.into_iter().chain([key.replace('s', "\u{17f}"), key.replace('k', "\u{212a}")])
        {
            for host_config in ["HostConfig", "hostconfig", "HO\u{17f}TCONFIG"] {
                let body = json!({"Image": "x", host_config: {key.as_str(): value.clone()}});
                let found = option(container(body.clone()));
                assert!(
                    found.eq_ignore_ascii_case(&format!("HostConfig.{name}")),
                    "{body}: {found}"
                );
            }
            // Old engines take it beside `HostConfig`, too.
            let body = json!({"Image": "x", key.as_str(): value.clone()});
            match container(body.clone()) {
                Err(_) => {}
                // An empty list where it is unknown: it is not sent on.
                Ok(sent) => assert_eq!(sent, json!({"Image": "x"}), "{body}"),
            }
        }
    }
}

#[test]
fn members_may_use_all_of_it() {
    for (name, value) in takeovers() {
        let key = name.split('.').next().unwrap();
        let body = json!({"Image": "x", "HostConfig": {key: value}});
        assert_eq!(read(body.to_string().as_bytes(), &CONTAINER, false).unwrap(), body);
    }
}

#[test]
fn what_is_given_twice_is_refused_to_all() {
    for text in [
        r#"{"HostConfig":{"Privileged":true},"HostConfig":{}}"#,
        r#"{"HostConfig":{"Privileged":true},"hostconfig":{}}"#,
        r#"{"HostConfig":{"Privileged":false,"privileged":true}}"#,
        r#"{"HostConfig":{"Privileged":true,"Privileged":false}}"#,
        r#"{"Labels":{"a":"1","a":"2"}}"#,
        r#"{"Unknown":1,"unknown":2}"#,
        "{\"HostConfig\":{},\"Ho\u{17f}tConfig\":{\"Privileged\":true}}",
    ] {
        for judge in [true, false] {
            let found = read(text.as_bytes(), &CONTAINER, judge);
            assert!(matches!(found, Err(Refusal::Malformed(_))), "{text}: {found:?}");
        }
    }
}

#[test]
fn what_is_not_one_object_is_refused() {
    for text in ["", "[]", "1", "{", "{}{}", "{} x", "\"x\"", r#"{"HostConfig":[]}"#] {
        let found = read(text.as_bytes(), &CONTAINER, true);
        assert!(matches!(found, Err(Refusal::Malformed(_))), "{text}: {found:?}");
    }
    // Deeper than any real body: no stack is used up.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(deep.as_bytes(), &CONTAINER, true).is_err());
}

#[test]
fn harmless_options_stay() {
    for (key, value) in [
        ("CapAdd", json!(["NET_RAW", "cap_chown"])),
        ("SecurityOpt", json!(["no-new-privileges:true"])),
        ("Sysctls", json!({"net.ipv4.ip_forward": "1"})),
        ("LogConfig", json!({"Type": "json-file", "Config": {"max-size": "1m"}})),
        ("IpcMode", json!("private")),
        ("Binds", json!(["/anonymous", "data:/data", "data:/data:ro,z"])),
        ("VolumeDriver", json!("local")),
        ("OomScoreAdj", json!(500)),
        ("StorageOpt", json!({"size": "1G"})),
        ("Mounts", json!([{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"SizeBytes": 1}}])),
    ] {
        let body = json!({"HostConfig": {key: value}});
        assert_eq!(container(body.clone()).unwrap(), body);
    }
}

#[test]
fn networks_by_name_are_looked_up() {
    let body = json!({"HostConfig": {"NetworkMode": "front"}, "NetworkingConfig":
        {"EndpointsConfig": {"bridge": {"NetworkID": "0123"}, "back": {}}}});
    assert_eq!(References::of(&body).networks, ["0123", "back", "front"]);
    let service = json!({"Networks": [{"Target": "a"}], "TaskTemplate": {"Networks":
        [{"Target": "b"}], "ContainerSpec": {"Mounts": [{"Type": "volume", "Source": "v"}]}}});
    let found = References::of(&service);
    assert_eq!((found.networks, found.volumes), (vec!["a".into(), "b".into()], vec!["v".into()]));
}

#[test]
fn services_are_judged_like_containers() {
    let service = |spec: Value| {
        let body = json!({"Name": "x", "TaskTemplate": {"ContainerSpec": spec}});
        read(body.to_string().as_bytes(), &SERVICE, true)
    };
    service(json!({"Image": "x", "Env": ["A=1"], "Privileges": {"CredentialSpec": null},
        "CapabilityAdd": ["CHOWN"], "Secrets": [{"SecretID": "x"}]}))
    .unwrap();
    for (name, spec) in [
        ("Mounts.Type", json!({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x"}]})),
        ("CapabilityAdd", json!({"CapabilityAdd": ["SYS_ADMIN"]})),
        ("Privileges.Seccomp", json!({"Privileges": {"Seccomp": {"Mode": "unconfined"}}})),
        ("Sysctls", json!({"Sysctls": {"vm.x": "1"}})),
        ("NewThing", json!({"NewThing": true})),
    ] {
        assert_eq!(option(service(spec)), format!("TaskTemplate.ContainerSpec.{name}"));
    }
    for (name, body) in [
        ("TaskTemplate.PluginSpec", json!({"TaskTemplate": {"PluginSpec": {"Name": "x"}}})),
        ("TaskTemplate.Runtime", json!({"TaskTemplate": {"Runtime": "plugin"}})),
        ("TaskTemplate.LogDriver.Name", json!({"TaskTemplate": {"LogDriver": {"Name": "gelf"}}})),
    ] {
        assert_eq!(option(read(body.to_string().as_bytes(), &SERVICE, true)), name);
    }
}

#[test]
fn volumes_and_execs_are_judged() {
    let volume = |body: Value| read(body.to_string().as_bytes(), &VOLUME, true);
    volume(json!({"Name": "x", "Driver": "local", "DriverOpts": {"size": "1G"}})).unwrap();
    assert_eq!(option(volume(json!({"driveropts": {"device": "/"}}))), "DriverOpts");
    assert_eq!(option(volume(json!({"Driver": "rclone"}))), "Driver");
    let exec = read(br#"{"Cmd":["sh"],"privileged":true}"#, &EXEC, true);
    assert_eq!(option(exec), "Privileged");
}

#[test]
fn drovers_own_labels_are_drovers() {
    check_labels(&json!({"Labels": {"com.example": "x", "io.drovers": "y"}})).unwrap();
    let label = "io.drover.stack";
    for body in [
        json!({"Labels": {label: "x"}}),
        json!({"TaskTemplate": {"ContainerSpec": {"Labels": {label: "x"}}}}),
        json!({"HostConfig": {"Mounts": [{"VolumeOptions": {"Labels": {label: "x"}}}]}}),
    ] {
        assert_eq!(check_labels(&body), Err(Refusal::Label(label.into())), "{body}");
    }
}

/// Values of any shape.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![
            Just("host".to_owned()),
            Just("container:x".to_owned()),
            Just("/:/x".to_owned()),
            Just("bind".to_owned()),
            Just("seccomp=unconfined".to_owned()),
            "[ -~]{0,8}",
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(option_name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names of options, mostly real ones, in any spelling that Go takes.
fn option_name() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = HOST_CONFIG
        .iter()
        .chain(MOUNT)
        .map(|(name, _)| *name)
        .chain(["HostConfig", "Config", "DriverConfig", "Options", "Name"])
        .collect();
    (prop::sample::select(names), any::<u64>()).prop_map(|(name, bits)| {
        name.chars()
            .enumerate()
            .map(|(at, c)| match (bits >> (at % 32) & 1, bits >> (at % 32 + 32) & 1, c) {
                (1, 1, 's' | 'S') => '\u{17f}',
                (1, 1, 'k' | 'K') => '\u{212a}',
                (1, _, c) if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
                (1, _, c) => c.to_ascii_lowercase(),
                (_, _, c) => c,
            })
            .collect()
    })
}

/// What Go's decoder finds under a name: the last key that folds to it.
fn as_go_reads<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let keys = object.as_object()?.iter();
    keys.filter(|(key, _)| fold(key) == fold(name)).map(|(_, value)| value).next_back()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes in, what goes out has one spelling of each option, and no forbidden one.
    #[test]
    fn what_goes_out_keeps_no_forbidden_option(
        options in prop::collection::btree_map(option_name(), any_json(), 0..6),
        beside in prop::collection::btree_map(option_name(), any_json(), 0..2),
    ) {
        let mut body: Map<String, Value> = beside.into_iter().collect();
        body.insert("hostConfig".into(), Value::Object(options.into_iter().collect()));
        if let Ok(out) = container(Value::Object(body)) {
            let host = as_go_reads(&out, "HostConfig").cloned().unwrap_or_default();
            for key in out.as_object().unwrap().keys() {
                let Object(fields) = &CONTAINER else { unreachable!() };
                prop_assert!(fields.iter().any(|(name, _)| name == key), "{key}");
            }
            for (key, value) in host.as_object().into_iter().flatten() {
                let known = HOST_CONFIG.iter().find(|(name, _)| name == key);
                prop_assert!(known.is_some(), "{key}");
                match &known.unwrap().1 {
                    Unset(_) => prop_assert!(says_nothing(value), "{key}: {value}"),
                    Null(_) => prop_assert!(value.is_null(), "{key}: {value}"),
                    _ => {}
                }
            }
            for name in ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"] {
                let mode = as_go_reads(&host, name).and_then(Value::as_str).unwrap_or_default();
                prop_assert!(mode != "host" && !mode.starts_with("container:"), "{name}: {mode}");
            }
            for bind in as_go_reads(&host, "Binds").map(strings).into_iter().flatten() {
                prop_assert!(!bind.contains(':') || !bind.starts_with(['/', '.', '~']), "{bind}");
            }
            // What was checked and what is sent are the same.
            prop_assert_eq!(container(out.clone()).unwrap(), out);
        }
    }

    /// No bytes make it panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for rule in [&CONTAINER, &SERVICE, &EXEC, &VOLUME, &CONNECT] {
            let _ = read(&bytes, rule, true);
        }
    }
}
