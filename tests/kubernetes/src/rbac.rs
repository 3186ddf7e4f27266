//! Role-based access control from the stored roles and bindings, as Kubernetes decides it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::{
    authn::User,
    status::{ApiError, Result},
    store::Store,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The verbs, or `*`.
    pub verbs: Vec<String>,
    /// The API groups, or `*`.
    pub groups: Vec<String>,
    /// Resources and their parts, or `*`.
    pub resources: Vec<String>,
    /// The names, or none for all.
    pub names: Vec<String>,
    /// Addresses, with `*` at the end.
    pub urls: Vec<String>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// A part of it, or nothing.
    pub subresource: &'a str,
    /// The namespace, or nothing.
    pub namespace: &'a str,
    /// The object, or nothing.
    pub name: &'a str,
    /// The address, where it is no resource.
    pub path: &'a str,
    /// Whether it is about a resource.
    pub is_resource: bool,
}

/// Whether it may be done.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// Why, as far as there is something to say.
    pub reason: String,
}

impl Attributes<'_> {
    /// `pods/log`.
    fn full(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            sub => format!("{}/{sub}", self.resource),
        }
    }

    /// The sentence that refuses it.
    pub fn refusal(&self, user: &User, reason: &str) -> String {
        let what = if self.is_resource {
            let place = match self.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace \"{namespace}\""),
            };
            format!(
                "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
                user.name,
                self.verb,
                self.full(),
                self.group
            )
        } else {
            format!("User \"{}\" cannot {} path \"{}\"", user.name, self.verb, self.path)
        };
        if reason.is_empty() { what } else { format!("{what}: {reason}") }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|values| values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

impl Rule {
    /// Reads one.
    pub fn of(value: &Value) -> Self {
        Self {
            verbs: strings(&value["verbs"]),
            groups: strings(&value["apiGroups"]),
            resources: strings(&value["resources"]),
            names: strings(&value["resourceNames"]),
            urls: strings(&value["nonResourceURLs"]),
        }
    }

    /// The rules of a role.
    pub fn all_of(role: &Value) -> Vec<Self> {
        role["rules"]
            .as_array()
            .map(|rules| rules.iter().map(Self::of).collect())
            .unwrap_or_default()
    }

    fn allows(&self, wanted: &Attributes) -> bool {
        let has = |values: &[String], one: &str| values.iter().any(|v| v == "*" || v == one);
        if !has(&self.verbs, wanted.verb) {
            return false;
        }
        if !wanted.is_resource {
            return self.urls.iter().any(|url| url_matches(url, wanted.path));
        }
        has(&self.groups, wanted.group)
            && self.resources.iter().any(|rule| resource_matches(rule, wanted))
            && (self.names.is_empty() || self.names.iter().any(|name| name == wanted.name))
    }

    /// As Go prints a rule in a refusal.
    fn shown(&self) -> String {
        let list = |values: &[String]| {
            let values: Vec<_> = values.iter().map(|v| format!("{v:?}")).collect();
            format!("[{}]", values.join(" "))
        };
        let mut parts = Vec::new();
        for (key, values) in [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.names),
            ("NonResourceURLs", &self.urls),
            ("Verbs", &self.verbs),
        ] {
            if !values.is_empty() {
                parts.push(format!("{key}:{}", list(values)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }

    /// The rule taken apart, so that each has one verb, group and resource.
    fn atoms(&self) -> Vec<Self> {
        let mut atoms = Vec::new();
        for verb in &self.verbs {
            for url in &self.urls {
                atoms.push(Self {
                    verbs: vec![verb.clone()],
                    urls: vec![url.clone()],
                    ..Self::default()
                });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    let one = Self {
                        verbs: vec![verb.clone()],
                        groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Self::default()
                    };
                    if self.names.is_empty() {
                        atoms.push(one);
                        continue;
                    }
                    for name in &self.names {
                        atoms.push(Self { names: vec![name.clone()], ..one.clone() });
                    }
                }
            }
        }
        atoms
    }

    /// Whether this rule gives all that an atom gives.
    fn covers(&self, atom: &Self) -> bool {
        let has = |mine: &[String], theirs: &[String]| {
            theirs.iter().all(|one| mine.iter().any(|v| v == "*" || v == one))
        };
        if !has(&self.verbs, &atom.verbs) {
            return false;
        }
        if !atom.urls.is_empty() {
            return atom.urls.iter().all(|url| self.urls.iter().any(|mine| url_covers(mine, url)));
        }
        let resources = atom.resources.iter().all(|wanted| {
            self.resources.iter().any(|mine| {
                mine == "*"
                    || mine == wanted
                    || mine.strip_prefix("*/").is_some_and(|sub| {
                        wanted.split_once('/').is_some_and(|(_, other)| other == sub)
                    })
            })
        });
        resources
            && has(&self.groups, &atom.groups)
            && (self.names.is_empty()
                || !atom.names.is_empty() && atom.names.iter().all(|n| self.names.contains(n)))
    }
}

fn url_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

fn url_covers(mine: &str, wanted: &str) -> bool {
    match mine.strip_suffix('*') {
        Some(prefix) => wanted.trim_end_matches('*').starts_with(prefix),
        None => mine == wanted,
    }
}

fn resource_matches(rule: &str, wanted: &Attributes) -> bool {
    if rule == "*" {
        return true;
    }
    let full = wanted.full();
    rule == full
        || !wanted.subresource.is_empty()
            && rule.strip_prefix("*/").is_some_and(|sub| sub == wanted.subresource)
}

#[derive(Debug)]
struct Binding {
    /// Where it counts; everywhere, if nowhere is said.
    namespace: Option<String>,
    subjects: Vec<Value>,
    rules: std::result::Result<Vec<Rule>, String>,
}

impl Binding {
    fn is_for(&self, user: &User) -> bool {
        self.subjects.iter().any(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str() {
                Some("User") => user.name == name,
                Some("Group") => user.groups.iter().any(|group| group == name),
                Some("ServiceAccount") => {
                    let namespace = subject["namespace"]
                        .as_str()
                        .or(self.namespace.as_deref())
                        .unwrap_or_default();
                    user.name == format!("system:serviceaccount:{namespace}:{name}")
                }
                _ => false,
            }
        })
    }
}

/// All bindings at one moment.
#[derive(Debug, Default)]
pub struct Bindings(Vec<Binding>);

/// Decides by the roles and bindings in the store.
#[derive(Debug)]
pub struct Authorizer {
    store: Arc<Store>,
    cache: Mutex<([u64; 4], Arc<Bindings>)>,
}

impl Authorizer {
    /// By what is in that store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, cache: Mutex::new(([u64::MAX; 4], Arc::default())) }
    }

    fn bindings(&self) -> Arc<Bindings> {
        let versions = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"]
            .map(|plural| self.store.version_of(GROUP, plural));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.0 != versions {
            *cache = (versions, Arc::new(self.read()));
        }
        Arc::clone(&cache.1)
    }

    fn read(&self) -> Bindings {
        let of = |plural: &str, namespaced: bool| {
            self.store
                .values(GROUP, plural, None)
                .into_iter()
                .map(|binding| {
                    let namespace = namespaced
                        .then(|| binding["metadata"]["namespace"].as_str().map(str::to_owned))
                        .flatten();
                    let rules = self.rules_of(&binding["roleRef"], namespace.as_deref());
                    let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
                    Binding { namespace, subjects, rules }
                })
                .collect::<Vec<_>>()
        };
        let mut all = of("clusterrolebindings", false);
        all.extend(of("rolebindings", true));
        Bindings(all)
    }

    /// The rules of the role that a binding names.
    fn rules_of(
        &self,
        reference: &Value,
        namespace: Option<&str>,
    ) -> std::result::Result<Vec<Rule>, String> {
        let name = reference["name"].as_str().unwrap_or_default();
        let (plural, word, namespace) = match reference["kind"].as_str() {
            Some("Role") => ("roles", "role", namespace.unwrap_or_default()),
            _ => ("clusterroles", "clusterrole", ""),
        };
        match self.store.value(GROUP, plural, namespace, name) {
            Some(role) => Ok(Rule::all_of(&role)),
            None => Err(format!("{word}.{GROUP} \"{name}\" not found")),
        }
    }

    /// Whether a user may.
    pub fn decide(&self, user: &User, wanted: &Attributes) -> Decision {
        if user.groups.iter().any(|group| group == "system:masters") {
            return Decision { allowed: true, reason: String::new() };
        }
        let mut missing: Vec<String> = Vec::new();
        for binding in &self.bindings().0 {
            let counts = match &binding.namespace {
                None => true,
                Some(namespace) => wanted.is_resource && namespace == wanted.namespace,
            };
            if !counts || !binding.is_for(user) {
                continue;
            }
            match &binding.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(wanted)) => {
                    return Decision { allowed: true, reason: String::new() };
                }
                Ok(_) => {}
                Err(why) if missing.contains(why) => {}
                Err(why) => missing.push(why.clone()),
            }
        }
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            more => format!("RBAC: [{}]", more.join(", ")),
        };
        Decision { allowed: false, reason }
    }

    /// All rules that a user has in a namespace, and where the answer may not be whole, why.
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        if user.groups.iter().any(|group| group == "system:masters") {
            let all = || vec!["*".to_owned()];
            rules.push(Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() });
            rules.push(Rule { verbs: all(), urls: all(), ..Rule::default() });
        }
        for binding in &self.bindings().0 {
            if binding.namespace.as_deref().is_none_or(|one| one == namespace)
                && binding.is_for(user)
            {
                match &binding.rules {
                    Ok(more) => rules.extend(more.iter().cloned()),
                    Err(why) => errors.push(why.clone()),
                }
            }
        }
        (rules, errors)
    }

    /// Refuses to give away what the giver does not have.
    ///
    /// # Errors
    /// When rules would be given that the user does not hold.
    pub fn may_grant(
        &self,
        user: &User,
        namespace: &str,
        rules: &[Rule],
    ) -> std::result::Result<(), String> {
        let (held, errors) = self.rules(user, namespace);
        let missing: Vec<_> = rules
            .iter()
            .flat_map(Rule::atoms)
            .filter(|atom| !held.iter().any(|rule| rule.covers(atom)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let groups: Vec<_> = user.groups.iter().map(|group| format!("{group:?}")).collect();
        let missing: Vec<_> = compact(&missing).iter().map(Rule::shown).collect();
        let mut message = format!(
            "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            groups.join(" "),
            missing.join("\n")
        );
        if !errors.is_empty() {
            message.push_str(&format!("; resolution errors: [{}]", errors.join(", ")));
        }
        Err(message)
    }

    /// Checks a role or binding before it is written.
    ///
    /// # Errors
    /// When it would give what its writer does not have.
    pub fn check_write(
        &self,
        user: &User,
        plural: &str,
        object: &Value,
        before: Option<&Value>,
    ) -> Result<()> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let verb = |verb, resource, name| {
            let wanted = Attributes {
                verb,
                group: GROUP,
                resource,
                subresource: "",
                namespace,
                name,
                path: "",
                is_resource: true,
            };
            self.decide(user, &wanted).allowed
        };
        let rules = match plural {
            "roles" | "clusterroles" => {
                let same = before.is_some_and(|before| {
                    before["rules"] == object["rules"]
                        && before["aggregationRule"] == object["aggregationRule"]
                });
                if same || verb("escalate", plural, name) {
                    return Ok(());
                }
                if object["aggregationRule"].is_object() {
                    // What it will hold is not known: only who may do everything may write it.
                    vec![all_rule(), all_urls()]
                } else {
                    Rule::all_of(object)
                }
            }
            "rolebindings" | "clusterrolebindings" => {
                let same = before.is_some_and(|before| {
                    before["roleRef"] == object["roleRef"]
                        && before["subjects"] == object["subjects"]
                });
                let reference = &object["roleRef"];
                let role = reference["name"].as_str().unwrap_or_default();
                let roles = match reference["kind"].as_str() {
                    Some("Role") => "roles",
                    _ => "clusterroles",
                };
                if same || verb("bind", roles, role) {
                    return Ok(());
                }
                let about = crate::status::About { group: GROUP, resource: roles, name: role };
                self.rules_of(reference, Some(namespace)).map_err(|_| ApiError::not_found(about))?
            }
            _ => return Ok(()),
        };
        let about = crate::status::About { group: GROUP, resource: plural, name };
        self.may_grant(user, namespace, &rules).map_err(|why| ApiError::forbidden(about, &why))
    }
}

fn all_rule() -> Rule {
    let all = || vec!["*".to_owned()];
    Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() }
}

fn all_urls() -> Rule {
    let all = || vec!["*".to_owned()];
    Rule { verbs: all(), urls: all(), ..Rule::default() }
}

/// Puts the verbs of atoms about the same thing together again.
fn compact(atoms: &[Rule]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for atom in atoms {
        let same = rules.iter_mut().find(|rule| {
            rule.groups == atom.groups
                && rule.resources == atom.resources
                && rule.names == atom.names
                && rule.urls == atom.urls
        });
        match same {
            Some(rule) => {
                for verb in &atom.verbs {
                    if !rule.verbs.contains(verb) {
                        rule.verbs.push(verb.clone());
                    }
                }
            }
            None => rules.push(atom.clone()),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: Value) -> Rule {
        Rule::of(&value)
    }

    fn get<'a>(resource: &'a str, subresource: &'a str, name: &'a str) -> Attributes<'a> {
        Attributes {
            verb: "get",
            group: "",
            resource,
            subresource,
            namespace: "a",
            name,
            path: "",
            is_resource: true,
        }
    }

    #[test]
    fn a_resource_does_not_give_its_parts() {
        let pods = rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
        assert!(pods.allows(&get("pods", "", "x")));
        assert!(!pods.allows(&get("pods", "log", "x")));
        let logs = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/log"]}));
        assert!(logs.allows(&get("pods", "log", "x")));
        let named = rule(
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
        );
        assert!(named.allows(&get("pods", "", "x")) && !named.allows(&get("pods", "", "y")));
    }

    #[test]
    fn only_what_is_held_can_be_given() {
        let held = rule(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods", "*/log"]}));
        let wanted = rule(
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}),
        );
        assert!(wanted.atoms().iter().all(|atom| held.covers(atom)));
        let more = rule(json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}));
        assert!(!more.atoms().iter().all(|atom| held.covers(atom)));
    }
}
