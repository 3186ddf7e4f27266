//! Names, published ports and Ingress.
//!
//! Services of a Compose text reach each other by their names, on every port, and those of another
//! stack may have the same names. So a stack has one headless Service, which is a subdomain: its
//! pods have their service's name as host name there, and look for names there. What is published
//! has a Service of its own beside it.

use std::collections::BTreeSet;

use drover_compose::{EndpointMode, Ingress, Port, Project, Service};
use serde_json::{Map, Value, json};

use super::{Kind, Stack, kind, names, pod_of, pods};

/// The label that says how a service's ports are published.
pub(super) const TYPE: &str = "io.drover.kubernetes.service";
/// The ports that every node has for what is published there.
pub(super) const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// The domain of a stack's names.
pub(super) fn domain(stack: &Stack<'_>) -> String {
    format!("{}.{}.svc.{}", names::network(stack.name), stack.namespace, stack.domain)
}

/// The Service that is the domain of a stack's names.
pub(super) fn names(stack: &Stack<'_>) -> Value {
    let mut value = names::object("v1", "Service", &names::network(stack.name));
    value["spec"] = json!({
        "clusterIP": "None",
        "selector": { names::STACK: stack.id.to_string() },
    });
    value
}

/// How a port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Publish {
    /// Only within the cluster.
    Cluster,
    /// On a port of every node.
    Node,
    /// By what balances load outside of the cluster.
    Balancer,
}

/// How a service's label asks for its ports to be published.
pub(super) fn asked(service: &Service) -> Option<&str> {
    let labels = [&service.deploy.labels, &service.labels];
    labels.into_iter().find_map(|labels| labels.get(TYPE)).map(String::as_str)
}

fn publish(service: &Service, port: &Port) -> Publish {
    let loopback = port
        .host_ip
        .as_deref()
        .is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()));
    match (asked(service), port.published) {
        // What is published on a host's loopback is for whoever is beside it.
        _ if loopback => Publish::Cluster,
        (Some("ClusterIP"), _) => Publish::Cluster,
        (Some("NodePort"), _) => Publish::Node,
        (Some("LoadBalancer"), _) => Publish::Balancer,
        (_, None) => Publish::Node,
        (_, Some(published)) if NODE_PORTS.contains(&published) => Publish::Node,
        (_, Some(_)) => Publish::Balancer,
    }
}

/// The Service of what a service publishes, and more names of it.
pub(super) fn services(
    stack: &Stack<'_>,
    project: &Project,
    name: &str,
    service: &Service,
) -> Vec<Value> {
    let selector = pods::selector(stack, pod_of(project, name));
    let mut all = Vec::new();
    let ports = ports(service);
    // The pods of a StatefulSet have names of their own, so the service needs one.
    let stateful = kind(project, name, service) == Kind::StatefulSet;
    if !ports.is_empty() || stateful {
        let mut value = names::object("v1", "Service", &names::workload(stack.name, name));
        value["spec"] = json!({ "selector": selector });
        let most = ports.iter().map(|port| port.publish).max().unwrap_or(Publish::Cluster);
        let headless = service.deploy.endpoint_mode == Some(EndpointMode::Dnsrr);
        match most {
            Publish::Cluster if headless || ports.is_empty() => {
                value["spec"]["clusterIP"] = "None".into();
            }
            Publish::Cluster => value["spec"]["type"] = "ClusterIP".into(),
            Publish::Node => value["spec"]["type"] = "NodePort".into(),
            Publish::Balancer => value["spec"]["type"] = "LoadBalancer".into(),
        }
        if !ports.is_empty() {
            value["spec"]["ports"] = ports.iter().map(ServicePort::render).collect();
        }
        for (key, text) in service.deploy.labels.iter().filter(|(key, _)| names::is_key(key)) {
            value["metadata"]["annotations"][key] = text.as_str().into();
        }
        all.push(value);
    }
    for alias in aliases(name, service) {
        let mut value = names::object("v1", "Service", &names::label(&[&alias]));
        value["spec"] = json!({ "clusterIP": "None", "selector": selector });
        all.push(value);
    }
    all
}

/// More names than its own.
fn aliases(name: &str, service: &Service) -> BTreeSet<String> {
    let all = service.networks.values().flat_map(|attachment| &attachment.aliases);
    all.map(|alias| names::host(alias)).filter(|alias| *alias != names::host(name)).collect()
}

/// A port of a Service.
struct ServicePort {
    port: u16,
    target: u16,
    protocol: String,
    publish: Publish,
    node_port: Option<u16>,
}

impl ServicePort {
    fn render(&self) -> Value {
        let mut value = json!({
            "name": format!("{}-{}", self.protocol.to_ascii_lowercase(), self.port),
            "port": self.port,
            "targetPort": self.target,
            "protocol": self.protocol,
        });
        if let Some(port) = self.node_port {
            value["nodePort"] = port.into();
        }
        value
    }
}

/// What is published, and what other services or an Ingress ask for by number, each port once.
fn ports(service: &Service) -> Vec<ServicePort> {
    let mut all: Vec<ServicePort> = Vec::new();
    let mut add = |new: ServicePort| {
        if all.iter().all(|old| (old.port, &old.protocol) != (new.port, &new.protocol)) {
            all.push(new);
        }
    };
    for port in &service.ports {
        let publish = publish(service, port);
        // A node port is no port of the Service itself.
        let node_port = port
            .published
            .filter(|published| publish == Publish::Node && NODE_PORTS.contains(published));
        let number = match (port.published, node_port) {
            (Some(published), None) => published,
            _ => port.target,
        };
        add(ServicePort {
            port: number,
            target: port.target,
            protocol: port.protocol.to_ascii_uppercase(),
            publish,
            node_port,
        });
    }
    let within = |port: u16, protocol: String| ServicePort {
        port,
        target: port,
        protocol,
        publish: Publish::Cluster,
        node_port: None,
    };
    for (port, protocol) in service.expose.iter().filter_map(|text| pods::port_and_protocol(text)) {
        add(within(port, protocol));
    }
    for entry in &service.ingress {
        if let Some(port) = ingress_port(service, entry) {
            let known = service.ports.iter().any(|p| p.target == port && p.protocol == "tcp");
            if !known {
                add(within(port, "TCP".into()));
            }
        }
    }
    all
}

/// The container's port that an Ingress leads to.
pub(super) fn ingress_port(service: &Service, entry: &Ingress) -> Option<u16> {
    if entry.port != 0 {
        return Some(entry.port);
    }
    let published = service.ports.iter().find(|port| port.protocol == "tcp");
    let exposed = || {
        let mut all = service.expose.iter().filter_map(|text| pods::port_and_protocol(text));
        all.find(|(_, protocol)| protocol == "TCP").map(|(port, _)| port)
    };
    published.map(|port| port.target).or_else(exposed)
}

/// What lets people in over HTTP: one Ingress for all entries with the same class and annotations.
pub(super) fn ingress(stack: &Stack<'_>, name: &str, service: &Service) -> Vec<Value> {
    let mut groups: Vec<(&Ingress, Vec<&Ingress>)> = Vec::new();
    for entry in &service.ingress {
        let same = |other: &Ingress| {
            (&other.class, &other.annotations) == (&entry.class, &entry.annotations)
        };
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, entries)) => entries.push(entry),
            None => groups.push((entry, vec![entry])),
        }
    }
    let base = names::workload(stack.name, name);
    let all_ports = ports(service);
    groups
        .into_iter()
        .enumerate()
        .map(|(number, (first, entries))| {
            let own = if number == 0 { base.clone() } else { format!("{base}-{}", number + 1) };
            let mut value = names::object("networking.k8s.io/v1", "Ingress", &own);
            for (key, text) in first.annotations.iter().filter(|(key, _)| names::is_key(key)) {
                value["metadata"]["annotations"][key] = text.as_str().into();
            }
            let mut spec = Map::new();
            if let Some(class) = &first.class {
                spec.insert("ingressClassName".into(), class.as_str().into());
            }
            spec.insert("rules".into(), rules(service, &base, &all_ports, &entries).into());
            let tls: Vec<Value> = entries
                .iter()
                .filter_map(|entry| {
                    Some(json!({ "hosts": [entry.host.as_ref()?], "secretName": entry.tls.as_ref()? }))
                })
                .collect();
            if !tls.is_empty() {
                spec.insert("tls".into(), tls.into());
            }
            value["spec"] = spec.into();
            value
        })
        .collect()
}

fn rules(
    service: &Service,
    backend: &str,
    ports: &[ServicePort],
    entries: &[&Ingress],
) -> Vec<Value> {
    let mut hosts: Vec<(Option<&String>, Vec<Value>)> = Vec::new();
    for entry in entries {
        let Some(target) = ingress_port(service, entry) else { continue };
        let port = ports
            .iter()
            .find(|port| port.target == target && port.protocol == "TCP")
            .map_or(target, |port| port.port);
        let path = json!({
            "path": entry.path,
            "pathType": "Prefix",
            "backend": { "service": { "name": backend, "port": { "number": port } } },
        });
        match hosts.iter_mut().find(|(host, _)| *host == entry.host.as_ref()) {
            Some((_, paths)) => paths.push(path),
            None => hosts.push((entry.host.as_ref(), vec![path])),
        }
    }
    hosts
        .into_iter()
        .map(|(host, paths)| {
            let mut rule = json!({ "http": { "paths": paths } });
            if let Some(host) = host {
                rule["host"] = host.as_str().into();
            }
            rule
        })
        .collect()
}
