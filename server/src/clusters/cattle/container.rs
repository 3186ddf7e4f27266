//! How a service becomes a container of Docker's.

use std::collections::HashMap;

use drover_compose::{Mount, MountKind, Network, Project, Restart, Service, Volume};
use uuid::Uuid;

use super::network::{Kind, Membership, names};
use crate::{
    hosts::{
        driver::models::{
            ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig,
            HostConfig, HostConfigLogConfig, Ipam, IpamConfig, Mount as DockerMount,
            MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType,
            MountVolumeOptions, NetworkCreateRequest, NetworkingConfig, PortBinding,
            ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
        },
        labels,
    },
    stacks::StackRow,
};

/// The name of a stack's volume on the host.
pub(super) fn own_name(stack: &StackRow, name: &str, given: Option<&str>) -> String {
    given.map_or_else(|| format!("{}_{name}", stack.name), str::to_owned)
}

fn stack_labels(stack: &StackRow) -> HashMap<String, String> {
    [
        (labels::ENVIRONMENT, stack.environment_id.to_string()),
        (labels::STACK, stack.id.to_string()),
        (labels::STACK_NAME, stack.name.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A stack's network, as it is made on a host, or across hosts.
pub(super) fn network(
    stack: &StackRow,
    name: &str,
    network: &Network,
    kind: Kind,
) -> NetworkCreateRequest {
    let mut labels: HashMap<_, _> =
        network.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.extend(stack_labels(stack));
    let ipam = (!network.ipam.is_empty()).then(|| Ipam {
        config: Some(
            network
                .ipam
                .iter()
                .map(|(subnet, gateway, range)| IpamConfig {
                    subnet: Some(subnet.clone()),
                    gateway: gateway.clone(),
                    ip_range: range.clone(),
                    ..IpamConfig::default()
                })
                .collect(),
        ),
        ..Ipam::default()
    });
    let kind = if names::can_span(network) { kind } else { Kind::Bridge };
    let mut options: HashMap<_, _> = network.driver_opts.clone().into_iter().collect();
    if kind == Kind::Encrypted {
        options.insert("encrypted".into(), String::new());
    }
    NetworkCreateRequest {
        name: names::stack_network(stack, name, network, kind),
        driver: Some(network.driver.clone().unwrap_or_else(|| kind.driver().into())),
        options: Some(options),
        internal: Some(network.internal),
        attachable: Some(network.attachable || kind != Kind::Bridge),
        enable_ipv6: Some(network.enable_ipv6),
        ipam,
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    }
}

/// The network that joins all stacks of an environment.
pub(super) fn environment_network(environment: Uuid, kind: Kind) -> NetworkCreateRequest {
    let mut options = HashMap::new();
    if kind == Kind::Encrypted {
        options.insert("encrypted".to_owned(), String::new());
    }
    NetworkCreateRequest {
        name: names::environment_network(environment, kind),
        driver: Some(kind.driver().into()),
        options: Some(options),
        attachable: Some(kind != Kind::Bridge),
        labels: Some([(labels::ENVIRONMENT.to_owned(), environment.to_string())].into()),
        ..NetworkCreateRequest::default()
    }
}

pub(super) fn volume(stack: &StackRow, name: &str, volume: &Volume) -> VolumeCreateRequest {
    let mut labels: HashMap<_, _> =
        volume.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.extend(stack_labels(stack));
    VolumeCreateRequest {
        name: Some(own_name(stack, name, volume.name.as_deref())),
        driver: Some(volume.driver.clone().unwrap_or_else(|| "local".into())),
        driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    }
}

/// The container's name: the same each time, so that making it twice cannot make two.
pub(super) fn name(stack: &StackRow, service: &str, ordinal: i32) -> String {
    format!("{}-{service}-{ordinal}", stack.name)
}

/// What a container is made from.
pub(super) struct Make<'a> {
    pub stack: &'a StackRow,
    pub project: &'a Project,
    pub service_name: &'a str,
    pub service: &'a Service,
    pub spec: &'a str,
    pub instance: Uuid,
    /// The container whose network it shares, for `network_mode: service:…`.
    pub shares_network_of: Option<String>,
    /// Whether another service waits for it to complete.
    pub awaited: bool,
    /// What networks are on its host.
    pub kind: Kind,
}

/// The networks of a service on the host, with how to be in each; the first is the one that the
/// container is made in.
pub(super) fn endpoints(make: &Make<'_>) -> Vec<(String, EndpointSettings)> {
    let service = (make.service_name, make.service);
    names::memberships(make.stack, make.project, service, make.kind, false)
        .into_iter()
        .map(|membership| (membership.network.clone(), endpoint(membership)))
        .collect()
}

/// How to be in a network.
pub(super) fn endpoint(membership: Membership) -> EndpointSettings {
    let fixed = membership.ipv4_address.is_some() || membership.ipv6_address.is_some();
    EndpointSettings {
        aliases: Some(membership.aliases).filter(|aliases| !aliases.is_empty()),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: membership.ipv4_address,
            ipv6_address: membership.ipv6_address,
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    }
}

pub(super) fn create_body(make: &Make<'_>) -> ContainerCreateBody {
    let service = make.service;
    let mut all_labels: HashMap<_, _> =
        service.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    all_labels.extend(stack_labels(make.stack));
    all_labels.extend(
        [
            (labels::SERVICE, make.service_name.to_owned()),
            (labels::INSTANCE, make.instance.to_string()),
            (labels::REVISION, make.stack.revision.to_string()),
            (labels::SPEC, make.spec.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let exposed = service
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.target, port.protocol))
        .chain(
            service
                .expose
                .iter()
                .map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") }),
        )
        .collect::<Vec<_>>();
    let first_network = endpoints(make).into_iter().next();
    ContainerCreateBody {
        image: Some(service.image.clone()),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        env: Some(
            service.environment.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        ),
        labels: Some(all_labels),
        exposed_ports: Some(exposed),
        healthcheck: service.healthcheck.as_ref().map(|check| HealthConfig {
            test: check.test.clone(),
            interval: nanos(check.interval_ms),
            timeout: nanos(check.timeout_ms),
            retries: check.retries.and_then(|retries| retries.try_into().ok()),
            start_period: nanos(check.start_period_ms),
            ..HealthConfig::default()
        }),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        working_dir: service.working_dir.clone(),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period_ms.map(|ms| ms.div_ceil(1000) as i64),
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        host_config: Some(host_config(make, first_network.as_ref().map(|(name, _)| name.as_str()))),
        networking_config: first_network
            .map(|endpoint| NetworkingConfig { endpoints_config: Some([endpoint].into()) }),
        ..ContainerCreateBody::default()
    }
}

fn host_config(make: &Make<'_>, first_network: Option<&str>) -> HostConfig {
    let service = make.service;
    let (limits, reservations) = (&service.deploy.limits, &service.deploy.reservations);
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &service.ports {
        bindings
            .entry(format!("{}/{}", port.target, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: port.host_ip.clone(),
                host_port: port.published.map(|port| port.to_string()),
            });
    }
    let network_mode = match service.network_mode.as_deref() {
        Some(mode) if mode.starts_with("service:") => {
            make.shares_network_of.as_ref().map(|id| format!("container:{id}"))
        }
        Some(mode) => Some(mode.to_owned()),
        None => first_network.map(str::to_owned),
    };
    let list = |items: &Vec<String>| (!items.is_empty()).then(|| items.clone());
    HostConfig {
        network_mode,
        port_bindings: Some(bindings),
        mounts: Some(service.volumes.iter().map(|mount| mount_of(make, mount)).collect()),
        tmpfs: (!service.tmpfs.is_empty()).then(|| {
            service
                .tmpfs
                .iter()
                .map(|entry| {
                    let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
                    (path.to_owned(), options.to_owned())
                })
                .collect()
        }),
        restart_policy: Some(restart_policy(service, make.awaited)),
        nano_cpus: limits.nano_cpus,
        memory: limits.memory.map(signed),
        memory_reservation: reservations.memory.map(signed),
        pids_limit: limits.pids,
        cap_add: list(&service.cap_add),
        cap_drop: list(&service.cap_drop),
        privileged: Some(service.privileged),
        devices: (!service.devices.is_empty())
            .then(|| service.devices.iter().map(|device| device_of(device)).collect()),
        security_opt: list(&service.security_opt),
        group_add: list(&service.group_add),
        userns_mode: service.userns_mode.clone(),
        ipc_mode: service.ipc.clone(),
        pid_mode: service.pid.clone(),
        uts_mode: service.uts.clone(),
        cgroupns_mode: service.cgroup.as_deref().and_then(|mode| {
            serde_json::from_value(serde_json::Value::String(mode.to_owned())).ok()
        }),
        cgroup_parent: service.cgroup_parent.clone(),
        sysctls: (!service.sysctls.is_empty())
            .then(|| service.sysctls.clone().into_iter().collect()),
        shm_size: service.shm_size.map(signed),
        log_config: service.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: logging.driver.clone(),
            config: Some(logging.options.clone().into_iter().collect()),
        }),
        extra_hosts: (!service.extra_hosts.is_empty()).then(|| {
            service.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect()
        }),
        ulimits: (!service.ulimits.is_empty()).then(|| {
            service
                .ulimits
                .iter()
                .map(|(name, limit)| ResourcesUlimits {
                    name: Some(name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect()
        }),
        dns: list(&service.dns),
        dns_search: list(&service.dns_search),
        dns_options: list(&service.dns_opt),
        readonly_rootfs: Some(service.read_only),
        init: service.init,
        runtime: service.runtime.clone(),
        oom_kill_disable: service.oom_kill_disable.then_some(true),
        oom_score_adj: service.oom_score_adj,
        ..HostConfig::default()
    }
}

fn nanos(ms: Option<u64>) -> Option<i64> {
    ms.map(|ms| signed(ms.saturating_mul(1_000_000)))
}

fn signed(value: u64) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// Without a rule of its own a service is kept running, unless another one waits for it to
/// complete.
fn restart_policy(service: &Service, awaited: bool) -> RestartPolicy {
    let (name, most) = match service.restart {
        None if awaited => (RestartPolicyNameEnum::NO, None),
        None | Some(Restart::UnlessStopped) => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Some(Restart::No) => (RestartPolicyNameEnum::NO, None),
        Some(Restart::Always) => (RestartPolicyNameEnum::ALWAYS, None),
        Some(Restart::OnFailure(most)) => (RestartPolicyNameEnum::ON_FAILURE, Some(signed(most))),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: most }
}

fn mount_of(make: &Make<'_>, mount: &Mount) -> DockerMount {
    let source = mount.source.as_ref().map(|source| match mount.kind {
        MountKind::Volume => {
            let volume = make.project.volumes.get(source);
            let given = volume
                .and_then(|volume| volume.name.as_deref())
                .or_else(|| volume.filter(|volume| volume.external).map(|_| source.as_str()));
            own_name(make.stack, source, given)
        }
        _ => source.clone(),
    });
    DockerMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(match mount.kind {
            MountKind::Volume => MountType::VOLUME,
            MountKind::Bind => MountType::BIND,
            MountKind::Tmpfs => MountType::TMPFS,
        }),
        read_only: Some(mount.read_only),
        bind_options: mount.propagation.as_ref().map(|propagation| MountBindOptions {
            propagation: serde_json::from_value::<MountBindOptionsPropagationEnum>(
                propagation.clone().into(),
            )
            .ok(),
            ..MountBindOptions::default()
        }),
        volume_options: (mount.kind == MountKind::Volume).then(|| MountVolumeOptions {
            no_copy: Some(mount.nocopy),
            ..MountVolumeOptions::default()
        }),
        tmpfs_options: mount.tmpfs_size.map(|size| MountTmpfsOptions {
            size_bytes: Some(signed(size)),
            ..MountTmpfsOptions::default()
        }),
        ..DockerMount::default()
    }
}

fn device_of(text: &str) -> DeviceMapping {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default().to_owned();
    let container = parts.next().map_or_else(|| host.clone(), str::to_owned);
    DeviceMapping {
        path_on_host: Some(host),
        path_in_container: Some(container),
        cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
    }
}
