//! The resource types, in groups that people look for them in.

use drover_api::ResourceType;

use super::split_type;
use crate::i18n::kubernetes;

/// A group of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// What runs.
    Workloads,
    /// How it is reached.
    Network,
    /// What it is told.
    Configuration,
    /// What it keeps.
    Storage,
    /// Who may do what.
    Access,
    /// What all share.
    Cluster,
    /// What others have added.
    Custom,
}

impl Group {
    /// All of them, as they are shown.
    pub(super) const ALL: [Self; 7] = [
        Self::Workloads,
        Self::Network,
        Self::Configuration,
        Self::Storage,
        Self::Access,
        Self::Cluster,
        Self::Custom,
    ];

    /// What it is called.
    pub(super) fn label(self) -> &'static str {
        let words = kubernetes();
        match self {
            Self::Workloads => words.workloads,
            Self::Network => words.network,
            Self::Configuration => words.configuration,
            Self::Storage => words.storage,
            Self::Access => words.access,
            Self::Cluster => words.cluster,
            Self::Custom => words.custom,
        }
    }

    /// Which one a type belongs to.
    pub(super) fn of(of: &ResourceType) -> Self {
        match (of.group.as_str(), of.plural.as_str()) {
            ("gateway.networking.k8s.io" | "networking.k8s.io" | "discovery.k8s.io", _) => {
                Self::Network
            }
            (_, _) if of.custom => Self::Custom,
            ("", "services" | "endpoints") => Self::Network,
            ("", "configmaps" | "secrets" | "resourcequotas" | "limitranges") => {
                Self::Configuration
            }
            ("", "persistentvolumeclaims" | "persistentvolumes") | ("storage.k8s.io", _) => {
                Self::Storage
            }
            ("", "serviceaccounts")
            | ("rbac.authorization.k8s.io" | "certificates.k8s.io" | "authorization.k8s.io", _) => {
                Self::Access
            }
            ("", "pods" | "replicationcontrollers" | "podtemplates") => Self::Workloads,
            ("apps" | "batch" | "autoscaling" | "policy", _) => Self::Workloads,
            _ => Self::Cluster,
        }
    }
}

/// The types that people look for first, in the order that they are shown in.
const FIRST: [&str; 28] = [
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "pods",
    "jobs.batch",
    "cronjobs.batch",
    "replicasets.apps",
    "horizontalpodautoscalers.autoscaling",
    "services",
    "ingresses.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "configmaps",
    "secrets",
    "resourcequotas",
    "limitranges",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "serviceaccounts",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "events",
    "nodes",
    "namespaces",
];

fn rank(id: &str) -> usize {
    FIRST.iter().position(|first| *first == id).unwrap_or(FIRST.len())
}

/// The types of each group that can be listed and match what is searched for.
pub(super) fn grouped(all: &[ResourceType], wanted: &str) -> Vec<(Group, Vec<ResourceType>)> {
    let wanted = wanted.trim().to_lowercase();
    let matches = |of: &ResourceType| {
        wanted.is_empty()
            || of.kind.to_lowercase().contains(&wanted)
            || of.id.contains(&wanted)
            || of.short_names.contains(&wanted)
    };
    Group::ALL
        .into_iter()
        .filter_map(|group| {
            let mut types: Vec<_> = all
                .iter()
                .filter(|of| Group::of(of) == group && may(of, "list") && matches(of))
                // Events are there twice, by an old group and a new one.
                .filter(|of| of.id != "events.events.k8s.io")
                .cloned()
                .collect();
            types.sort_by(|a, b| (rank(&a.id), &a.kind, &a.id).cmp(&(rank(&b.id), &b.kind, &b.id)));
            (!types.is_empty()).then_some((group, types))
        })
        .collect()
}

/// Whether the caller may do this with objects of a type.
pub(super) fn may(of: &ResourceType, verb: &str) -> bool {
    of.verbs.iter().any(|other| other == verb)
}

/// What several objects of a type are called: `NetworkPolicies`.
pub(super) fn title(of: &ResourceType) -> String {
    let lower = of.kind.to_lowercase();
    match of.plural.strip_prefix(lower.as_str()) {
        Some(ending) => format!("{}{ending}", of.kind),
        None if of.plural.ends_with("ies") && lower.ends_with('y') => {
            format!("{}ies", &of.kind[..of.kind.len() - 1])
        }
        None => of.kind.clone(),
    }
}

/// The short name of a type's group, to tell types of the same kind apart.
pub(super) fn group_hint(type_id: &str) -> &str {
    split_type(type_id).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: &str, kind: &str, custom: bool) -> ResourceType {
        let (plural, group) = split_type(id);
        ResourceType {
            id: id.into(),
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            short_names: Vec::new(),
            namespaced: true,
            verbs: vec!["list".into()],
            custom,
            count: None,
        }
    }

    #[test]
    fn types_are_called_by_their_kind() {
        assert_eq!(title(&made("pods", "Pod", false)), "Pods");
        assert_eq!(title(&made("ingresses.networking.k8s.io", "Ingress", false)), "Ingresses");
        let policies = made("networkpolicies.networking.k8s.io", "NetworkPolicy", false);
        assert_eq!(title(&policies), "NetworkPolicies");
        assert_eq!(title(&made("endpoints", "Endpoints", false)), "Endpoints");
    }

    #[test]
    fn types_stand_where_people_look_for_them() {
        let all = [
            made("certificates.cert-manager.io", "Certificate", true),
            made("gateways.gateway.networking.k8s.io", "Gateway", true),
            made("pods", "Pod", false),
            made("deployments.apps", "Deployment", false),
            made("secrets", "Secret", false),
        ];
        let groups = grouped(&all, "");
        let names: Vec<_> = groups
            .iter()
            .map(|(group, types)| (*group, types.iter().map(|of| of.kind.as_str()).collect()))
            .collect::<Vec<(_, Vec<_>)>>();
        assert_eq!(
            names,
            [
                (Group::Workloads, vec!["Deployment", "Pod"]),
                (Group::Network, vec!["Gateway"]),
                (Group::Configuration, vec!["Secret"]),
                (Group::Custom, vec!["Certificate"]),
            ]
        );
        assert_eq!(grouped(&all, "depl").len(), 1);
    }
}
