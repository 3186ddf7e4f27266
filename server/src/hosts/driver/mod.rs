//! [`Docker`]: the one way that Drover speaks to an engine.
//!
//! It stands on bollard, whose typed calls serve everything plain, over a connection of our own
//! ([`Dialer`]): mutual TLS from credentials in memory, and one pool for all requests. What streams,
//! is long, or must be binary safe goes over the same pool by itself: lists of containers
//! ([`Docker::each_container`]), pulls ([`Docker::pull_image`]), and all in [`stream`] and [`swarm`].
//!
//! Every plain call has a time limit; streams have none. Every error is a [`DockerError`] with a
//! stable code and a sentence for people.
//!
//! What the engine of stacks needs, in the order of a container's life:
//!
//! | step | call |
//! | --- | --- |
//! | look | [`Docker::list_containers`] by label, [`Docker::inspect_container`], [`Docker::find_image`] |
//! | image | [`Docker::pull_image`] with [`RegistryAuth`] and progress |
//! | network, volume | [`Docker::create_network`], [`Docker::create_volume`], [`Docker::find_network`], [`Docker::find_volume`], [`Docker::connect_network`] |
//! | container | [`Docker::create_container`], [`Docker::put_files`] (secrets and configs), [`Docker::start_container`] |
//! | wait | by the index and its changes (see [`crate::hosts::Hosts::changes`]) |
//! | end | [`Docker::stop_container`], [`Docker::remove_container`], [`Docker::remove_network`], [`Docker::remove_volume`] |
//!
//! Bodies and answers can hold secrets (environment variables). bollard prints them at debug
//! level, which is compiled out by the `max_level_info` features of `log` in `Cargo.toml`.

mod dial;
mod error;
mod raw;
pub mod stream;
mod summary;
pub mod swarm;

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use bollard::{
    ClientVersion,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ImageInspect, ImageSummary, Network,
        NetworkConnectRequest, NetworkCreateRequest, NetworkInspect, Volume, VolumeCreateRequest,
    },
    query_parameters as query,
};
use bytes::Bytes;
use drover_api::{HostFacts, ProcessList};
use futures_util::Stream;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor},
};

pub use bollard::models;
pub use dial::Dialer;
pub use error::{DockerError, ErrorKind, Result};
pub use raw::{RawBody, full, streamed};
pub use stream::registry_header;
pub use summary::{ContainerSummary, MountSummary, PortSummary};

/// The limit of a plain call.
const PLAIN: Duration = Duration::from_secs(30);
/// The limit of calls that work on the disk or end containers.
const SLOW: Duration = Duration::from_secs(120);
/// The newest version of the engine's API that Drover knows.
const NEWEST_API: (usize, usize) = (1, 53);
/// The oldest: Docker Engine 20.10.
const OLDEST_API: (usize, usize) = (1, 41);

/// A body as bollard sends it.
type Body = Either<
    Full<Bytes>,
    StreamBody<Pin<Box<dyn Stream<Item = std::io::Result<Frame<Bytes>>> + Send>>>,
>;

/// A connected engine. Cheap to clone; see the module's first lines.
#[derive(Clone)]
pub struct Docker {
    typed: bollard::Docker,
    http: Client<Dialer, Body>,
    /// e.g. `/v1.41`
    prefix: Arc<str>,
}

impl Docker {
    /// Connects and agrees on an API version with the engine.
    ///
    /// # Errors
    /// What [`Dialer::dial`] answers; [`ErrorKind::Refused`] for an engine that is too old.
    pub async fn connect(dialer: Dialer) -> Result<Self> {
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .build(dialer);
        let mut docker = Self::with_version(http, OLDEST_API)?;

        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            api_version: String,
        }
        // Asked without a version in the path: an engine refuses versions newer than its own.
        let answer = within(PLAIN, docker.send_unversioned(Method::GET, "/version")).await?;
        let found: Version = read_json(answer).await?;
        let offered = found.api_version.split_once('.').and_then(|(major, minor)| {
            Some((major.parse::<usize>().ok()?, minor.parse::<usize>().ok()?))
        });
        let offered = offered.ok_or_else(|| {
            DockerError::new(
                ErrorKind::EngineError,
                format!(
                    "What answers there does not say its API version (`{}`).",
                    found.api_version
                ),
            )
        })?;
        if offered < OLDEST_API {
            return Err(DockerError::new(
                ErrorKind::Refused,
                format!(
                    "This Docker Engine is too old (API {}). Drover needs 20.10 or newer (API 1.41).",
                    found.api_version
                ),
            ));
        }
        docker = Self::with_version(docker.http, offered.min(NEWEST_API))?;
        Ok(docker)
    }

    fn with_version(http: Client<Dialer, Body>, version: (usize, usize)) -> Result<Self> {
        let transport = {
            let http = http.clone();
            move |request: bollard::BollardRequest| {
                let http = http.clone();
                async move { http.request(request).await.map_err(bollard::errors::Error::from) }
            }
        };
        // Limits are set per call here; bollard's own only has to be longer.
        let typed = bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://engine"),
            3600,
            &ClientVersion { major_version: version.0, minor_version: version.1 },
        )?;
        Ok(Self { typed, http, prefix: format!("/v{}.{}", version.0, version.1).into() })
    }

    /// Whether the engine answers.
    pub async fn ping(&self) -> Result<()> {
        let limit = Duration::from_secs(10);
        within(limit, async { Ok(self.typed.ping().await?) }).await.map(drop)
    }

    /// What the engine says of itself and its machine.
    pub async fn facts(&self) -> Result<HostFacts> {
        let info = within(PLAIN, async { Ok(self.typed.info().await?) }).await?;
        Ok(HostFacts {
            engine_id: info.id.unwrap_or_default(),
            engine_version: info.server_version.unwrap_or_default(),
            api_version: self.prefix.trim_start_matches("/v").to_owned(),
            operating_system: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            hostname: info.name.unwrap_or_default(),
            storage_driver: info.driver.unwrap_or_default(),
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            memory: positive(info.mem_total),
            data_root: info.docker_root_dir.unwrap_or_default(),
            warnings: info.warnings.unwrap_or_default(),
            swarm_node_id: info
                .swarm
                .and_then(|swarm| swarm.node_id)
                .filter(|node| !node.is_empty()),
        })
    }

    /// Disk in use by images, containers, volumes and the build cache. Slow on big hosts.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        let answer = within(Duration::from_secs(300), async {
            read_json::<RawDiskUsage>(self.get("/system/df").await?).await
        });
        Ok(answer.await?.into())
    }

    // Containers

    /// Containers that match, in all states.
    pub async fn list_containers(&self, filter: &Filter) -> Result<Vec<ContainerSummary>> {
        let mut found = Vec::new();
        self.each_container(filter, |container| found.push(container)).await?;
        Ok(found)
    }

    /// Like [`Docker::list_containers`], but holds one container at a time: an engine with
    /// 10,000 of them answers 10 MiB.
    pub async fn each_container(
        &self,
        filter: &Filter,
        each: impl FnMut(ContainerSummary) + Send,
    ) -> Result<()> {
        let path = format!("/containers/json?{}", filter.query(&[("all", "1")]));
        let body = within(SLOW, async { read_bytes(self.get(&path).await?).await });
        let body = body.await?;
        let mut json = serde_json::Deserializer::from_slice(&body);
        json.deserialize_seq(Each(each)).map_err(unreadable)
    }

    /// What the list would tell of one container, but read under the container's lock: right after
    /// an event the list may still tell the state before it. `None` when it is gone.
    pub async fn container_summary(&self, id: &str) -> Result<Option<ContainerSummary>> {
        let path = format!("/containers/{}/json", checked(id)?);
        let found =
            within(SLOW, async { read_json::<summary::Inspected>(self.get(&path).await?).await });
        Ok(optional(found.await)?.map(Into::into))
    }

    /// Everything about a container, by id or name.
    pub async fn inspect_container(&self, id: &str) -> Result<ContainerInspectResponse> {
        let id = checked(id)?;
        within(PLAIN, async {
            Ok(self.typed.inspect_container(id, None::<query::InspectContainerOptions>).await?)
        })
        .await
    }

    /// The engine's own answer to an inspect.
    pub async fn inspect_container_raw(&self, id: &str) -> Result<serde_json::Value> {
        let path = format!("/containers/{}/json", checked(id)?);
        within(PLAIN, async { read_json(self.get(&path).await?).await }).await
    }

    /// Makes a container and answers its id. Does not pull: [`ErrorKind::ImageNotFound`] when the
    /// image is not on the host.
    pub async fn create_container(
        &self,
        name: &str,
        config: ContainerCreateBody,
    ) -> Result<String> {
        let options = query::CreateContainerOptionsBuilder::default().name(checked(name)?).build();
        within(SLOW, async { Ok(self.typed.create_container(Some(options), config).await?.id) })
            .await
    }

    /// Puts files into a container, which need not run. Not for containers with a read-only root
    /// file system, unless `path` of each lies in a volume: the engine refuses those.
    pub async fn put_files(&self, id: &str, files: &[ContainerFile]) -> Result<()> {
        let id = checked(id)?;
        let archive = tar_of(files).map_err(|error| {
            DockerError::new(ErrorKind::Refused, format!("A file's path cannot be used: {error}."))
        })?;
        let options = query::UploadToContainerOptionsBuilder::default().path("/").build();
        within(SLOW, async {
            let body = bollard::body_full(archive.into());
            Ok(self.typed.upload_to_container(id, Some(options), body).await?)
        })
        .await
    }

    /// Starts a container; fine when it runs already.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let id = checked(id)?;
        within(SLOW, async {
            Ok(self.typed.start_container(id, None::<query::StartContainerOptions>).await?)
        })
        .await
    }

    /// Asks a container to end and kills it after `grace` (its own grace period when absent).
    /// Fine when it has ended already.
    pub async fn stop_container(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let id = checked(id)?;
        let (seconds, limit) = grace_seconds(grace);
        let mut options = query::StopContainerOptionsBuilder::default();
        if let Some(seconds) = seconds {
            options = options.t(seconds);
        }
        within(limit, async { Ok(self.typed.stop_container(id, Some(options.build())).await?) })
            .await
    }

    /// Stops and starts a container; `grace` as for [`Docker::stop_container`].
    pub async fn restart_container(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let id = checked(id)?;
        let (seconds, limit) = grace_seconds(grace);
        let mut options = query::RestartContainerOptionsBuilder::default();
        if let Some(seconds) = seconds {
            options = options.t(seconds);
        }
        within(limit, async { Ok(self.typed.restart_container(id, Some(options.build())).await?) })
            .await
    }

    /// Sends a signal, e.g. `SIGKILL`.
    pub async fn kill_container(&self, id: &str, signal: &str) -> Result<()> {
        let id = checked(id)?;
        let options = query::KillContainerOptionsBuilder::default().signal(signal).build();
        within(PLAIN, async { Ok(self.typed.kill_container(id, Some(options)).await?) }).await
    }

    /// Freezes a container.
    pub async fn pause_container(&self, id: &str) -> Result<()> {
        let id = checked(id)?;
        within(PLAIN, async { Ok(self.typed.pause_container(id).await?) }).await
    }

    /// Lets a frozen container go on.
    pub async fn unpause_container(&self, id: &str) -> Result<()> {
        let id = checked(id)?;
        within(PLAIN, async { Ok(self.typed.unpause_container(id).await?) }).await
    }

    /// Gives a container another name.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let id = checked(id)?;
        let options = query::RenameContainerOptionsBuilder::default().name(checked(name)?).build();
        within(PLAIN, async { Ok(self.typed.rename_container(id, options).await?) }).await
    }

    /// Removes a container. `force` kills it when it runs; `volumes` takes its anonymous volumes
    /// along.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is gone already, [`ErrorKind::Conflict`] when it runs.
    pub async fn remove_container(&self, id: &str, force: bool, volumes: bool) -> Result<()> {
        let id = checked(id)?;
        let options =
            query::RemoveContainerOptionsBuilder::default().force(force).v(volumes).build();
        within(SLOW, async { Ok(self.typed.remove_container(id, Some(options)).await?) }).await
    }

    /// The processes in a running container, as `ps -ef` on the host shows them.
    pub async fn processes(&self, id: &str) -> Result<ProcessList> {
        let id = checked(id)?;
        let found = within(PLAIN, async {
            Ok(self.typed.top_processes(id, None::<query::TopOptions>).await?)
        })
        .await?;
        Ok(ProcessList {
            titles: found.titles.unwrap_or_default(),
            processes: found.processes.unwrap_or_default(),
        })
    }

    // Images

    /// All images with a tag or used as such (no intermediate layers).
    pub async fn list_images(&self) -> Result<Vec<ImageSummary>> {
        within(SLOW, async { Ok(self.typed.list_images(None::<query::ListImagesOptions>).await?) })
            .await
    }

    /// An image on the host, by reference or id; `None` when it is not there.
    pub async fn find_image(&self, reference: &str) -> Result<Option<ImageInspect>> {
        let reference = checked_image(reference)?;
        let found = within(PLAIN, async { Ok(self.typed.inspect_image(reference).await?) }).await;
        match found {
            Ok(image) => Ok(Some(image)),
            Err(error)
                if matches!(error.kind(), ErrorKind::ImageNotFound | ErrorKind::NotFound) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Pulls an image, telling of its progress. A reference without tag or digest means `latest`.
    /// Takes as long as it takes; dropping the future ends the pull.
    pub async fn pull_image(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: impl FnMut(PullProgress) + Send,
    ) -> Result<()> {
        stream::pull(self, checked_image(reference)?, auth, progress).await
    }

    /// Removes an image, or only the tag when it has several. `force` removes it though stopped
    /// containers use it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a container uses it.
    pub async fn remove_image(&self, reference: &str, force: bool) -> Result<()> {
        let reference = checked_image(reference)?;
        let options = query::RemoveImageOptionsBuilder::default().force(force).build();
        within(SLOW, async { Ok(self.typed.remove_image(reference, Some(options), None).await?) })
            .await
            .map(drop)
    }

    // Networks

    /// All networks.
    pub async fn list_networks(&self) -> Result<Vec<Network>> {
        within(PLAIN, async {
            Ok(self.typed.list_networks(None::<query::ListNetworksOptions>).await?)
        })
        .await
    }

    /// A network by id or name; `None` when there is none.
    pub async fn find_network(&self, id: &str) -> Result<Option<NetworkInspect>> {
        let id = checked(id)?;
        optional(
            within(PLAIN, async {
                Ok(self.typed.inspect_network(id, None::<query::InspectNetworkOptions>).await?)
            })
            .await,
        )
    }

    /// Makes a network and answers its id. The engine allows several of one name: look first.
    pub async fn create_network(&self, config: NetworkCreateRequest) -> Result<String> {
        within(PLAIN, async { Ok(self.typed.create_network(config).await?.id) }).await
    }

    /// Puts a container into a network.
    pub async fn connect_network(&self, id: &str, config: NetworkConnectRequest) -> Result<()> {
        let id = checked(id)?;
        within(PLAIN, async { Ok(self.typed.connect_network(id, config).await?) }).await
    }

    /// Takes a container out of a network.
    pub async fn disconnect_network(&self, id: &str, container: &str, force: bool) -> Result<()> {
        let id = checked(id)?;
        let config = models::NetworkDisconnectRequest {
            container: checked(container)?.to_owned(),
            force: Some(force),
        };
        within(PLAIN, async { Ok(self.typed.disconnect_network(id, config).await?) }).await
    }

    /// Removes a network.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when containers are in it, or it is one of the engine's own.
    pub async fn remove_network(&self, id: &str) -> Result<()> {
        let id = checked(id)?;
        within(PLAIN, async { Ok(self.typed.remove_network(id).await?) }).await
    }

    // Volumes

    /// All volumes.
    pub async fn list_volumes(&self) -> Result<Vec<Volume>> {
        let found = within(SLOW, async {
            Ok(self.typed.list_volumes(None::<query::ListVolumesOptions>).await?)
        })
        .await?;
        Ok(found.volumes.unwrap_or_default())
    }

    /// A volume by name; `None` when there is none.
    pub async fn find_volume(&self, name: &str) -> Result<Option<Volume>> {
        let name = checked(name)?;
        optional(within(PLAIN, async { Ok(self.typed.inspect_volume(name).await?) }).await)
    }

    /// Makes a volume; fine when one of that name and driver is there.
    pub async fn create_volume(&self, config: VolumeCreateRequest) -> Result<Volume> {
        within(SLOW, async { Ok(self.typed.create_volume(config).await?) }).await
    }

    /// Removes a volume and what is in it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a container uses it.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let name = checked(name)?;
        let options = query::RemoveVolumeOptionsBuilder::default().force(force).build();
        within(SLOW, async { Ok(self.typed.remove_volume(name, Some(options)).await?) }).await
    }

    // Requests that bollard does not make

    async fn get(&self, path: &str) -> Result<Response<Incoming>> {
        self.send(Method::GET, path, empty(), &[]).await
    }

    /// Sends a request to the versioned API and answers its response once it is a success.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Incoming>> {
        let mut request =
            Request::builder().method(method).uri(format!("http://engine{}{path}", self.prefix));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.request(request.body(body)).await
    }

    async fn send_unversioned(&self, method: Method, path: &str) -> Result<Response<Incoming>> {
        let request = Request::builder().method(method).uri(format!("http://engine{path}"));
        self.request(request.body(empty())).await
    }

    async fn request(
        &self,
        request: Result<Request<Body>, hyper::http::Error>,
    ) -> Result<Response<Incoming>> {
        let request = request.map_err(|error| {
            DockerError::new(ErrorKind::Refused, format!("The request cannot be sent: {error}."))
        })?;
        let answer =
            self.http.request(request).await.map_err(|error| DockerError::from_chain(&error))?;
        let status = answer.status();
        if status.is_success()
            || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS)
        {
            return Ok(answer);
        }
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let body = within(PLAIN, read_bytes(answer)).await?;
        let message = serde_json::from_slice::<Refusal>(&body).map_or_else(
            |_| String::from_utf8_lossy(&body).into_owned(),
            |refusal| refusal.message,
        );
        Err(DockerError::from_answer(status.as_u16(), &message))
    }
}

/// Narrows a list of containers.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Each `KEY` or `KEY=VALUE`; all must match.
    pub labels: Vec<String>,
}

impl Filter {
    /// Those with a label, `KEY` or `KEY=VALUE`.
    pub fn label(label: impl Into<String>) -> Self {
        Self { labels: vec![label.into()] }
    }

    fn query(&self, more: &[(&str, &str)]) -> String {
        let mut filters: HashMap<&str, &[String]> = HashMap::new();
        if !self.labels.is_empty() {
            filters.insert("label", &self.labels);
        }
        let filters = serde_json::to_string(&filters).unwrap_or_default();
        encode_query(more.iter().copied().chain([("filters", filters.as_str())]))
    }
}

/// A file for [`Docker::put_files`].
#[derive(Clone)]
pub struct ContainerFile {
    /// Absolute path in the container.
    pub path: String,
    /// e.g. `0o444`
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// What it holds.
    pub content: Vec<u8>,
}

/// Credentials for a registry.
#[derive(Clone)]
pub struct RegistryAuth {
    /// The registry, e.g. `registry.example.com:5000` or `docker.io`; see [`registry_of`].
    pub address: String,
    /// Who.
    pub username: String,
    /// With what.
    pub password: secrecy::SecretString,
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq)]
pub struct PullProgress {
    /// From 0 to 1, over the layers known so far; never falls.
    pub fraction: f64,
    /// In words, e.g. `Downloading 2 of 5 layers`.
    pub message: String,
}

/// Disk in use, bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// In all.
    pub total: u64,
    /// Of each volume.
    pub volumes: HashMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawDiskUsage {
    #[serde(default)]
    layers_size: i64,
    #[serde(default, deserialize_with = "or_default")]
    containers: Vec<RawContainerSize>,
    #[serde(default, deserialize_with = "or_default")]
    volumes: Vec<RawVolumeSize>,
    #[serde(default, deserialize_with = "or_default")]
    build_cache: Vec<RawCacheSize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawContainerSize {
    #[serde(default)]
    size_rw: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawVolumeSize {
    name: String,
    usage_data: Option<RawUsageData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawUsageData {
    size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawCacheSize {
    #[serde(default)]
    size: i64,
    #[serde(default)]
    shared: bool,
}

impl From<RawDiskUsage> for DiskUsage {
    fn from(raw: RawDiskUsage) -> Self {
        let volumes: HashMap<String, u64> = raw
            .volumes
            .into_iter()
            .filter_map(|volume| {
                // -1 means that the driver does not know.
                let size = u64::try_from(volume.usage_data?.size).ok()?;
                Some((volume.name, size))
            })
            .collect();
        let containers: u64 = raw.containers.iter().map(|c| positive(Some(c.size_rw))).sum();
        let cache: u64 =
            raw.build_cache.iter().filter(|c| !c.shared).map(|c| positive(Some(c.size))).sum();
        let total =
            positive(Some(raw.layers_size)) + containers + cache + volumes.values().sum::<u64>();
        Self { total, volumes }
    }
}

/// Calls back with each element of a JSON array as it is parsed.
struct Each<F>(F);

impl<'de, F: FnMut(ContainerSummary)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(container) = seq.next_element()? {
            (self.0)(container);
        }
        Ok(())
    }
}

impl<'de, F: FnMut(ContainerSummary)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

/// `null` as the default: Go's empty slices and maps.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Ends a call that takes longer than `limit`.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(DockerError::timeout(limit)),
    }
}

fn grace_seconds(grace: Option<Duration>) -> (Option<i32>, Duration) {
    match grace {
        Some(grace) => {
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            (Some(seconds), grace.saturating_add(PLAIN))
        }
        // The container's own grace period may be long.
        None => (None, Duration::from_secs(15 * 60)),
    }
}

fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn positive(number: Option<i64>) -> u64 {
    number.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

/// Lets only ids and names of the engine's own alphabet into a path.
fn checked(name: &str) -> Result<&str> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if fits {
        Ok(name)
    } else {
        Err(DockerError::new(
            ErrorKind::NotFound,
            format!("`{name}` is no id or name of Docker's."),
        ))
    }
}

/// Whether a text can be an image reference.
///
/// # Errors
/// [`ErrorKind::ImageNotFound`] with an example of a right one.
pub fn check_image(reference: &str) -> Result<()> {
    checked_image(reference).map(drop)
}

/// The registry that an image reference names, as credentials are stored for it: `docker.io` when
/// it names none.
pub fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        // A first part without dot, colon or the name localhost is a user of Docker Hub.
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// Lets only image references into a path.
fn checked_image(reference: &str) -> Result<&str> {
    let fits = reference.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && reference.len() <= 512
        && !reference.contains("..")
        && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/:@[]".contains(&b));
    if fits {
        Ok(reference)
    } else {
        Err(DockerError::new(
            ErrorKind::ImageNotFound,
            format!(
                "`{reference}` is not an image reference, e.g. `registry.example.com/team/app:1.2`."
            ),
        ))
    }
}

fn encode_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

fn empty() -> Body {
    bollard::body_full(Bytes::new())
}

async fn read_bytes(answer: Response<Incoming>) -> Result<Bytes> {
    let body = answer.into_body().collect().await;
    Ok(body.map_err(|error| DockerError::from_chain(&error))?.to_bytes())
}

async fn read_json<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T> {
    serde_json::from_slice(&read_bytes(answer).await?).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> DockerError {
    DockerError::new(
        ErrorKind::EngineError,
        format!("The engine's answer could not be read: {error}. Is it a Docker Engine?"),
    )
}

fn tar_of(files: &[ContainerFile]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(file.mode);
        header.set_uid(file.uid);
        header.set_gid(file.gid);
        header.set_size(file.content.len() as u64);
        archive.append_data(&mut header, file.path.trim_start_matches('/'), &file.content[..])?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_only_names() {
        assert!(checked("web_1.a-b").is_ok());
        for bad in ["", "../x", "a/b", "a?x=1", "a b", "-a", "ä"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert!(checked_image("localhost:5000/team/app@sha256:00").is_ok());
        for bad in ["", "../x", "a/../b", "a?x=1", "a b"] {
            assert!(checked_image(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn registries_of_images() {
        assert_eq!(registry_of("nginx"), "docker.io");
        assert_eq!(registry_of("team/app:1"), "docker.io");
        assert_eq!(registry_of("localhost/app"), "localhost");
        assert_eq!(registry_of("localhost:5000/team/app:1"), "localhost:5000");
        assert_eq!(registry_of("registry.example.com/app"), "registry.example.com");
    }

    #[test]
    fn filters_are_encoded() {
        let text = Filter::label("io.drover.stack=1").query(&[("all", "1")]);
        assert_eq!(text, "all=1&filters=%7B%22label%22%3A%5B%22io.drover.stack%3D1%22%5D%7D");
    }

    #[test]
    fn a_list_is_read_one_by_one_and_nulls_are_empty() {
        let json = br#"[{"Id":"a","Names":["/x"],"Image":"i","ImageID":"sha256:1","Created":5,
            "State":"running","Status":"Up","Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],
            "Labels":null,"Mounts":[{"Type":"volume","Name":"v","Source":"","RW":true}],
            "NetworkSettings":{"Networks":{"bridge":{"IPAddress":"1"}}}},
            {"Id":"b","Names":null}]"#;
        let mut found = Vec::new();
        serde_json::Deserializer::from_slice(json)
            .deserialize_seq(Each(|c: ContainerSummary| found.push(c)))
            .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].ports[0].public_port, Some(8080));
        assert_eq!(found[0].mounts[0].name, "v");
        assert!(found[0].network_settings.networks.contains_key("bridge"));
        assert!(found[1].names.is_empty());
    }

    #[test]
    fn disk_usage_adds_up() {
        let raw: RawDiskUsage = serde_json::from_str(
            r#"{"LayersSize":100,"Containers":[{"SizeRw":5},{}],"Volumes":[
                {"Name":"a","UsageData":{"Size":7,"RefCount":1}},{"Name":"b","UsageData":{"Size":-1,"RefCount":-1}},{"Name":"c"}],
                "BuildCache":[{"Size":3,"Shared":false},{"Size":9,"Shared":true}]}"#,
        )
        .unwrap();
        let usage = DiskUsage::from(raw);
        assert_eq!(usage.total, 115);
        assert_eq!(usage.volumes, HashMap::from([("a".to_owned(), 7)]));
    }

    #[test]
    fn files_become_a_tar() {
        let file = ContainerFile {
            path: "/run/secrets/key".into(),
            mode: 0o400,
            uid: 1,
            gid: 2,
            content: b"x".to_vec(),
        };
        let bytes = tar_of(&[file]).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("run/secrets/key"));
        assert_eq!(entry.header().mode().unwrap(), 0o400);
    }
}
