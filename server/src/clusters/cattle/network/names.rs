//! Which networks a container is in, and how it is called there. Pure.

use drover_compose::{Network, Project, Service};
use uuid::Uuid;

use crate::stacks::StackRow;

/// What the networks that the text gives no driver are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(in super::super) enum Kind {
    /// Of one host.
    #[default]
    Bridge,
    /// Across hosts.
    Overlay,
    /// Across hosts, encrypted.
    Encrypted,
}

impl Kind {
    pub fn driver(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Overlay | Self::Encrypted => "overlay",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Bridge => "",
            Self::Overlay => "-overlay",
            Self::Encrypted => "-encrypted",
        }
    }
}

/// A network that a container is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Membership {
    /// The network's name on the engine.
    pub network: String,
    /// How the container is called there.
    pub aliases: Vec<String>,
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
}

/// Whether a network can reach across hosts: one that the text gives neither a driver, nor what
/// only a bridge can be, nor a name that other stacks know it by.
pub(in super::super) fn can_span(network: &Network) -> bool {
    network.driver.is_none()
        && network.driver_opts.is_empty()
        && network.name.is_none()
        && !network.external
        && !network.enable_ipv6
}

/// The name of a stack's network on its hosts. Across hosts names are the swarm's, where other
/// environments may have stacks of the same name.
pub(in super::super) fn stack_network(
    stack: &StackRow,
    name: &str,
    network: &Network,
    kind: Kind,
) -> String {
    let given = network.name.as_deref().or_else(|| Some(name).filter(|_| network.external));
    if let Some(given) = given {
        return given.to_owned();
    }
    match kind {
        Kind::Overlay | Kind::Encrypted if can_span(network) => {
            let id = stack.id.simple().to_string();
            let short = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
            format!("{}_{name}-{short}{}", stack.name, kind.ending())
        }
        _ => format!("{}_{name}", stack.name),
    }
}

/// The name of the network that joins all stacks of an environment.
pub(in super::super) fn environment_network(environment: Uuid, kind: Kind) -> String {
    format!("drover-{}{}", environment.simple(), kind.ending())
}

/// Whether a service is in its environment's network. One whose networks have no way out would get
/// one there.
pub(in super::super) fn meets_other_stacks(project: &Project, service: &Service) -> bool {
    service.network_mode.is_none()
        && service
            .networks
            .keys()
            .any(|name| project.networks.get(name).is_none_or(|network| !network.internal))
}

/// The networks of a service's containers, the one that they are made in first.
///
/// `hidden`: nobody is to find it by a name that others have too, as when it is unhealthy.
pub(in super::super) fn memberships(
    stack: &StackRow,
    project: &Project,
    (name, service): (&str, &Service),
    kind: Kind,
    hidden: bool,
) -> Vec<Membership> {
    if service.network_mode.is_some() {
        return Vec::new();
    }
    let shown = |aliases: Vec<String>| if hidden { Vec::new() } else { aliases };
    let unknown = Network::default();
    let mut all: Vec<Membership> = service
        .networks
        .iter()
        .map(|(network, attachment)| {
            let known = project.networks.get(network).unwrap_or(&unknown);
            let mut aliases = vec![name.to_owned()];
            aliases.extend(attachment.aliases.iter().cloned());
            Membership {
                network: stack_network(stack, network, known, kind),
                aliases: shown(aliases),
                ipv4_address: attachment.ipv4_address.clone(),
                ipv6_address: attachment.ipv6_address.clone(),
            }
        })
        .collect();
    if meets_other_stacks(project, service) {
        all.push(Membership {
            network: environment_network(stack.environment_id, kind),
            aliases: shown(vec![format!("{name}.{}", stack.name)]),
            ipv4_address: None,
            ipv6_address: None,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> StackRow {
        StackRow::for_tests(Uuid::from_u128(0xabcd_ef12_3456), Uuid::from_u128(7), "blog")
    }

    fn names(text: &str, kind: Kind) -> Vec<(String, Vec<String>)> {
        let project = drover_compose::load(text, &()).project.unwrap_or_default();
        memberships(&stack(), &project, ("web", &project.services["web"]), kind, false)
            .into_iter()
            .map(|membership| (membership.network, membership.aliases))
            .collect()
    }

    #[test]
    fn networks_have_a_name_for_each_kind() {
        let text = "services: {web: {image: a}}";
        let of = |kind| names(text, kind).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let environment = "drover-00000000000000000000000000000007";
        assert_eq!(of(Kind::Bridge), ["blog_default", environment]);
        assert_eq!(
            of(Kind::Overlay),
            ["blog_default-ef123456-overlay", &format!("{environment}-overlay")]
        );
        assert_ne!(of(Kind::Overlay), of(Kind::Encrypted));
    }

    #[test]
    fn containers_are_known_by_service_and_by_service_and_stack() {
        let aliases: Vec<Vec<String>> = names(
            "services: {web: {image: a, networks: {back: {aliases: [www]}}}}\nnetworks: {back: {}}",
            Kind::Bridge,
        )
        .into_iter()
        .map(|(_, aliases)| aliases)
        .collect();
        assert_eq!(aliases, [vec!["web", "www"], vec!["web.blog"]]);
    }

    #[test]
    fn what_the_text_names_stays_as_it_is() {
        for (network, expected) in [
            ("{driver: bridge}", "blog_x"),
            ("{name: shared}", "shared"),
            ("{external: true}", "x"),
            ("{enable_ipv6: true}", "blog_x"),
            ("{driver_opts: {com.docker.network.bridge.name: br7}}", "blog_x"),
        ] {
            let text = format!(
                "services: {{web: {{image: a, networks: [x]}}}}\nnetworks: {{x: {network}}}"
            );
            assert_eq!(names(&text, Kind::Overlay)[0].0, expected, "{network}");
        }
    }

    #[test]
    fn what_has_no_way_out_gets_none() {
        let text = "services: {web: {image: a, networks: [x]}}\nnetworks: {x: {internal: true}}";
        assert_eq!(names(text, Kind::Bridge).len(), 1);
        assert_eq!(names("services: {web: {image: a, network_mode: host}}", Kind::Bridge), []);
    }
}
