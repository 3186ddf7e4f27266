//! Images, volumes and networks of a host. The engine's lists are kept until one of its events
//! says that they have changed; who uses what comes from the index.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use drover_api::{
    ContainerState, CreateNetwork, CreateVolume, Image, ImageDetail, Network, PruneItem, PruneKind,
    PrunePreview, Timestamp, Volume,
};
use indexmap::IndexMap;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    LiveHost,
    driver::{DockerError, ErrorKind, Result, models},
    index::{Entry, Index},
    labels, lock,
};

/// Even without an event a list is read again after this.
const OLDEST: Duration = Duration::from_secs(60);
/// The networks that each engine makes for itself.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Images,
    Volumes,
    Networks,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Images, Kind::Volumes, Kind::Networks];

    /// The kind that an engine's events call so.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "image" => Some(Self::Images),
            "volume" => Some(Self::Volumes),
            "network" => Some(Self::Networks),
            _ => None,
        }
    }
}

/// The engine's lists, as last read.
#[derive(Default)]
pub struct Cache {
    images: Slot<Vec<models::ImageSummary>>,
    volumes: Slot<Vec<models::Volume>>,
    networks: Slot<Vec<models::Network>>,
    volume_sizes: Mutex<HashMap<String, u64>>,
}

impl Cache {
    /// Has these read again at their next use.
    pub fn forget(&self, kinds: &[Kind]) {
        for kind in kinds {
            match kind {
                Kind::Images => self.images.forget(),
                Kind::Volumes => self.volumes.forget(),
                Kind::Networks => self.networks.forget(),
            }
        }
    }

    pub(super) fn set_volume_sizes(&self, sizes: HashMap<String, u64>) {
        *lock(&self.volume_sizes) = sizes;
    }
}

/// A value that is read when it is needed and not known, by one at a time.
struct Slot<T> {
    generation: AtomicU64,
    known: tokio::sync::Mutex<Option<Known<T>>>,
}

struct Known<T> {
    generation: u64,
    at: Instant,
    value: Arc<T>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { generation: AtomicU64::new(0), known: tokio::sync::Mutex::default() }
    }
}

impl<T> Slot<T> {
    fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    async fn get(&self, read: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut known = self.known.lock().await;
        // Before reading: what changes meanwhile makes the value old at once.
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(known) = known.as_ref()
            && known.generation == generation
            && known.at.elapsed() < OLDEST
        {
            return Ok(known.value.clone());
        }
        let value = Arc::new(read().await?);
        *known = Some(Known { generation, at: Instant::now(), value: value.clone() });
        Ok(value)
    }
}

/// The images of a host.
pub async fn images(host: &LiveHost, index: &Index) -> Result<Vec<Image>> {
    let docker = host.docker()?;
    let found = host.resources.images.get(async || docker.list_images().await).await?;
    let mut users: HashMap<Arc<str>, u32> = HashMap::new();
    for entry in index.of_host(host.environment_id, host.id) {
        *users.entry(entry.image_id.clone()).or_default() += 1;
    }
    Ok(found.iter().map(|image| to_image(image, &users)).collect())
}

fn to_image(image: &models::ImageSummary, users: &HashMap<Arc<str>, u32>) -> Image {
    // Engines write `<none>:<none>` for what has no name.
    let named = |names: &[String]| -> Vec<String> {
        names.iter().filter(|name| !name.contains("<none>")).cloned().collect()
    };
    Image {
        id: image.id.clone(),
        tags: named(&image.repo_tags),
        digests: named(&image.repo_digests),
        size: u64::try_from(image.size).unwrap_or_default(),
        created_at: from_unix(image.created),
        containers: users.get(image.id.as_str()).copied().unwrap_or_default(),
    }
}

/// An image of a host, by reference or id; `None` when it is not there.
pub async fn image(host: &LiveHost, index: &Index, id: &str) -> Result<Option<ImageDetail>> {
    let Some(found) = host.docker()?.find_image(id).await? else { return Ok(None) };
    let image_id = found.id.unwrap_or_default();
    let used_by: Vec<String> = index
        .of_host(host.environment_id, host.id)
        .iter()
        .filter(|entry| *entry.image_id == *image_id)
        .map(|entry| entry.name.to_string())
        .collect();
    let config = found.config.unwrap_or_default();
    let layers = found.root_fs.and_then(|fs| fs.layers).map_or(0, |layers| layers.len());
    Ok(Some(ImageDetail {
        image: Image {
            id: image_id,
            tags: found.repo_tags.unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
            size: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            created_at: found
                .created
                .as_deref()
                .and_then(parse_time)
                .unwrap_or_else(|| from_unix(0)),
            containers: used_by.len() as u32,
        },
        architecture: found.architecture.unwrap_or_default(),
        os: found.os.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        working_dir: config.working_dir.unwrap_or_default(),
        ports: config.exposed_ports.unwrap_or_default(),
        environment: config
            .env
            .unwrap_or_default()
            .iter()
            .map(|variable| variable.split_once('=').map_or(variable.as_str(), |(name, _)| name))
            .map(str::to_owned)
            .collect(),
        labels: sorted(&config.labels.unwrap_or_default()),
        layers: layers as u32,
        used_by,
    }))
}

/// The volumes of a host.
pub async fn volumes(host: &LiveHost, index: &Index) -> Result<Vec<Volume>> {
    let docker = host.docker()?;
    let found = host.resources.volumes.get(async || docker.list_volumes().await).await?;
    let users = users_by(host, index, |entry| &entry.volumes);
    let sizes = lock(&host.resources.volume_sizes);
    Ok(found
        .iter()
        .map(|volume| Volume {
            name: volume.name.clone(),
            driver: volume.driver.clone(),
            mountpoint: volume.mountpoint.clone(),
            labels: sorted(&volume.labels),
            created_at: volume.created_at.as_deref().and_then(parse_time),
            size: sizes.get(&volume.name).copied(),
            used_by: users.get(volume.name.as_str()).cloned().unwrap_or_default(),
            stack_id: labels::stack(host.environment_id, &volume.labels),
        })
        .collect())
}

/// The networks of a host.
pub async fn networks(host: &LiveHost, index: &Index) -> Result<Vec<Network>> {
    let docker = host.docker()?;
    let found = host.resources.networks.get(async || docker.list_networks().await).await?;
    let users = users_by(host, index, |entry| &entry.networks);
    Ok(found
        .iter()
        .map(|network| {
            let name = network.name.clone().unwrap_or_default();
            let labels = network.labels.clone().unwrap_or_default();
            Network {
                id: network.id.clone().unwrap_or_default(),
                driver: network.driver.clone().unwrap_or_default(),
                scope: network.scope.clone().unwrap_or_default(),
                internal: network.internal.unwrap_or_default(),
                subnets: network
                    .ipam
                    .iter()
                    .flat_map(|ipam| ipam.config.iter().flatten())
                    .filter_map(|config| config.subnet.clone())
                    .collect(),
                stack_id: labels::stack(host.environment_id, &labels),
                labels: sorted(&labels),
                containers: users.get(name.as_str()).cloned().unwrap_or_default(),
                predefined: PREDEFINED.contains(&name.as_str()),
                name,
            }
        })
        .collect())
}

/// The names of the containers that use a thing, by the thing's name.
fn users_by(
    host: &LiveHost,
    index: &Index,
    things: fn(&Entry) -> &[Arc<str>],
) -> HashMap<Arc<str>, Vec<String>> {
    let mut users: HashMap<Arc<str>, Vec<String>> = HashMap::new();
    for entry in index.of_host(host.environment_id, host.id) {
        for thing in things(&entry) {
            users.entry(thing.clone()).or_default().push(entry.name.to_string());
        }
    }
    users.values_mut().for_each(|names| names.sort_unstable());
    users
}

/// Makes a volume.
pub async fn create_volume(host: &LiveHost, input: CreateVolume) -> Result<Volume> {
    let docker = host.docker()?;
    if docker.find_volume(&input.name).await?.is_some() {
        return Err(taken("volume", &input.name));
    }
    let made = docker
        .create_volume(models::VolumeCreateRequest {
            name: Some(input.name),
            driver: input.driver,
            driver_opts: Some(input.options.into_iter().collect()),
            labels: Some(input.labels.into_iter().collect()),
            ..Default::default()
        })
        .await?;
    host.resources.forget(&[Kind::Volumes]);
    Ok(Volume {
        name: made.name,
        driver: made.driver,
        mountpoint: made.mountpoint,
        labels: sorted(&made.labels),
        created_at: made.created_at.as_deref().and_then(parse_time),
        size: None,
        used_by: Vec::new(),
        stack_id: None,
    })
}

/// Makes a network, and answers its id.
pub async fn create_network(host: &LiveHost, input: CreateNetwork) -> Result<String> {
    let docker = host.docker()?;
    if docker.find_network(&input.name).await?.is_some() {
        return Err(taken("network", &input.name));
    }
    let ipam = input.subnet.map(|subnet| models::Ipam {
        config: Some(vec![models::IpamConfig { subnet: Some(subnet), ..Default::default() }]),
        ..Default::default()
    });
    let id = docker
        .create_network(models::NetworkCreateRequest {
            name: input.name,
            driver: input.driver,
            internal: Some(input.internal),
            ipam,
            labels: Some(input.labels.into_iter().collect()),
            ..Default::default()
        })
        .await?;
    host.resources.forget(&[Kind::Networks]);
    Ok(id)
}

fn taken(what: &str, name: &str) -> DockerError {
    DockerError::new(
        ErrorKind::Conflict,
        format!("There is a {what} with the name {name} on this host."),
    )
}

/// What a prune would take now.
pub async fn prunable(host: &LiveHost, index: &Index, kind: PruneKind) -> Result<PrunePreview> {
    let items: Vec<PruneItem> = match kind {
        PruneKind::Containers => index
            .of_host(host.environment_id, host.id)
            .iter()
            .filter(|entry| is_leftover(entry))
            .map(|entry| PruneItem {
                id: entry.id.to_string(),
                name: entry.name.to_string(),
                size: None,
            })
            .collect(),
        PruneKind::DanglingImages | PruneKind::UnusedImages => images(host, index)
            .await?
            .into_iter()
            .filter(|image| image.containers == 0)
            .filter(|image| kind == PruneKind::UnusedImages || image.tags.is_empty())
            .map(|image| PruneItem {
                name: image.tags.first().or(image.digests.first()).unwrap_or(&image.id).clone(),
                id: image.id,
                size: Some(image.size),
            })
            .collect(),
        PruneKind::Volumes => volumes(host, index)
            .await?
            .into_iter()
            .filter(|volume| volume.used_by.is_empty() && !belongs_to_a_stack(&volume.labels))
            .map(|volume| PruneItem {
                id: volume.name.clone(),
                name: volume.name,
                size: volume.size,
            })
            .collect(),
        PruneKind::Networks => networks(host, index)
            .await?
            .into_iter()
            .filter(|network| {
                network.containers.is_empty()
                    && !network.predefined
                    && network.scope == "local"
                    && !belongs_to_a_stack(&network.labels)
            })
            .map(|network| PruneItem { id: network.id, name: network.name, size: None })
            .collect(),
    };
    let mut items = items;
    items.sort_by(|a, b| a.name.cmp(&b.name));
    let bytes = items.iter().filter_map(|item| item.size).sum();
    Ok(PrunePreview { kind, items, bytes })
}

/// Containers that have ended and that no stack, of this or another environment, looks after.
fn is_leftover(entry: &Entry) -> bool {
    let ended = matches!(
        entry.state,
        ContainerState::Exited | ContainerState::Created | ContainerState::Dead
    );
    ended && entry.owner.is_none() && !entry.foreign
}

fn belongs_to_a_stack(labels: &IndexMap<String, String>) -> bool {
    labels.contains_key(labels::STACK)
}

/// Takes of `ids` what is still unused, and answers what went.
///
/// # Errors
/// When the host is not connected. What cannot be removed by itself is left and not answered.
pub async fn prune(
    host: &LiveHost,
    index: &Index,
    kind: PruneKind,
    ids: &[String],
) -> Result<PrunePreview> {
    let docker = host.docker()?;
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let now = prunable(host, index, kind).await?;
    let mut gone = Vec::new();
    for item in now.items.into_iter().filter(|item| wanted.contains(item.id.as_str())) {
        let removed = match kind {
            // Without force: what was started meanwhile stays.
            PruneKind::Containers => docker.remove_container(&item.id, false, false).await,
            PruneKind::DanglingImages => docker.remove_image(&item.id, false).await,
            // Several tags on one unused image: force takes them all; the engine still refuses
            // when a running container uses it.
            PruneKind::UnusedImages => docker.remove_image(&item.id, true).await,
            PruneKind::Volumes => docker.remove_volume(&item.id, false).await,
            PruneKind::Networks => docker.remove_network(&item.id).await,
        };
        match removed {
            Ok(()) => gone.push(item),
            Err(error) if error.kind() == ErrorKind::HostUnreachable => return Err(error),
            Err(error) => tracing::debug!(item = %item.name, %error, "left by a prune"),
        }
    }
    host.resources.forget(&Kind::ALL);
    let bytes = gone.iter().filter_map(|item| item.size).sum();
    Ok(PrunePreview { kind, items: gone, bytes })
}

fn sorted(labels: &HashMap<String, String>) -> IndexMap<String, String> {
    let mut labels: IndexMap<String, String> =
        labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.sort_unstable_keys();
    labels
}

fn from_unix(seconds: i64) -> Timestamp {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH).into()
}

/// An engine's time; `None` for Go's zero time, which means "never".
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (at.year() > 1).then(|| at.to_offset(time::UtcOffset::UTC).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_read_again_only_when_it_was_forgotten() {
        let slot = Slot::<u32>::default();
        let mut reads = 0;
        for (forget, expected) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
            if forget {
                slot.forget();
            }
            let value = slot
                .get(async || {
                    reads += 1;
                    Ok(reads)
                })
                .await
                .unwrap();
            assert_eq!(*value, expected);
        }
        slot.forget();
        let failed = slot.get(async || Err(DockerError::new(ErrorKind::Timeout, "x"))).await;
        assert!(failed.is_err());
        assert_eq!(*slot.get(async || Ok(9)).await.unwrap(), 9);
    }

    #[test]
    fn never_is_no_time() {
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), None);
        let at = parse_time("2026-01-02T05:04:05.123456789+02:00").unwrap();
        assert_eq!(serde_json::to_value(at).unwrap(), "2026-01-02T03:04:05.123456789Z");
    }
}
