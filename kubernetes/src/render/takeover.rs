//! What in a stack's text is more than everyday work: what the role *restricted* may not deploy.
//!
//! Pods are judged by the *baseline* Pod Security Standard, whatever their namespace enforces.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use drover_compose::{MountKind, Project, Takeover, takeover};

use super::names;
use crate::pod_security;

/// The kinds of Kubernetes' own that are everyday work, by group.
const EVERYDAY: [(&str, &[&str]); 8] = [
    (
        "",
        &[
            "ConfigMap",
            "PersistentVolumeClaim",
            "Pod",
            "ReplicationController",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("policy", &["PodDisruptionBudget"]),
    ("networking.k8s.io", &["Ingress"]),
    ("gateway.networking.k8s.io", &["GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute"]),
    ("cert-manager.io", &["Certificate"]),
];

/// The capabilities that *baseline* lets pods add.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The kernel parameters that *baseline* lets pods set.
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// What in a project only those may deploy who may take over a node.
pub fn takeovers(project: &Project) -> Vec<Takeover> {
    if project.manifests.is_empty() {
        return compose(project);
    }
    let mut found = Vec::new();
    for (number, manifest) in project.manifests.iter().enumerate() {
        let object = &manifest.object;
        let kind = object["kind"].as_str().unwrap_or_default();
        let api = object["apiVersion"].as_str().unwrap_or_default();
        let group = api.split_once('/').map_or("", |(group, _)| group);
        let mut add = |key: &str, code: &str, message: String| {
            let path = format!("{}.{key}", number + 1);
            found.push(Takeover { line: manifest.line, path, code: code.into(), message });
        };
        if !is_everyday(group, kind) {
            add("kind", "kind", format!("the kind `{kind}`"));
        }
        if !object["metadata"]["annotations"][names::ADOPT].is_null() {
            add("metadata.annotations", "adopt", "what is not the stack's own".into());
        }
        let plural = format!("{}s", kind.to_ascii_lowercase());
        if let Some(why) = pod_security::breaks_baseline(group, &plural, object) {
            add("spec", "pod_security", format!("such pods: {why}"));
        }
    }
    found
}

/// Of a Compose text: what reaches the node. Volumes and networks are the cluster's to give.
fn compose(project: &Project) -> Vec<Takeover> {
    let mut found: Vec<Takeover> = project
        .takeovers()
        .into_iter()
        .filter(|found| found.path.starts_with("services."))
        .collect();
    for (name, service) in &project.services {
        // *Baseline* allows fewer than Docker gives to each container.
        let more = service
            .sysctls
            .keys()
            .filter(|key| !takeover::is_sysctl_of_host(key) && !SYSCTLS.contains(&key.as_str()));
        let more = more.map(|key| ("sysctls", "sysctl", format!("the kernel parameter `{key}`")));
        let raw = service.cap_add.iter().filter(|capability| {
            let upper = capability.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
            !takeover::adds_capability(&bare) && !CAPABILITIES.contains(&bare.as_str())
        });
        let raw = raw.map(|name| ("cap_add", "capability", format!("the capability `{name}`")));
        for (key, code, message) in more.chain(raw) {
            let path = format!("services.{name}.{key}");
            found.push(Takeover { line: service.line, path, code: code.into(), message });
        }
        let foreign =
            service.volumes.iter().filter(|mount| mount.kind == MountKind::Volume).any(|mount| {
                let volume = mount.source.as_ref().and_then(|name| project.volumes.get(name));
                volume.is_some_and(|volume| volume.external)
            });
        if foreign {
            let path = format!("services.{name}.volumes");
            let message = "a volume that is not the stack's own".to_owned();
            let code = "external_volume".to_owned();
            found.push(Takeover { line: service.line, path, code, message });
        }
    }
    if project.adopt {
        let path = "x-drover-adopt".to_owned();
        let message = "what is not the stack's own".to_owned();
        found.push(Takeover { line: 1, path, code: "adopt".into(), message });
    }
    found
}

/// Custom resources are everyday work, as far as the cluster lets members write them.
fn is_everyday(group: &str, kind: &str) -> bool {
    let own = EVERYDAY.iter().any(|(of, kinds)| *of == group && kinds.contains(&kind));
    own || (group.contains('.') && !group.ends_with(".k8s.io"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let project = drover_compose::load(text, &()).project.unwrap_or_default();
        takeovers(&project).into_iter().map(|found| found.code).collect()
    }

    fn pod(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {spec}\n")
    }

    #[test]
    fn pods_beyond_baseline_are_named() {
        assert_eq!(codes(&pod("{containers: [{name: a, image: a}]}")), [] as [&str; 0]);
        for spec in [
            "{hostNetwork: true}",
            "{hostPID: true}",
            "{volumes: [{name: v, hostPath: {path: /}}]}",
            "{securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}}",
            "{securityContext: {seccompProfile: {type: Unconfined}}}",
            "{containers: [{name: a, securityContext: {privileged: true}}]}",
            "{containers: [], initContainers: [{name: a, securityContext: {capabilities: {add: [NET_RAW]}}}]}",
            "{containers: [{name: a, ports: [{containerPort: 1, hostPort: 1}]}]}",
            "{containers: [{name: a, securityContext: {procMount: Unmasked}}]}",
            "{containers: [{name: a, securityContext: {seLinuxOptions: {type: spc_t}}}]}",
        ] {
            assert_eq!(codes(&pod(spec)), ["pod_security"], "{spec}");
        }
        let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {jobTemplate: {spec: {template: {spec: {hostIPC: true}}}}}\n";
        assert_eq!(codes(cron), ["pod_security"]);
    }

    #[test]
    fn kinds_beyond_everyday_work_are_named() {
        let of = |api: &str, kind: &str| {
            codes(&format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n"))
        };
        for (api, kind) in [
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("v1", "ResourceQuota"),
            ("v1", "Endpoints"),
            ("discovery.k8s.io/v1", "EndpointSlice"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ] {
            assert_eq!(of(api, kind), ["kind"], "{kind}");
        }
        for (api, kind) in [
            ("apps/v1", "Deployment"),
            ("example.com/v1", "Widget"),
            ("networking.k8s.io/v1", "Ingress"),
        ] {
            assert_eq!(of(api, kind), [] as [&str; 0], "{kind}");
        }
    }

    #[test]
    fn of_compose_only_what_reaches_the_node_counts() {
        let harmless = "services: {a: {image: a, cap_add: [CHOWN], volumes: ['v:/v']}}\nvolumes: {v: {}}\nnetworks: {out: {external: true}}\n";
        assert_eq!(codes(harmless), [] as [&str; 0]);
        let text = "services: {a: {image: a, privileged: true, cap_add: [NET_RAW], volumes: ['v:/v']}}\nvolumes: {v: {external: true}}\nx-drover-adopt: true\n";
        assert_eq!(codes(text), ["privileged", "capability", "external_volume", "adopt"]);
    }
}
