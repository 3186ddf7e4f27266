//! Services, and what leads to them from outside.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    Backend, Facts, Health, Meta, Reading, RouteFacts, ServiceFacts, Verdict,
    input::{Condition, Labels, Object, Port, Skipped, Text, or_default, sentence},
};
use crate::index::Pool;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec<'a> {
    #[serde(borrow, rename = "type", deserialize_with = "or_default")]
    kind: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    selector: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    ports: Vec<ServicePort<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    external_name: Cow<'a, str>,
    #[serde(borrow, rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    name: Cow<'a, str>,
    port: u16,
    #[serde(borrow, deserialize_with = "or_default")]
    protocol: Cow<'a, str>,
    node_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceStatus<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    load_balancer: LoadBalancer<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    ingress: Vec<Address<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    ip: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    hostname: Cow<'a, str>,
}

pub fn read_service<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let service: Object<'a, ServiceSpec<'a>, ServiceStatus<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = service;
    let ports: Vec<String> = spec.ports.iter().map(show_port).collect();
    let balancers =
        status.load_balancer.ingress.iter().map(|address| {
            if address.hostname.is_empty() { &*address.ip } else { &*address.hostname }
        });
    let external: Vec<&str> = balancers
        .chain(spec.external_ips.iter().map(|ip| &*ip.0))
        .chain(Some(&*spec.external_name))
        .filter(|address| !address.is_empty())
        .collect();
    let waits = spec.kind == "LoadBalancer" && external.is_empty();
    let facts = ServiceFacts {
        kind: pool.text(&spec.kind),
        selector: pool.labels(spec.selector.pairs()),
        ports: pool.list(ports.iter().map(String::as_str)),
        external: pool.list(external),
    };
    let verdict = if waits {
        Verdict::new(
            Health::Progressing,
            "It waits for an address from a load balancer. If that stays, nothing in this cluster gives any.",
        )
    } else {
        Verdict::healthy()
    };
    Ok((metadata, Reading { facts: Facts::Service(Box::new(facts)), verdict }))
}

/// `http:80/TCP`, `80:30080/TCP`.
fn show_port(port: &ServicePort<'_>) -> String {
    let name = if port.name.is_empty() { String::new() } else { format!("{}:", port.name) };
    let node = port.node_port.map(|port| format!(":{port}")).unwrap_or_default();
    let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
    format!("{name}{}{node}/{protocol}", port.port)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IngressSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    ingress_class_name: Cow<'a, str>,
    #[serde(borrow)]
    default_backend: Option<IngressBackend<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    rules: Vec<IngressRule<'a>>,
    #[serde(deserialize_with = "or_default")]
    tls: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressRule<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    host: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    http: IngressPaths<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressPaths<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    paths: Vec<IngressPath<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressPath<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    path: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    backend: IngressBackend<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressBackend<'a> {
    #[serde(borrow)]
    service: Option<IngressService<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressService<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    port: IngressPort<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IngressPort<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    name: Cow<'a, str>,
    number: Option<u16>,
}

pub fn read_ingress<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let ingress: Object<'a, IngressSpec<'a>, Skipped> = serde_json::from_str(text)?;
    let Object { metadata, spec, .. } = ingress;
    let mut backends = Vec::new();
    let rules = spec.rules.iter().flat_map(|rule| {
        rule.http.paths.iter().map(|path| (format!("{}{}", rule.host, path.path), &path.backend))
    });
    let default = spec.default_backend.iter().map(|backend| (String::new(), backend));
    for (rule, backend) in rules.chain(default) {
        let Some(service) = &backend.service else { continue };
        let port = match service.port.number {
            Some(number) => number.to_string(),
            None => service.port.name.to_string(),
        };
        backends.push(Backend {
            namespace: None,
            service: pool.text(&service.name),
            port: pool.text(&port),
            rule: pool.text(&rule),
        });
    }
    let class = Some(&*spec.ingress_class_name).filter(|class| !class.is_empty());
    let hosts = spec.rules.iter().map(|rule| &*rule.host).filter(|host| !host.is_empty());
    let facts = RouteFacts {
        parents: pool.list(class),
        hosts: pool.list(hosts),
        backends: backends.into(),
        tls: !spec.tls.is_empty(),
    };
    Ok((metadata, Reading { facts: Facts::Route(Box::new(facts)), verdict: Verdict::healthy() }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    parent_refs: Vec<ParentRef<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    hostnames: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    rules: Vec<RouteRule<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ParentRef<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteRule<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    matches: Vec<RouteMatch<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    backend_refs: Vec<BackendRef<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouteMatch<'a> {
    #[serde(borrow)]
    path: Option<RoutePath<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoutePath<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    value: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BackendRef<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    kind: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    port: Port,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouteStatus<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    parents: Vec<RouteParent<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouteParent<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
}

pub fn read_http_route<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let route: Object<'a, RouteSpec<'a>, RouteStatus<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = route;
    let host = spec.hostnames.first().map_or("", |host| &*host.0);
    let mut backends = Vec::new();
    for rule in &spec.rules {
        let path = rule.matches.iter().find_map(|found| found.path.as_ref());
        let words = format!("{host}{}", path.map_or("/", |path| &*path.value));
        for backend in &rule.backend_refs {
            if !matches!(&*backend.kind, "" | "Service") {
                continue;
            }
            backends.push(Backend {
                namespace: (!backend.namespace.is_empty()).then(|| pool.text(&backend.namespace)),
                service: pool.text(&backend.name),
                port: pool.text(&backend.port.0),
                rule: pool.text(&words),
            });
        }
    }
    let parents: Vec<String> = spec
        .parent_refs
        .iter()
        .map(|parent| {
            let namespace =
                if parent.namespace.is_empty() { &metadata.namespace } else { &parent.namespace };
            format!("{namespace}/{}", parent.name)
        })
        .collect();
    let facts = RouteFacts {
        parents: pool.list(parents.iter().map(String::as_str)),
        hosts: pool.list(spec.hostnames.iter().map(|host| &*host.0)),
        backends: backends.into(),
        tls: false,
    };
    let refused = status.parents.iter().flat_map(|parent| &parent.conditions).find(|condition| {
        condition.is("Accepted", "False") || condition.is("ResolvedRefs", "False")
    });
    let verdict = match refused {
        Some(condition) => Verdict::new(
            Health::Degraded,
            format!("Its gateway does not take it: {}", sentence(&condition.message)),
        ),
        None => Verdict::healthy(),
    };
    Ok((metadata, Reading { facts: Facts::Route(Box::new(facts)), verdict }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::tests::{read_value, why},
        *,
    };

    #[test]
    fn services() {
        let service = json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
        assert_eq!(why("services", &service).0, Health::Progressing);
        let mut served = service;
        served["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        let (Facts::Service(facts), verdict) = read_value("services", &served) else {
            panic!("no facts")
        };
        assert_eq!(verdict.health, Health::Healthy);
        assert_eq!(
            facts.ports.iter().map(|port| &**port).collect::<Vec<_>>(),
            ["http:80:30080/TCP", "53/UDP"]
        );
        assert_eq!(&*facts.external[0], "192.0.2.1");
        assert_eq!((&*facts.selector[0].0, &*facts.selector[0].1), ("app", "web"));
    }

    #[test]
    fn an_ingress_leads_to_services() {
        let (Facts::Route(facts), _) = read_value(
            "ingresses.networking.k8s.io",
            &json!({"metadata": {"name": "web"}, "spec": {
            "ingressClassName": "nginx", "tls": [{}], "defaultBackend": {"service": {"name": "none", "port": {"name": "http"}}},
            "rules": [{"host": "shop.test", "http": {"paths": [{"path": "/api", "backend": {"service": {"name": "api", "port": {"number": 80}}}},
                {"path": "/x", "backend": {"resource": {"kind": "Bucket"}}}]}}]}}),
        ) else {
            panic!("no facts")
        };
        assert_eq!((&*facts.hosts[0], &*facts.parents[0], facts.tls), ("shop.test", "nginx", true));
        let backends: Vec<_> =
            facts.backends.iter().map(|b| (&*b.service, &*b.port, &*b.rule)).collect();
        assert_eq!(backends, [("api", "80", "shop.test/api"), ("none", "http", "")]);
    }

    #[test]
    fn a_route_of_a_gateway_leads_to_services() {
        let (Facts::Route(facts), verdict) = read_value(
            "httproutes.gateway.networking.k8s.io",
            &json!({"metadata": {"name": "web", "namespace": "team"},
            "spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["shop.test"], "rules": [{"matches": [{"path": {"value": "/a"}}], "backendRefs": [{"name": "web", "port": 80}]}]},
            "status": {"parents": [{"conditions": [{"type": "Accepted", "status": "False", "message": "no such listener"}]}]}}),
        ) else {
            panic!("no facts")
        };
        assert_eq!(
            (&*facts.parents[0], &*facts.backends[0].service, &*facts.backends[0].rule),
            ("team/edge", "web", "shop.test/a")
        );
        assert!(verdict.why.unwrap().contains("no such listener"));
    }
}
