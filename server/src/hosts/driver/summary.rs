//! A container in short, out of the engine's list or of its inspect.

use std::collections::HashMap;

use serde::{Deserialize, de::IgnoredAny};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::or_default;

/// A container as the engine's list tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerSummary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// With a leading slash each.
    #[serde(default, deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// The image as asked for, or its id when it has lost its name.
    #[serde(default)]
    pub image: String,
    /// `sha256:…`
    #[serde(default, rename = "ImageID")]
    pub image_id: String,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    pub created: i64,
    /// e.g. `running`
    #[serde(default)]
    pub state: String,
    /// For people, e.g. `Up 3 minutes (healthy)`.
    #[serde(default)]
    pub status: String,
    /// Published and exposed ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<PortSummary>,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
    /// Its mounts.
    #[serde(default, deserialize_with = "or_default")]
    pub mounts: Vec<MountSummary>,
    /// Its networks.
    #[serde(default, deserialize_with = "or_default")]
    pub network_settings: NetworksSummary,
}

/// A port in a [`ContainerSummary`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortSummary {
    /// The address on the host, when published.
    #[serde(rename = "IP")]
    pub ip: Option<String>,
    /// The port in the container.
    pub private_port: u16,
    /// The port on the host, when published.
    pub public_port: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type", default)]
    pub protocol: String,
}

/// A mount in a [`ContainerSummary`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountSummary {
    /// `volume`, `bind` or `tmpfs`.
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// The volume's name.
    #[serde(default)]
    pub name: String,
}

/// The networks of a [`ContainerSummary`], by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworksSummary {
    /// By the network's name.
    #[serde(default, deserialize_with = "or_default")]
    pub networks: HashMap<String, IgnoredAny>,
}

/// The part of an inspect that makes a [`ContainerSummary`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    image: String,
    #[serde(default, deserialize_with = "or_default")]
    state: InspectedState,
    #[serde(default, deserialize_with = "or_default")]
    config: InspectedConfig,
    #[serde(default, deserialize_with = "or_default")]
    mounts: Vec<MountSummary>,
    #[serde(default, deserialize_with = "or_default")]
    network_settings: InspectedNetworks,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    #[serde(default)]
    status: String,
    #[serde(default)]
    exit_code: i64,
    health: Option<InspectedHealth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedHealth {
    #[serde(default)]
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    #[serde(default)]
    image: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedNetworks {
    /// By `PORT/PROTOCOL`; without addresses when only exposed.
    #[serde(default, deserialize_with = "or_default")]
    ports: HashMap<String, Option<Vec<InspectedPort>>>,
    #[serde(default, deserialize_with = "or_default")]
    networks: HashMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedPort {
    #[serde(default)]
    host_ip: String,
    #[serde(default)]
    host_port: String,
}

impl From<Inspected> for ContainerSummary {
    fn from(found: Inspected) -> Self {
        let status = match found.state.status.as_str() {
            "exited" => format!("Exited ({})", found.state.exit_code),
            "restarting" => format!("Restarting ({})", found.state.exit_code),
            _ => match found.state.health.as_ref().map(|health| health.status.as_str()) {
                Some("starting") => "Up (health: starting)".to_owned(),
                Some(health @ ("healthy" | "unhealthy")) => format!("Up ({health})"),
                _ => String::new(),
            },
        };
        Self {
            id: found.id,
            names: vec![found.name],
            image: found.config.image,
            image_id: found.image,
            created: OffsetDateTime::parse(&found.created, &Rfc3339)
                .map_or(0, OffsetDateTime::unix_timestamp),
            state: found.state.status,
            status,
            ports: found.network_settings.ports.into_iter().flat_map(ports).collect(),
            labels: found.config.labels,
            mounts: found.mounts,
            network_settings: NetworksSummary { networks: found.network_settings.networks },
        }
    }
}

fn ports((name, published): (String, Option<Vec<InspectedPort>>)) -> Vec<PortSummary> {
    let (port, protocol) = name.split_once('/').unwrap_or((&name, "tcp"));
    let Ok(private_port) = port.parse() else { return Vec::new() };
    let exposed =
        PortSummary { ip: None, private_port, public_port: None, protocol: protocol.to_owned() };
    match published {
        None => vec![exposed],
        Some(published) if published.is_empty() => vec![exposed],
        Some(published) => published
            .into_iter()
            .map(|port| PortSummary {
                ip: Some(port.host_ip),
                public_port: port.host_port.parse().ok(),
                ..exposed.clone()
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspect_tells_what_the_list_does() {
        let inspected: Inspected = serde_json::from_str(
            r#"{"Id":"a","Name":"/web","Created":"2026-01-01T00:00:00.5Z","Image":"sha256:1",
            "State":{"Status":"running","ExitCode":0,"Health":{"Status":"healthy"}},
            "Config":{"Image":"nginx:1","Labels":{"a":"b"}},
            "Mounts":[{"Type":"volume","Name":"data"}],
            "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"443/tcp":null},
                "Networks":{"bridge":{}}}}"#,
        )
        .unwrap();
        let summary = ContainerSummary::from(inspected);
        assert_eq!(summary.status, "Up (healthy)");
        assert_eq!(summary.created, 1_767_225_600);
        let mut ports: Vec<_> =
            summary.ports.iter().map(|port| (port.private_port, port.public_port)).collect();
        ports.sort_unstable();
        assert_eq!(ports, [(80, Some(8080)), (443, None)]);
        assert!(summary.network_settings.networks.contains_key("bridge"));

        let ended: Inspected = serde_json::from_str(
            r#"{"Id":"a","State":{"Status":"exited","ExitCode":137},"Config":{"Labels":null},"NetworkSettings":{"Ports":null}}"#,
        )
        .unwrap();
        assert_eq!(ContainerSummary::from(ended).status, "Exited (137)");
    }
}
