//! The roles of environments as Kubernetes RBAC: which ClusterRoles and bindings Drover keeps in a
//! cluster. Pure: what is there, and what has to change, is the server's to find out.
//!
//! | object | what it grants |
//! | --- | --- |
//! | ClusterRole `drover:readonly` … `drover:owner` | what a role may do with what is in namespaces |
//! | ClusterRole `drover:cluster-reader` | what of the cluster everybody with a role in it sees: nodes, storage classes, definitions |
//! | ClusterRole `drover:cluster-readonly` … `drover:cluster-owner` | what a role may do outside of namespaces, where its environment is the whole cluster |
//! | RoleBinding `drover:<environment>:<role>` | in each namespace of an environment |
//! | ClusterRoleBinding of the same name | where the environment is the whole cluster |
//!
//! Subjects are groups only: Drover calls the cluster as the user, in the groups of the user's
//! roles, so nothing is written when people come, go or change their roles.

use std::collections::{BTreeMap, BTreeSet};

use drover_api::Role;
use serde_json::{Value, json};
use uuid::Uuid;

/// Says that Drover keeps an object, and may remove it.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "drover");
/// The group of everybody who has a role in some environment of the cluster.
pub const USERS: &str = "drover:users";
/// The group of Drover's administrators.
pub const ADMINS: &str = "drover:admins";

const READ: &[&str] = &["get", "list", "watch"];
const ALL: &[&str] =
    &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// A resource type, as far as roles ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// The plural.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it can be listed: what cannot is a question put as an object, such as a review.
    pub listable: bool,
}

/// The user name under which Drover calls a cluster for one of its users.
pub fn user(name: &str) -> String {
    format!("drover:{name}")
}

/// The group of those who have a role in an environment.
pub fn group(environment: Uuid, role: Role) -> String {
    format!("drover:environment:{environment}:{}", role.as_str())
}

/// The name of the bindings of a role in an environment.
pub fn binding_name(environment: Uuid, role: Role) -> String {
    format!("drover:{environment}:{}", role.as_str())
}

/// What everyday work writes: for *restricted* and up.
const EVERYDAY: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "configmaps",
            "persistentvolumeclaims",
            "pods",
            "replicationcontrollers",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("cert-manager.io", &["certificates"]),
    ("gateway.networking.k8s.io", &["grpcroutes", "httproutes", "tcproutes", "tlsroutes"]),
    ("networking.k8s.io", &["ingresses"]),
    ("policy", &["poddisruptionbudgets"]),
];

/// What only *owner* writes: rights, and the limits that the environment has been given.
const OWNERS: &[(&str, &[&str])] = &[
    ("", &["limitranges", "resourcequotas"]),
    ("rbac.authorization.k8s.io", &["rolebindings", "roles"]),
];

/// What the cluster writes itself. Whoever could write endpoints could have another's traffic.
const NOBODYS: &[(&str, &[&str])] = &[
    ("", &["bindings", "endpoints", "events"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("metrics.k8s.io", &["pods", "nodes"]),
];

/// What everybody sees of the cluster that environments share.
const SHARED: &[(&str, &[&str])] = &[
    ("", &["nodes"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("gateway.networking.k8s.io", &["gatewayclasses"]),
    ("metrics.k8s.io", &["nodes"]),
    ("networking.k8s.io", &["ingressclasses"]),
    ("node.k8s.io", &["runtimeclasses"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("storage.k8s.io", &["csidrivers", "storageclasses"]),
];

/// What *member* writes outside of namespaces, where the environment is the whole cluster.
const OPERATORS: &[(&str, &[&str])] = &[
    ("", &["namespaces", "nodes", "persistentvolumes"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("gateway.networking.k8s.io", &["gatewayclasses"]),
    ("networking.k8s.io", &["ingressclasses"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("snapshot.storage.k8s.io", &["volumesnapshotclasses", "volumesnapshotcontents"]),
    ("storage.k8s.io", &["storageclasses"]),
];

fn is_in(kind: &Kind, list: &[(&str, &[&str])]) -> bool {
    list.iter()
        .any(|(group, plurals)| *group == kind.group && plurals.contains(&kind.plural.as_str()))
}

/// Whether a role may read what is in a namespace.
fn reads(role: Role, kind: &Kind) -> bool {
    // The values of secrets are for who may use them.
    !(kind.group.is_empty() && kind.plural == "secrets") || role > Role::Readonly
}

/// Whether a role may write what is in a namespace.
fn writes(role: Role, kind: &Kind) -> bool {
    match role {
        _ if is_in(kind, NOBODYS) => false,
        Role::Readonly => false,
        Role::Restricted => is_in(kind, EVERYDAY),
        Role::Member => !is_in(kind, OWNERS),
        Role::Owner => true,
    }
}

/// Whether a role of an environment that is the whole cluster may write what is in no namespace.
fn writes_cluster(role: Role, kind: &Kind) -> bool {
    match role {
        _ if is_in(kind, NOBODYS) => false,
        Role::Readonly | Role::Restricted => false,
        Role::Member => is_in(kind, OPERATORS),
        Role::Owner => true,
    }
}

/// Whether everybody with a role in the cluster sees objects of this type, which are in no
/// namespace.
pub fn is_shared(kind: &Kind) -> bool {
    !kind.namespaced && is_in(kind, SHARED)
}

/// What a role may do with a type of objects; nothing when empty. What the cluster decides by, told
/// without asking it.
pub fn verbs(role: Role, whole_cluster: bool, kind: &Kind) -> &'static [&'static str] {
    let (readable, writable) = if kind.namespaced {
        (reads(role, kind), writes(role, kind))
    } else {
        let readable = whole_cluster || is_shared(kind);
        (readable, whole_cluster && writes_cluster(role, kind))
    };
    match (readable, writable) {
        (_, true) => ALL,
        (true, false) => READ,
        (false, false) => &[],
    }
}

/// What goes with the right to write pods and workloads.
const SUBRESOURCES: &[(&str, &[&str], &[&str])] = &[
    ("", &["pods/attach", "pods/exec", "pods/portforward"], &["get", "create"]),
    // The methods by which an application is spoken to.
    ("", &["pods/proxy", "services/proxy"], &["get", "create", "update", "patch", "delete"]),
    ("", &["pods/eviction"], &["create"]),
    ("", &["pods/ephemeralcontainers", "pods/resize"], &["get", "patch", "update"]),
    ("", &["replicationcontrollers/scale"], &["get", "patch", "update"]),
    (
        "apps",
        &["deployments/scale", "replicasets/scale", "statefulsets/scale"],
        &["get", "patch", "update"],
    ),
];

/// What can be looked at beside the objects themselves.
const LOOKS: &[(&str, &[&str])] = &[
    ("", &["pods/log", "pods/status", "replicationcontrollers/scale"]),
    ("apps", &["deployments/scale", "replicasets/scale", "statefulsets/scale"]),
];

/// Rules in the making: which verbs on which resources of which groups.
#[derive(Default)]
struct Rules(BTreeMap<(String, Vec<String>), BTreeSet<String>>);

impl Rules {
    fn allow(&mut self, group: &str, resource: &str, verbs: &[&str]) {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        self.0.entry((group.to_owned(), verbs)).or_default().insert(resource.to_owned());
    }

    fn finish(self) -> Value {
        self.0
            .into_iter()
            .map(|((group, verbs), resources)| {
                json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
            })
            .collect()
    }
}

fn cluster_role(name: &str, rules: Rules) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": name, "labels": { MANAGED_BY.0: MANAGED_BY.1 } },
        "rules": rules.finish(),
    })
}

/// All ClusterRoles that Drover keeps in a cluster with these types.
pub fn cluster_roles(kinds: &[Kind]) -> Vec<Value> {
    let mut all = Vec::new();
    for role in Role::ALL {
        let mut inside = Rules::default();
        let mut outside = Rules::default();
        for kind in kinds.iter().filter(|kind| kind.listable) {
            let (rules, readable, writable) = if kind.namespaced {
                (&mut inside, reads(role, kind), writes(role, kind))
            } else {
                (&mut outside, true, writes_cluster(role, kind))
            };
            if writable {
                rules.allow(&kind.group, &kind.plural, ALL);
            } else if readable {
                rules.allow(&kind.group, &kind.plural, READ);
            }
        }
        for (group, resources) in LOOKS {
            for resource in *resources {
                inside.allow(group, resource, &["get"]);
            }
        }
        // Asking for a namespace by its name is decided in that namespace.
        inside.allow("", "namespaces", &["get"]);
        if role > Role::Readonly {
            for (group, resources, verbs) in SUBRESOURCES {
                for resource in *resources {
                    inside.allow(group, resource, verbs);
                }
            }
        }
        all.push(cluster_role(&format!("drover:{}", role.as_str()), inside));
        all.push(cluster_role(&format!("drover:cluster-{}", role.as_str()), outside));
    }
    let mut shared = Rules::default();
    for (group, plurals) in SHARED {
        for plural in *plurals {
            shared.allow(group, plural, READ);
        }
    }
    all.push(cluster_role("drover:cluster-reader", shared));
    all
}

fn binding(kind: &str, namespace: Option<&str>, name: &str, role: &str, group: &str) -> Value {
    let mut metadata = json!({ "name": name, "labels": { MANAGED_BY.0: MANAGED_BY.1 } });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
    })
}

/// The bindings that every cluster has.
pub fn common_bindings() -> Vec<Value> {
    vec![
        binding("ClusterRoleBinding", None, USERS, "drover:cluster-reader", USERS),
        binding("ClusterRoleBinding", None, ADMINS, "cluster-admin", ADMINS),
    ]
}

/// The bindings of an environment in one of its namespaces.
pub fn namespace_bindings(environment: Uuid, namespace: &str) -> Vec<Value> {
    let of = |role: Role| {
        let (name, to) = (binding_name(environment, role), format!("drover:{}", role.as_str()));
        binding("RoleBinding", Some(namespace), &name, &to, &group(environment, role))
    };
    Role::ALL.map(of).into()
}

/// The bindings of an environment that is the whole cluster.
pub fn cluster_bindings(environment: Uuid) -> Vec<Value> {
    let of = |role: Role| {
        let (name, group) = (binding_name(environment, role), group(environment, role));
        let role = role.as_str();
        let outside = format!("{name}:cluster");
        [
            binding("ClusterRoleBinding", None, &name, &format!("drover:{role}"), &group),
            binding(
                "ClusterRoleBinding",
                None,
                &outside,
                &format!("drover:cluster-{role}"),
                &group,
            ),
        ]
    };
    Role::ALL.map(of).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Vec<Kind> {
        let kind = |group: &str, plural: &str, namespaced, listable| Kind {
            group: group.into(),
            plural: plural.into(),
            namespaced,
            listable,
        };
        vec![
            kind("", "pods", true, true),
            kind("", "secrets", true, true),
            kind("", "endpoints", true, true),
            kind("", "resourcequotas", true, true),
            kind("", "nodes", false, true),
            kind("", "bindings", true, false),
            kind("apps", "deployments", true, true),
            kind("networking.k8s.io", "networkpolicies", true, true),
            kind("rbac.authorization.k8s.io", "rolebindings", true, true),
            kind("rbac.authorization.k8s.io", "clusterroles", false, true),
            kind("example.com", "widgets", true, true),
        ]
    }

    fn verbs(role: &str, group: &str, resource: &str) -> Vec<String> {
        let roles = cluster_roles(&kinds());
        let role = roles.iter().find(|found| found["metadata"]["name"] == role).unwrap();
        let rules = role["rules"].as_array().unwrap().iter();
        let has = |rule: &Value, field: &str, value: &str| {
            rule[field].as_array().unwrap().iter().any(|found| found == value)
        };
        rules
            .filter(|rule| has(rule, "apiGroups", group) && has(rule, "resources", resource))
            .flat_map(|rule| rule["verbs"].as_array().unwrap())
            .map(|verb| verb.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn each_role_has_what_the_table_of_the_design_says() {
        assert_eq!(verbs("drover:readonly", "", "pods"), READ);
        assert!(verbs("drover:readonly", "", "secrets").is_empty());
        assert_eq!(verbs("drover:readonly", "example.com", "widgets"), READ);
        assert!(verbs("drover:readonly", "", "pods/exec").is_empty());
        assert_eq!(verbs("drover:readonly", "", "pods/log"), ["get"]);
        assert_eq!(verbs("drover:restricted", "", "secrets"), ALL);
        assert_eq!(verbs("drover:restricted", "apps", "deployments"), ALL);
        assert_eq!(verbs("drover:restricted", "example.com", "widgets"), READ);
        assert_eq!(verbs("drover:restricted", "networking.k8s.io", "networkpolicies"), READ);
        assert_eq!(verbs("drover:member", "networking.k8s.io", "networkpolicies"), ALL);
        assert_eq!(verbs("drover:member", "example.com", "widgets"), ALL);
        assert_eq!(verbs("drover:member", "", "resourcequotas"), READ);
        let bindings = ("rbac.authorization.k8s.io", "rolebindings");
        assert_eq!(verbs("drover:member", bindings.0, bindings.1), READ);
        assert_eq!(verbs("drover:owner", bindings.0, bindings.1), ALL);
        assert_eq!(verbs("drover:owner", "", "endpoints"), READ);
    }

    #[test]
    fn verbs_are_those_of_the_roles() {
        for kind in kinds().iter().filter(|kind| kind.listable) {
            for role in Role::ALL {
                let name = match kind.namespaced {
                    true => format!("drover:{}", role.as_str()),
                    false => format!("drover:cluster-{}", role.as_str()),
                };
                let told = super::verbs(role, true, kind);
                assert_eq!(verbs(&name, &kind.group, &kind.plural), told, "{name} {kind:?}");
                let part = super::verbs(role, false, kind);
                let shared = verbs("drover:cluster-reader", &kind.group, &kind.plural);
                assert_eq!(
                    part.to_vec(),
                    if kind.namespaced {
                        told.to_vec()
                    } else {
                        shared.iter().map(String::as_str).collect()
                    }
                );
            }
        }
    }

    #[test]
    fn no_role_is_given_every_verb_or_resource() {
        for role in cluster_roles(&kinds()) {
            let text = role.to_string();
            for word in ["\"*\"", "escalate", "bind\"", "impersonate"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }

    #[test]
    fn what_is_outside_of_namespaces_is_only_in_the_roles_for_it() {
        for role in ["readonly", "restricted", "member", "owner"] {
            assert!(verbs(&format!("drover:{role}"), "", "nodes").is_empty());
        }
        assert_eq!(verbs("drover:cluster-readonly", "", "nodes"), READ);
        assert_eq!(verbs("drover:cluster-member", "", "nodes"), ALL);
        let roles = ("rbac.authorization.k8s.io", "clusterroles");
        assert_eq!(verbs("drover:cluster-member", roles.0, roles.1), READ);
        assert_eq!(verbs("drover:cluster-owner", roles.0, roles.1), ALL);
        assert_eq!(verbs("drover:cluster-reader", "", "nodes"), READ);
    }

    #[test]
    fn bindings_name_the_groups_of_the_environment() {
        let environment = Uuid::from_u128(7);
        for (found, role) in namespace_bindings(environment, "shop").iter().zip(Role::ALL) {
            assert_eq!(found["metadata"]["namespace"], "shop");
            assert_eq!(found["roleRef"]["name"], format!("drover:{}", role.as_str()));
            assert_eq!(found["subjects"][0]["name"], group(environment, role));
        }
        assert_eq!(cluster_bindings(environment).len(), 8);
    }
}
