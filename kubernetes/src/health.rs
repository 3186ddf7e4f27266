//! What a control plane says of itself: its checks, and which APIs in use are going away.

/// A check of `/readyz?verbose`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// E.g. `etcd`.
    pub name: String,
    /// Whether it passes.
    pub ok: bool,
    /// What it says when not.
    pub message: Option<String>,
}

/// Reads the checks: lines such as `[+]ping ok` and `[-]etcd failed: reason withheld`.
pub fn checks(text: &str) -> Vec<Check> {
    let line = |line: &str| {
        let (ok, rest) = match line.split_at_checked(3)? {
            ("[+]", rest) => (true, rest),
            ("[-]", rest) => (false, rest),
            _ => return None,
        };
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Check {
            name: name.to_owned(),
            ok,
            message: (!ok).then(|| said.trim_start_matches("failed: ").to_owned()),
        })
    };
    text.lines().filter_map(line).take(200).collect()
}

/// An API that somebody has asked for since the API server was started, and that goes away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deprecated {
    /// E.g. `flowschemas.flowcontrol.apiserver.k8s.io/v1beta3`.
    pub api: String,
    /// The release without it, e.g. `1.32`.
    pub removed_in: Option<String>,
}

/// Reads the metric `apiserver_requested_deprecated_apis` of `/metrics`.
///
/// <https://kubernetes.io/docs/reference/using-api/deprecation-guide/#locate-use-of-deprecated-apis>
pub fn deprecated(metrics: &str) -> Vec<Deprecated> {
    let mut all: Vec<Deprecated> = metrics
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("apiserver_requested_deprecated_apis{")?;
            let (labels, value) = rest.split_once('}')?;
            (value.trim() != "0").then_some(())?;
            let label = |name: &str| {
                let all = labels.split(',').filter_map(|label| label.split_once('='));
                let mut found = all.filter(|(known, _)| known.trim() == name);
                found.next().map(|(_, text)| text.trim_matches('"'))
            };
            let group = label("group").unwrap_or_default();
            let dot = if group.is_empty() { "" } else { "." };
            let (resource, version) = (label("resource")?, label("version")?);
            Some(Deprecated {
                api: format!("{resource}{dot}{group}/{version}"),
                removed_in: label("removed_release")
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
            })
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Reads what a `Warning` says of an API, as API servers write it: `policy/v1beta1
/// PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 …`.
pub fn deprecation(warning: &str) -> Option<Deprecated> {
    let (api, rest) = warning.split_once(" is deprecated in ")?;
    let removed = rest.split_once("unavailable in v").map(|(_, version)| {
        version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>()
    });
    Some(Deprecated {
        api: api.to_owned(),
        removed_in: removed.filter(|version| !version.is_empty()),
    })
}

/// Whether the metric's name of an API and a warning's are of the same one.
pub fn is_same_api(metric: &str, warned: &str) -> bool {
    let Some(((resource, version), (group_version, kind))) =
        metric.rsplit_once('/').zip(warned.split_once(' '))
    else {
        return false;
    };
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let own = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let kind = kind.to_ascii_lowercase();
    // `NetworkPolicy` and `networkpolicies`.
    own == group_version && plural.starts_with(kind.trim_end_matches('y'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read() {
        let all =
            checks("[+]ping ok\n[-]etcd failed: reason withheld\n[+]a/b ok\nreadyz check failed\n");
        assert_eq!(all.len(), 3);
        assert!(all[0].ok && all[0].message.is_none());
        assert_eq!(all[1].message.as_deref(), Some("reason withheld"));
    }

    #[test]
    fn apis_that_go_away_are_read() {
        let text = "# HELP x\napiserver_requested_deprecated_apis{group=\"policy\",removed_release=\"1.25\",resource=\"podsecuritypolicies\",subresource=\"\",version=\"v1beta1\"} 1\napiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"componentstatuses\",subresource=\"\",version=\"v1\"} 1\nother 3\n";
        let all = deprecated(text);
        assert_eq!(all[0], Deprecated { api: "componentstatuses/v1".into(), removed_in: None });
        assert_eq!(all[1].api, "podsecuritypolicies.policy/v1beta1");
        assert_eq!(all[1].removed_in.as_deref(), Some("1.25"));
    }

    #[test]
    fn warnings_of_apis_are_read() {
        let text = "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 PodDisruptionBudget";
        let found = deprecation(text).unwrap();
        assert_eq!(found.api, "policy/v1beta1 PodDisruptionBudget");
        assert_eq!(found.removed_in.as_deref(), Some("1.25"));
        let stays = deprecation("v1 ComponentStatus is deprecated in v1.19+").unwrap();
        assert_eq!((&*stays.api, stays.removed_in), ("v1 ComponentStatus", None));
        assert_eq!(deprecation("would violate PodSecurity"), None);
        assert!(is_same_api("poddisruptionbudgets.policy/v1beta1", &found.api));
        assert!(is_same_api("componentstatuses/v1", "v1 ComponentStatus"));
        assert!(!is_same_api("poddisruptionbudgets.policy/v1", &found.api));
    }
}
