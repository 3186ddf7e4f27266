//! The bodies of calls that make or change something, as JSON: read strictly, with each option
//! judged, and put together anew.
//!
//! Go's decoder, which engines use, takes keys in any case (and `K` or `ſ` for `k` or `s`), the last
//! of two that are alike, and merges objects. So keys get their one spelling here, and a body that
//! gives an option twice is refused. Options that this table does not know are refused to those who
//! could not take over the host, unless they say nothing.

use std::{collections::HashSet, fmt};

use drover_compose::takeover::{self, Namespace};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::Refusal;
use crate::hosts::labels;

/// How an option is judged.
pub enum Rule {
    /// Any value is harmless.
    Free,
    /// Only a value that says nothing is: `false`, `0`, `""`, `[]`, `{}`, `null`.
    Unset(&'static str),
    /// Only `null` is: an empty list says something.
    Null(&'static str),
    /// Harmless unless the function says what it is.
    Judge(fn(&Value) -> Option<String>),
    /// Each value of a list.
    Each(&'static Rule),
    /// Each value of a map, whose keys are anything.
    Values(&'static Rule),
    /// An object of these options.
    Object(&'static [(&'static str, Rule)]),
}

use Rule::{Each, Free, Judge, Null, Object, Unset, Values};

/// The body of `POST /containers/create`.
///
/// Engines up to 20.10 take the options of `HostConfig` beside it as well; nobody sends them there,
/// and they are not known here.
pub static CONTAINER: Rule = Object(&[
    ("HostConfig", Object(HOST_CONFIG)),
    ("NetworkingConfig", Object(&[("EndpointsConfig", Values(&Object(ENDPOINT)))])),
    ("ArgsEscaped", Free),
    ("AttachStderr", Free),
    ("AttachStdin", Free),
    ("AttachStdout", Free),
    ("Cmd", Free),
    ("Domainname", Free),
    ("Entrypoint", Free),
    ("Env", Free),
    ("ExposedPorts", Free),
    ("Healthcheck", Free),
    ("Hostname", Free),
    ("Image", Free),
    ("Labels", Free),
    ("MacAddress", Free),
    ("NetworkDisabled", Free),
    ("OnBuild", Free),
    ("OpenStdin", Free),
    ("Shell", Free),
    ("StdinOnce", Free),
    ("StopSignal", Free),
    ("StopTimeout", Free),
    ("Tty", Free),
    ("User", Free),
    ("Volumes", Free),
    ("WorkingDir", Free),
]);

const HOST_CONFIG: &[(&str, Rule)] = &[
    ("Annotations", Unset("annotations for the runtime")),
    ("AutoRemove", Free),
    ("Binds", Each(&Judge(bind))),
    ("BlkioDeviceReadBps", Free),
    ("BlkioDeviceReadIOps", Free),
    ("BlkioDeviceWriteBps", Free),
    ("BlkioDeviceWriteIOps", Free),
    ("BlkioWeight", Free),
    ("BlkioWeightDevice", Free),
    ("CapAdd", Judge(capabilities)),
    ("CapDrop", Free),
    ("Capabilities", Unset("a set of capabilities of its own choice")),
    ("Cgroup", Unset("a control group of its own choice")),
    ("CgroupParent", Unset("a parent cgroup of its own choice")),
    ("CgroupnsMode", Judge(own_namespace)),
    ("ConsoleSize", Free),
    ("ContainerIDFile", Free),
    ("CpuCount", Free),
    ("CpuPercent", Free),
    ("CpuPeriod", Free),
    ("CpuQuota", Free),
    ("CpuRealtimePeriod", Free),
    ("CpuRealtimeRuntime", Free),
    ("CpuShares", Free),
    ("CpusetCpus", Free),
    ("CpusetMems", Free),
    ("DeviceCgroupRules", Unset("devices of the host")),
    ("DeviceRequests", Unset("devices of the host")),
    ("Devices", Unset("devices of the host")),
    ("Dns", Free),
    ("DnsOptions", Free),
    ("DnsSearch", Free),
    ("ExtraHosts", Free),
    ("GroupAdd", Free),
    ("IOMaximumBandwidth", Free),
    ("IOMaximumIOps", Free),
    ("Init", Free),
    ("IpcMode", Judge(own_namespace)),
    ("Isolation", Free),
    ("KernelMemory", Free),
    ("KernelMemoryTCP", Free),
    ("Links", Free),
    ("LogConfig", Object(&[("Type", Judge(logging_driver)), ("Config", Free)])),
    ("MaskedPaths", Null("paths of the kernel that are not masked")),
    ("Memory", Free),
    ("MemoryReservation", Free),
    ("MemorySwap", Free),
    ("MemorySwappiness", Free),
    ("Mounts", Each(&Object(MOUNT))),
    ("NanoCpus", Free),
    ("NetworkMode", Judge(network_mode)),
    ("OomKillDisable", Unset("being spared when the host has no memory left")),
    ("OomScoreAdj", Judge(oom_score)),
    ("PidMode", Judge(own_namespace)),
    ("PidsLimit", Free),
    ("PortBindings", Free),
    ("Privileged", Unset("a privileged container")),
    ("PublishAllPorts", Free),
    ("ReadonlyPaths", Null("paths of the kernel that can be written")),
    ("ReadonlyRootfs", Free),
    ("RestartPolicy", Free),
    ("Runtime", Unset("a runtime of its own choice")),
    ("SecurityOpt", Each(&Judge(security_option))),
    ("ShmSize", Free),
    ("StorageOpt", Judge(volume_options)),
    ("Sysctls", Judge(sysctls)),
    ("Tmpfs", Free),
    ("UTSMode", Judge(own_namespace)),
    ("Ulimits", Free),
    ("UsernsMode", Judge(own_namespace)),
    ("VolumeDriver", Judge(volume_driver)),
    ("VolumesFrom", Unset("the volumes of another container")),
];

const MOUNT: &[(&str, Rule)] = &[
    ("Type", Judge(mount_type)),
    ("Source", Judge(mount_source)),
    ("Target", Free),
    ("ReadOnly", Free),
    ("Consistency", Free),
    ("BindOptions", Unset("options of a path of the host")),
    ("ClusterOptions", Unset("a cluster volume")),
    ("ImageOptions", Free),
    ("TmpfsOptions", Free),
    (
        "VolumeOptions",
        Object(&[
            (
                "DriverConfig",
                Object(&[("Name", Judge(volume_driver)), ("Options", Judge(volume_options))]),
            ),
            ("Labels", Free),
            ("NoCopy", Free),
            ("Subpath", Free),
        ]),
    ),
];

const ENDPOINT: &[(&str, Rule)] = &[
    ("Aliases", Free),
    ("DNSNames", Free),
    ("DriverOpts", Unset("network driver options, which change the host's network")),
    ("EndpointID", Free),
    ("Gateway", Free),
    ("GlobalIPv6Address", Free),
    ("GlobalIPv6PrefixLen", Free),
    ("GwPriority", Free),
    ("IPAMConfig", Free),
    ("IPAddress", Free),
    ("IPPrefixLen", Free),
    ("IPv6Gateway", Free),
    ("Links", Free),
    ("MacAddress", Free),
    ("NetworkID", Free),
];

/// The body of `POST /containers/{id}/update`.
pub static UPDATE: Rule = Object(HOST_CONFIG);

/// The body of `POST /containers/{id}/exec`.
pub static EXEC: Rule = Object(&[
    ("AttachStderr", Free),
    ("AttachStdin", Free),
    ("AttachStdout", Free),
    ("Cmd", Free),
    ("ConsoleSize", Free),
    ("Container", Free),
    ("Detach", Free),
    ("DetachKeys", Free),
    ("Env", Free),
    ("Privileged", Unset("a privileged command")),
    ("Tty", Free),
    ("User", Free),
    ("WorkingDir", Free),
]);

/// The body of `POST /commit`: the first part of [`CONTAINER`].
pub static IMAGE: Rule = Object(&[("Labels", Free)]);

/// The body of `POST /volumes/create`.
pub static VOLUME: Rule = Object(&[
    ("ClusterVolumeSpec", Unset("a cluster volume")),
    ("Driver", Judge(volume_driver)),
    ("DriverOpts", Judge(volume_options)),
    ("Labels", Free),
    ("Name", Free),
]);

/// The body of `POST /networks/create`, which is for those who manage hosts.
pub static NETWORK: Rule = Object(&[("Labels", Free), ("Name", Free)]);

/// The bodies of `POST /networks/{id}/connect` and `disconnect`.
pub static CONNECT: Rule =
    Object(&[("Container", Free), ("EndpointConfig", Object(ENDPOINT)), ("Force", Free)]);

/// The bodies of secrets and configs.
pub static SECRET: Rule = Object(&[
    ("Data", Free),
    ("Driver", Unset("a secret of a plugin")),
    ("Labels", Free),
    ("Name", Free),
    ("Templating", Free),
]);

/// The body of a service.
pub static SERVICE: Rule = Object(&[
    ("EndpointSpec", Free),
    ("Labels", Free),
    ("Mode", Free),
    ("Name", Free),
    ("Networks", Each(&Object(ATTACHMENT))),
    ("RollbackConfig", Free),
    ("TaskTemplate", Object(TASK)),
    ("UpdateConfig", Free),
]);

const TASK: &[(&str, Rule)] = &[
    ("ContainerSpec", Object(CONTAINER_SPEC)),
    ("ForceUpdate", Free),
    ("LogDriver", Object(&[("Name", Judge(logging_driver)), ("Options", Free)])),
    ("NetworkAttachmentSpec", Unset("a network attachment")),
    ("Networks", Each(&Object(ATTACHMENT))),
    ("Placement", Free),
    ("PluginSpec", Unset("a plugin")),
    ("Resources", Free),
    ("RestartPolicy", Free),
    ("Runtime", Judge(task_runtime)),
];

const CONTAINER_SPEC: &[(&str, Rule)] = &[
    ("Args", Free),
    ("CapabilityAdd", Judge(capabilities)),
    ("CapabilityDrop", Free),
    ("Command", Free),
    ("Configs", Free),
    ("DNSConfig", Free),
    ("Dir", Free),
    ("Env", Free),
    ("Groups", Free),
    ("Healthcheck", Free),
    ("Hostname", Free),
    ("Hosts", Free),
    ("Image", Free),
    ("Init", Free),
    ("Isolation", Free),
    ("Labels", Free),
    ("Mounts", Each(&Object(MOUNT))),
    ("OomScoreAdj", Judge(oom_score)),
    ("OpenStdin", Free),
    (
        "Privileges",
        Object(&[
            ("AppArmor", Unset("an AppArmor profile of its own choice")),
            ("CredentialSpec", Unset("credentials of the host")),
            ("NoNewPrivileges", Free),
            ("SELinuxContext", Unset("an SELinux context of its own choice")),
            ("Seccomp", Unset("a seccomp profile of its own choice")),
        ]),
    ),
    ("ReadOnly", Free),
    ("Secrets", Free),
    ("StopGracePeriod", Free),
    ("StopSignal", Free),
    ("Sysctls", Judge(sysctls)),
    ("TTY", Free),
    ("Ulimits", Free),
    ("User", Free),
];

const ATTACHMENT: &[(&str, Rule)] = &[
    ("Aliases", Free),
    ("DriverOpts", Unset("network driver options, which change the host's network")),
    ("Target", Free),
];

/// The networks of the engine's own that every container may be in.
const OWN_NETWORKS: [&str; 5] = ["", "bridge", "default", "nat", "none"];

/// Reads a body and gives its options their one spelling. With `judge`, refuses what could take
/// over the host.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8], rule: &Rule, judge: bool) -> Result<Value, Refusal> {
    let Unambiguous(value) = serde_json::from_slice(bytes).map_err(|error| {
        Refusal::Malformed(format!("The body is not the JSON that it should be: {error}."))
    })?;
    normal(value, rule, judge, "")
}

fn normal(value: Value, rule: &Rule, judge: bool, path: &str) -> Result<Value, Refusal> {
    let refuse = |what: &str| Err(Refusal::takeover(path, what));
    let wrong = |what| Err(Refusal::Malformed(format!("`{path}` must be {what}.")));
    match rule {
        Unset(what) if judge && !says_nothing(&value) => refuse(what),
        Null(what) if judge && !value.is_null() => refuse(what),
        Judge(what) if judge => match what(&value) {
            Some(what) => refuse(&what),
            None => Ok(value),
        },
        Free | Unset(_) | Null(_) | Judge(_) => Ok(value),
        Each(_) | Values(_) | Object(_) if value.is_null() => Ok(value),
        Each(rule) => match value {
            Value::Array(list) => {
                list.into_iter().map(|value| normal(value, rule, judge, path)).collect()
            }
            _ => wrong("a list"),
        },
        Values(rule) => match value {
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| {
                    let value = normal(value, rule, judge, &join(path, &key))?;
                    Ok((key, value))
                })
                .collect(),
            _ => wrong("an object"),
        },
        Object(fields) => match value {
            Value::Object(map) => object(map, fields, judge, path).map(Value::Object),
            _ if path.is_empty() => Err(Refusal::Malformed("The body must be an object.".into())),
            _ => wrong("an object"),
        },
    }
}

fn object(
    map: Map<String, Value>,
    fields: &[(&'static str, Rule)],
    judge: bool,
    path: &str,
) -> Result<Map<String, Value>, Refusal> {
    let mut given = Vec::with_capacity(map.len());
    let mut seen = HashSet::new();
    for (key, value) in map {
        let folded = fold(&key);
        let known = fields.iter().position(|(name, _)| fold(name) == folded);
        if !seen.insert(folded) {
            let twice = join(path, known.map_or(key.as_str(), |at| fields[at].0));
            return Err(Refusal::Malformed(format!("`{twice}` is given twice.")));
        }
        given.push((known, key, value));
    }
    // In the table's order: what is refused first says the most.
    given.sort_by_key(|(known, ..)| known.unwrap_or(usize::MAX));
    let mut found = Map::new();
    for (known, key, value) in given {
        match known.map(|at| &fields[at]) {
            Some((name, rule)) => {
                let value = normal(value, rule, judge, &join(path, name))?;
                found.insert((*name).to_owned(), value);
            }
            None if !judge => {
                found.insert(key, value);
            }
            // What says nothing is not sent on: an engine may know more of it.
            None if says_nothing(&value) => {}
            None => {
                let what = "an option that this version of Drover does not know";
                return Err(Refusal::takeover(join(path, &key), what));
            }
        }
    }
    Ok(found)
}

/// As Go's `encoding/json` compares keys: ASCII in any case, and the two characters beyond it that
/// fold to ASCII letters.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(says_nothing),
    }
}

/// A text that may be absent; anything else is refused with `what`.
fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, Option<String>> {
    match value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(Some(what.to_owned())),
    }
}

fn own_namespace(value: &Value) -> Option<String> {
    let mode = match text(value, "a namespace that is not its own") {
        Ok(mode) => mode,
        Err(what) => return what,
    };
    match takeover::shared_namespace(mode) {
        Some(Namespace::Host) => Some("the host's own namespace".into()),
        Some(Namespace::Container) => Some("another container's namespace".into()),
        None if matches!(mode, "" | "none" | "private" | "shareable") => None,
        None => Some(format!("the namespace `{mode}`")),
    }
}

/// Networks by name are looked at by [`References`].
fn network_mode(value: &Value) -> Option<String> {
    let mode = match text(value, "a network that is not its own") {
        Ok(mode) => mode,
        Err(what) => return what,
    };
    match takeover::shared_namespace(mode) {
        Some(Namespace::Host) => Some("the host's own network".into()),
        Some(Namespace::Container) => Some("another container's network".into()),
        None if mode.contains(':') => Some(format!("the network `{mode}`")),
        None => None,
    }
}

/// Why a build's `networkmode` is not harmless by itself.
pub fn build_network(mode: &str) -> Option<String> {
    network_mode(&Value::String(mode.to_owned()))
}

fn capabilities(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Array(list) => list.iter().find_map(|capability| match capability.as_str() {
            Some(name) if !takeover::adds_capability(name) => None,
            Some(name) => Some(format!("the capability `{name}`")),
            None => Some("added capabilities".into()),
        }),
        // The engine takes a single text for a list of one.
        Value::String(name) if !takeover::adds_capability(name) => None,
        _ => Some("added capabilities".into()),
    }
}

fn security_option(value: &Value) -> Option<String> {
    match value.as_str() {
        Some(option) if !takeover::loosens_confinement(option) => None,
        Some(option) => {
            // A seccomp profile is a whole file.
            let short: String = option.chars().take(60).collect();
            Some(format!("the security option `{short}`"))
        }
        None => Some("security options".into()),
    }
}

fn sysctls(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(map) => map
            .keys()
            .find(|name| takeover::is_sysctl_of_host(name))
            .map(|name| format!("the kernel parameter `{name}`")),
        _ => Some("kernel parameters".into()),
    }
}

fn oom_score(value: &Value) -> Option<String> {
    let harmless = value.is_null() || value.as_i64().is_some_and(|score| score >= 0);
    (!harmless).then(|| "being spared when the host has no memory left".into())
}

fn logging_driver(value: &Value) -> Option<String> {
    match text(value, "a logging driver") {
        Ok("") => None,
        Ok(driver) if !takeover::logs_elsewhere(driver) => None,
        Ok(driver) => Some(format!("the logging driver `{driver}`, which connects from the host")),
        Err(what) => what,
    }
}

fn volume_driver(value: &Value) -> Option<String> {
    match text(value, "a volume driver") {
        Ok("") => None,
        Ok(driver) if !takeover::is_foreign_volume_driver(driver) => None,
        Ok(driver) => Some(format!("the volume driver `{driver}`")),
        Err(what) => what,
    }
}

fn volume_options(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(map) => map
            .keys()
            .find(|option| takeover::is_mount_option(option))
            .map(|option| format!("the option `{option}`, which can mount any path of the host")),
        _ => Some("driver options".into()),
    }
}

fn task_runtime(value: &Value) -> Option<String> {
    match text(value, "a runtime") {
        Ok("" | "container") => None,
        Ok(runtime) => Some(format!("the runtime `{runtime}`")),
        Err(what) => what,
    }
}

fn mount_type(value: &Value) -> Option<String> {
    match text(value, "a mount") {
        Ok("volume" | "tmpfs" | "image") => None,
        Ok("bind") => Some("a path of the host".into()),
        Ok(kind) => Some(format!("a mount of the type `{kind}`")),
        Err(what) => what,
    }
}

/// A volume's or an image's name.
fn mount_source(value: &Value) -> Option<String> {
    match text(value, "a mount") {
        Ok(source) if !is_path(source) => None,
        Ok(source) => Some(host_path(source)),
        Err(what) => what,
    }
}

fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~', '\\'])
}

fn host_path(source: &str) -> String {
    if source.ends_with("docker.sock") {
        "the Docker socket".into()
    } else {
        format!("the host's path `{source}`")
    }
}

/// `VOLUME:PATH[:OPTIONS]`, or only a path in the container.
fn bind(value: &Value) -> Option<String> {
    let Some(text) = value.as_str() else { return Some("a path of the host".into()) };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, options) = match parts.as_slice() {
        [_] => return None,
        [source, _] => (*source, ""),
        [source, _, options] => (*source, *options),
        _ => return Some(format!("the mount `{text}`")),
    };
    if !is_volume_name(source) {
        return Some(host_path(source));
    }
    options
        .split(',')
        .find(|option| !matches!(*option, "" | "ro" | "rw" | "nocopy" | "z" | "Z"))
        .map(|option| format!("the mount option `{option}`"))
}

fn is_volume_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// What a body names that must be looked up to know what it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Volumes, which can be paths of the host by their own options.
    pub volumes: Vec<String>,
    /// Networks, which can be the host's own by their ids, or another environment's.
    pub networks: Vec<String>,
}

impl References {
    /// Those of a body that [`read`] has answered.
    pub fn of(body: &Value) -> Self {
        let mut found = Self::default();
        let host = &body["HostConfig"];
        found.volumes.extend(strings(&host["Binds"]).filter_map(|bind| {
            let (source, _) = bind.split_once(':')?;
            Some(source.to_owned())
        }));
        let template = &body["TaskTemplate"];
        for mounts in [&host["Mounts"], &template["ContainerSpec"]["Mounts"]] {
            let volumes = mounts.as_array().into_iter().flatten();
            let volumes = volumes.filter(|mount| mount["Type"] == "volume");
            found.volumes.extend(volumes.filter_map(|mount| text_of(&mount["Source"])));
        }
        found.networks.extend(text_of(&host["NetworkMode"]));
        let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object();
        for (name, endpoint) in endpoints.into_iter().flatten() {
            found.networks.push(name.clone());
            found.networks.extend(text_of(&endpoint["NetworkID"]));
        }
        found.networks.extend(text_of(&body["EndpointConfig"]["NetworkID"]));
        for attachments in [&body["Networks"], &template["Networks"]] {
            let attachments = attachments.as_array().into_iter().flatten();
            found.networks.extend(attachments.filter_map(|a| text_of(&a["Target"])));
        }
        found.networks.retain(|name| !OWN_NETWORKS.contains(&name.as_str()));
        for names in [&mut found.volumes, &mut found.networks] {
            names.retain(|name| !name.is_empty());
            names.sort_unstable();
            names.dedup();
        }
        found
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Refuses labels that Drover alone writes: they decide whom a thing belongs to.
///
/// # Errors
/// The label.
pub fn check_labels(body: &Value) -> Result<(), Refusal> {
    let places = [&body["Labels"], &body["TaskTemplate"]["ContainerSpec"]["Labels"]];
    let mounts = body["HostConfig"]["Mounts"].as_array().into_iter().flatten();
    let of_volumes = mounts.map(|mount| &mount["VolumeOptions"]["Labels"]);
    for map in places.into_iter().chain(of_volumes).filter_map(Value::as_object) {
        if let Some(label) = map.keys().find(|label| label.starts_with(labels::PREFIX)) {
            return Err(Refusal::Label(label.clone()));
        }
    }
    Ok(())
}

/// JSON without a key that stands twice in an object.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unambiguous(value))) = access.next_entry::<String, Unambiguous>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("`{key}` is given twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests;
