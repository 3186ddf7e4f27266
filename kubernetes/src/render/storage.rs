//! Volumes. A named volume is a PersistentVolumeClaim that all containers share, as in Docker; one
//! that says `io.drover.kubernetes.each` is one claim for each pod.

use drover_compose::{Mount, MountKind, Project, Service, Volume};
use serde_json::{Value, json};

use super::{Kind, Stack, kind, members, names, pod_of};

/// How large a volume is that says nothing.
const DEFAULT_SIZE: u64 = 8 << 30;

const SIZE: &str = "io.drover.kubernetes.size";
const CLASS: &str = "io.drover.kubernetes.storage-class";
const ACCESS: &str = "io.drover.kubernetes.access-mode";
const EACH: &str = "io.drover.kubernetes.each";

/// The access modes of volumes.
pub(super) const ACCESS_MODES: [&str; 4] =
    ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany", "ReadWriteOncePod"];

/// A label of a volume that is not right: its key, and why.
pub(super) fn wrong_label(volume: &Volume) -> Option<(&'static str, String)> {
    if let Some(size) = volume.labels.get(SIZE)
        && drover_compose::parse_bytes(size).is_none_or(|bytes| bytes == 0)
    {
        return Some((SIZE, format!("`{size}` is not a size such as `10g`.")));
    }
    if let Some(size) = volume.driver_opts.get("size")
        && drover_compose::parse_bytes(size).is_none_or(|bytes| bytes == 0)
    {
        return Some(("driver_opts.size", format!("`{size}` is not a size such as `10g`.")));
    }
    let mode = volume.labels.get(ACCESS)?;
    (!ACCESS_MODES.contains(&mode.as_str()))
        .then(|| (ACCESS, format!("`{mode}` is not one of {}.", ACCESS_MODES.join(", "))))
}

fn access_mode(volume: &Volume) -> &str {
    volume.labels.get(ACCESS).map_or("ReadWriteOnce", String::as_str)
}

/// Whether one node at a time can have it.
pub(super) fn is_for_one_node(volume: &Volume) -> bool {
    !volume.external && access_mode(volume).starts_with("ReadWriteOnce")
}

/// Whether each pod has one of its own.
pub(super) fn is_each(volume: &Volume) -> bool {
    !volume.external && volume.labels.get(EACH).is_some_and(|value| value == "true")
}

/// The named volumes of a service, with their mounts.
fn named<'a>(
    project: &'a Project,
    service: &'a Service,
) -> impl Iterator<Item = (&'a str, Option<&'a Volume>, &'a Mount)> {
    service.volumes.iter().filter(|mount| mount.kind == MountKind::Volume).filter_map(|mount| {
        let name = mount.source.as_deref()?;
        Some((name, project.volumes.get(name), mount))
    })
}

/// Whether a service has volumes of which each pod has one of its own.
pub(super) fn has_own_volumes(project: &Project, service: &Service) -> bool {
    named(project, service).any(|(_, volume, _)| volume.is_some_and(is_each))
}

/// Whether a service writes to a volume that one node at a time can have.
pub(super) fn writes_alone(project: &Project, service: &Service) -> bool {
    named(project, service)
        .any(|(_, volume, mount)| !mount.read_only && volume.is_none_or(is_for_one_node))
}

/// The volumes of a pod that one node at a time can have and that several pods share.
pub(super) fn shared_by_node<'a>(project: &'a Project, name: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (_, service) in members(project, name) {
        for (source, volume, _) in named(project, service) {
            if !volume.is_some_and(|volume| is_for_one_node(volume) && !is_each(volume)) {
                continue;
            }
            let users = project.services.iter().filter(|(_, other)| {
                named(project, other).any(|(other_source, ..)| other_source == source)
            });
            let mut pods: Vec<&str> = users.map(|(user, _)| pod_of(project, user)).collect();
            pods.dedup();
            let several = pods.iter().any(|pod| *pod != name) || service.deploy.replicas > 1;
            if several && !found.contains(&source) {
                found.push(source);
            }
        }
    }
    found
}

/// The label of the pods that have a volume.
pub(super) fn volume_label(volume: &str) -> String {
    format!("volume.drover.io/{}", names::label(&[volume]))
}

/// The name of a volume's claim.
pub(super) fn claim_name(stack: &Stack<'_>, name: &str, volume: Option<&Volume>) -> String {
    match volume.and_then(|volume| volume.name.as_deref()) {
        Some(given) => given.to_owned(),
        None if volume.is_some_and(|volume| volume.external) => name.to_owned(),
        None => names::label(&[stack.name, name]),
    }
}

fn claim_spec(volume: &Volume) -> Value {
    let size = volume.labels.get(SIZE).or(volume.driver_opts.get("size"));
    let bytes = size.and_then(|size| drover_compose::parse_bytes(size)).unwrap_or(DEFAULT_SIZE);
    let mut spec = json!({
        "accessModes": [access_mode(volume)],
        "resources": { "requests": { "storage": quantity(bytes) } },
    });
    if let Some(class) = volume.labels.get(CLASS) {
        spec["storageClassName"] = class.as_str().into();
    }
    spec
}

/// Bytes as Kubernetes writes them, in the largest unit that fits.
pub(super) fn quantity(bytes: u64) -> String {
    for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The claims that a stack's services share.
pub(super) fn claims(stack: &Stack<'_>, project: &Project) -> Vec<Value> {
    let used = |name: &str| {
        project.services.values().any(|service| named(project, service).any(|(n, ..)| n == name))
    };
    let own = project
        .volumes
        .iter()
        .filter(|(name, volume)| !volume.external && !is_each(volume) && used(name));
    own.map(|(name, volume)| {
        let claim = claim_name(stack, name, Some(volume));
        let mut value = names::object("v1", "PersistentVolumeClaim", &claim);
        value["spec"] = claim_spec(volume);
        value
    })
    .collect()
}

/// The claims of which each pod has one of its own.
pub(super) fn claim_templates(project: &Project, name: &str) -> Vec<Value> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for (_, service) in members(project, name) {
        for (source, volume, _) in named(project, service) {
            let Some(volume) = volume.filter(|volume| is_each(volume)) else { continue };
            let name = volume_name(source);
            if all.iter().all(|(known, _)| *known != name) {
                let template = json!({ "metadata": { "name": name }, "spec": claim_spec(volume) });
                all.push((name, template));
            }
        }
    }
    all.into_iter().map(|(_, template)| template).collect()
}

fn volume_name(source: &str) -> String {
    names::label(&["volume", source])
}

/// What of a service's mounts goes into its pods: volumes, and mounts of its container.
pub(super) struct Mounted {
    pub volumes: Vec<Value>,
    pub mounts: Vec<Value>,
    /// Paths whose content in the image a new volume begins with, and the volumes' names.
    pub copies: Vec<(String, String)>,
}

/// The mounts of a service.
pub(super) fn mounted(
    stack: &Stack<'_>,
    project: &Project,
    name: &str,
    service: &Service,
) -> Mounted {
    let mut out = Mounted { volumes: Vec::new(), mounts: Vec::new(), copies: Vec::new() };
    let stateful = kind(project, pod_of(project, name), service) == Kind::StatefulSet;
    for (number, mount) in service.volumes.iter().enumerate() {
        let own = || names::label(&["mount", name, &number.to_string()]);
        let (volume, value) = match (mount.kind, mount.source.as_deref()) {
            (MountKind::Volume, Some(source)) => {
                let volume = project.volumes.get(source);
                let claim = claim_name(stack, source, volume);
                let value = json!({ "persistentVolumeClaim": { "claimName": claim } });
                // A StatefulSet adds it by itself.
                let each = stateful && volume.is_some_and(is_each);
                (volume_name(source), Some(value).filter(|_| !each))
            }
            (MountKind::Volume, None) => (own(), Some(json!({ "emptyDir": {} }))),
            (MountKind::Tmpfs, _) => (own(), Some(memory(mount.tmpfs_size))),
            (MountKind::Bind, source) => {
                let path = source.unwrap_or("/");
                (own(), Some(json!({ "hostPath": { "path": path } })))
            }
        };
        if mount.kind == MountKind::Volume && !mount.nocopy && !mount.read_only {
            out.copies.push((mount.target.clone(), volume.clone()));
        }
        let mut entry = json!({ "name": volume, "mountPath": mount.target });
        if mount.read_only {
            entry["readOnly"] = true.into();
        }
        match mount.propagation.as_deref() {
            Some("rshared" | "shared") => entry["mountPropagation"] = "Bidirectional".into(),
            Some("rslave" | "slave") => entry["mountPropagation"] = "HostToContainer".into(),
            _ => {}
        }
        out.mounts.push(entry);
        if let Some(mut value) = value
            && out.volumes.iter().all(|known| known["name"] != volume.as_str())
        {
            value["name"] = volume.into();
            out.volumes.push(value);
        }
    }
    for (number, entry) in service.tmpfs.iter().enumerate() {
        let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
        let size = options.split(',').find_map(|option| option.strip_prefix("size="));
        let size = size.and_then(drover_compose::parse_bytes);
        let volume = names::label(&["tmpfs", name, &number.to_string()]);
        out.mounts.push(json!({ "name": volume, "mountPath": path }));
        let mut value = memory(size);
        value["name"] = volume.into();
        out.volumes.push(value);
    }
    if let Some(size) = service.shm_size {
        let volume = names::label(&["shm", name]);
        out.mounts.push(json!({ "name": volume, "mountPath": "/dev/shm" }));
        let mut value = memory(Some(size));
        value["name"] = volume.into();
        out.volumes.push(value);
    }
    out
}

fn memory(size: Option<u64>) -> Value {
    let mut value = json!({ "emptyDir": { "medium": "Memory" } });
    if let Some(size) = size {
        value["emptyDir"]["sizeLimit"] = quantity(size).into();
    }
    value
}

/// Fills new volumes with what the image has at their paths, with its owners, as Docker does. A
/// copy that was broken off begins anew.
const COPY: &str = r#"while [ $# -gt 1 ]; do
  s=$1 d=$2; shift 2
  [ -d "$s" ] || continue
  full=
  for f in "$d"/* "$d"/.[!.]*; do
    case "$f" in
      "$d/*"|"$d/.[!.]*"|*/lost+found) ;;
      *) full=1 ;;
    esac
  done
  if [ -z "$full" ] || [ -e "$d/.drover-copy" ]; then
    : > "$d/.drover-copy" && cp -a "$s/." "$d/" && rm -f "$d/.drover-copy" || exit 1
  fi
done"#;

/// The container that fills new volumes before a service starts.
pub(super) fn copier(
    name: &str,
    image: &Value,
    pull: &Value,
    resources: &Value,
    copies: &[(String, String)],
) -> Option<Value> {
    if copies.is_empty() {
        return None;
    }
    let mut args = vec!["copy".to_owned()];
    let mut mounts = Vec::new();
    for (number, (path, volume)) in copies.iter().enumerate() {
        let to = format!("/drover/{number}");
        mounts.push(json!({ "name": volume, "mountPath": to }));
        args.extend([path.clone(), to]);
    }
    let mut container = json!({
        "name": names::label(&["copy", name]),
        "image": image,
        "command": ["sh", "-c", super::pods::literal(COPY)],
        "args": args.iter().map(|arg| super::pods::literal(arg)).collect::<Vec<_>>(),
        "volumeMounts": mounts,
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"] },
        },
    });
    for (key, value) in [("imagePullPolicy", pull), ("resources", resources)] {
        if !value.is_null() {
            container[key] = value.clone();
        }
    }
    Some(container)
}
