//! The engine's Swarm API: the swarm itself, its nodes, services, tasks, secrets and configs.
//!
//! What is read comes as small types of our own, since a swarm of thousands of tasks is read again
//! and again. What is changed is changed in the engine's own JSON, so that nothing is lost of what
//! this code does not know: a service is read, one value in it is set, and it is written back.
//! Each write names the version that it was made from; [`DockerError::is_out_of_sequence`] tells
//! that somebody else was quicker.
//!
//! | what | calls |
//! | --- | --- |
//! | this engine's part in a swarm | [`Docker::local_swarm`], [`Docker::init_swarm`], [`Docker::join_swarm`], [`Docker::leave_swarm`], [`Docker::unlock_swarm`] |
//! | the swarm (managers only, as all below) | [`Docker::swarm`], [`Docker::update_swarm`], [`Docker::unlock_key`], [`Docker::swarm_events`] |
//! | nodes | [`Docker::list_nodes`], [`Docker::find_node`], [`Docker::change_node`], [`Docker::remove_node`] |
//! | services | [`Docker::list_services`], [`Docker::find_service`], [`Docker::create_service`], [`Docker::update_service`], [`Docker::remove_service`], [`Docker::service_logs`] |
//! | tasks | [`Docker::list_tasks`], [`Docker::find_task`], [`Docker::task_logs`] |
//! | secrets, configs | [`Docker::list_blobs`], [`Docker::find_blob`], [`Docker::create_blob`], [`Docker::remove_blob`] |

use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, stream::BoxStream};
use hyper::{Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Docker, DockerError, ErrorKind, PLAIN, RegistryAuth, Result, SLOW, checked, checked_image,
    empty, encode_query, optional, or_default, read_json,
    stream::{self, EngineEvent, LogFrame, LogOptions},
    unreadable, within,
};

/// Joining waits for a manager's answer, and for the first snapshot of what it knows.
const JOIN: Duration = Duration::from_secs(60);
/// A change is tried again when somebody else has written in between; true for the last try.
const TRIES: [bool; 5] = [false, false, false, false, true];

impl Docker {
    // This engine's part in a swarm

    /// What the engine says of its own part in a swarm. Works on every engine; a manager without
    /// quorum says so in [`LocalSwarm::error`].
    pub async fn local_swarm(&self) -> Result<LocalSwarm> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            #[serde(default, deserialize_with = "or_default")]
            swarm: LocalSwarm,
        }
        // Longer than the twenty seconds for which a manager waits for a leader.
        let info = within(PLAIN, async { read_json::<Info>(self.get("/info").await?).await });
        Ok(info.await?.swarm)
    }

    /// Makes a swarm of this engine alone, its first manager, and answers its node id. With
    /// `force_new_cluster`, of what this manager knows of a swarm that has lost its others.
    ///
    /// # Errors
    /// [`ErrorKind::InSwarm`] when it is in one already.
    pub async fn init_swarm(&self, init: &InitSwarm) -> Result<String> {
        let body = json!({
            "ListenAddr": init.listen_address.as_deref().unwrap_or("0.0.0.0:2377"),
            "AdvertiseAddr": init.advertise_address.as_deref().unwrap_or_default(),
            "DataPathAddr": init.data_path_address.as_deref().unwrap_or_default(),
            "DataPathPort": init.data_path_port.unwrap_or_default(),
            "DefaultAddrPool": init.address_pools,
            "SubnetSize": init.subnet_size.unwrap_or_default(),
            "ForceNewCluster": init.force_new_cluster,
            "AutoLockManagers": init.autolock,
            "Availability": "",
            "Spec": { "EncryptionConfig": { "AutoLockManagers": init.autolock } },
        });
        within(JOIN, async {
            read_json(self.send_json(Method::POST, "/swarm/init", &body, None).await?).await
        })
        .await
    }

    /// Joins a swarm, as what the token is for.
    ///
    /// # Errors
    /// [`ErrorKind::InSwarm`] when it is in one already.
    pub async fn join_swarm(&self, join: &JoinSwarm) -> Result<()> {
        let body = json!({
            "ListenAddr": join.listen_address.as_deref().unwrap_or("0.0.0.0:2377"),
            "AdvertiseAddr": join.advertise_address.as_deref().unwrap_or_default(),
            "DataPathAddr": join.data_path_address.as_deref().unwrap_or_default(),
            "RemoteAddrs": join.managers,
            "JoinToken": join.token.expose_secret(),
            "Availability": "",
        });
        match within(JOIN, self.send_json(Method::POST, "/swarm/join", &body, None)).await {
            // The engine goes on joining by itself: its part will tell.
            Err(error) if error.message().contains("continue in the background") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Leaves its swarm; fine when it is in none. A manager does so only with `force`, or after it
    /// was made a worker.
    pub async fn leave_swarm(&self, force: bool) -> Result<()> {
        let path = format!("/swarm/leave?force={force}");
        match within(SLOW, self.send(Method::POST, &path, empty(), &[])).await {
            Err(error) if error.kind() == ErrorKind::NotInSwarm => Ok(()),
            other => other.map(drop),
        }
    }

    /// Unlocks a manager that was started anew in a swarm that locks its managers.
    pub async fn unlock_swarm(&self, key: &SecretString) -> Result<()> {
        let body = json!({ "UnlockKey": key.expose_secret() });
        within(PLAIN, self.send_json(Method::POST, "/swarm/unlock", &body, None)).await.map(drop)
    }

    // The swarm

    /// The swarm, with its join tokens.
    ///
    /// # Errors
    /// [`ErrorKind::NotManager`], [`ErrorKind::NotInSwarm`], [`ErrorKind::SwarmLocked`],
    /// [`ErrorKind::NoQuorum`]; so for all calls below.
    pub async fn swarm(&self) -> Result<SwarmObject> {
        within(PLAIN, async { read_json(self.get("/swarm").await?).await }).await
    }

    /// Changes the swarm's settings by `change` of its spec, or rotates its tokens or key.
    pub async fn update_swarm(
        &self,
        rotate: Rotate,
        change: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<()> {
        for last in TRIES {
            let mut swarm = self.swarm().await?;
            change(&mut swarm.spec);
            let path = format!(
                "/swarm/update?version={}&rotateWorkerToken={}&rotateManagerToken={}&rotateManagerUnlockKey={}",
                swarm.version.index, rotate.worker_token, rotate.manager_token, rotate.unlock_key
            );
            let sent = self.send_json(Method::POST, &path, &swarm.spec, None);
            match within(PLAIN, sent).await {
                Err(error) if error.is_out_of_sequence() && !last => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    /// The key that unlocks managers; `None` when they are not locked.
    pub async fn unlock_key(&self) -> Result<Option<SecretString>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Key {
            #[serde(default)]
            unlock_key: String,
        }
        let key =
            within(PLAIN, async { read_json::<Key>(self.get("/swarm/unlockkey").await?).await });
        Ok(Some(key.await?.unlock_key).filter(|key| !key.is_empty()).map(Into::into))
    }

    /// Follows the swarm's events: services, nodes, secrets, configs and networks.
    pub async fn swarm_events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let filters = json!({
            "scope": ["swarm"],
            "type": ["service", "node", "secret", "config", "network"],
        });
        let query = encode_query([("filters", filters.to_string().as_str())]);
        let answer = within(PLAIN, self.get(&format!("/events?{query}"))).await?;
        Ok(stream::json_lines(answer).boxed())
    }

    // Nodes

    /// All nodes.
    pub async fn list_nodes(&self) -> Result<Vec<Node>> {
        self.read("/nodes").await
    }

    /// A node by id, name or `self`; `None` when there is none.
    pub async fn find_node(&self, id: &str) -> Result<Option<Node>> {
        optional(self.read(&format!("/nodes/{}", checked(id)?)).await)
    }

    /// Changes a node's spec (`Role`, `Availability`, `Labels`).
    pub async fn change_node(
        &self,
        id: &str,
        change: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<()> {
        let id = checked(id)?;
        for last in TRIES {
            let mut node: Versioned = self.read(&format!("/nodes/{id}")).await?;
            change(&mut node.spec);
            let path = format!("/nodes/{id}/update?version={}", node.version.index);
            match within(PLAIN, self.send_json(Method::POST, &path, &node.spec, None)).await {
                Err(error) if error.is_out_of_sequence() && !last => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    /// Forgets a node that is down; with `force` one that is up or a manager too.
    pub async fn remove_node(&self, id: &str, force: bool) -> Result<()> {
        let path = format!("/nodes/{}?force={force}", checked(id)?);
        within(PLAIN, self.send(Method::DELETE, &path, empty(), &[])).await.map(drop)
    }

    // Services

    /// Services with all of these labels (`KEY` or `KEY=VALUE`), with how many tasks they run.
    pub async fn list_services(&self, labels: &[String]) -> Result<Vec<Service>> {
        let filters = filters("label", labels);
        // `status` came with 20.10; it saves a look at all tasks.
        let query = encode_query([("status", "true"), ("filters", filters.as_str())]);
        self.read(&format!("/services?{query}")).await
    }

    /// A service by id or name; `None` when there is none.
    pub async fn find_service(&self, id: &str) -> Result<Option<Service>> {
        optional(self.read(&format!("/services/{}", checked(id)?)).await)
    }

    /// Makes a service and answers its id. `auth` goes to the nodes that pull its image.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the name is taken.
    pub async fn create_service(
        &self,
        spec: &Value,
        auth: Option<&RegistryAuth>,
    ) -> Result<CreatedService> {
        within(SLOW, async {
            read_json(self.send_json(Method::POST, "/services/create", spec, auth).await?).await
        })
        .await
    }

    /// Writes a service's spec, in the engine's own JSON.
    ///
    /// # Errors
    /// See [`DockerError::is_out_of_sequence`].
    pub async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: &Value,
        auth: Option<&RegistryAuth>,
    ) -> Result<()> {
        // Without credentials of its own an update keeps those that the service has.
        let from = if auth.is_some() { "" } else { "&registryAuthFrom=spec" };
        let path = format!("/services/{}/update?version={version}{from}", checked(id)?);
        within(SLOW, self.send_json(Method::POST, &path, spec, auth)).await.map(drop)
    }

    /// Changes a service's spec as it is in the engine; answers what `change` made of it.
    pub async fn change_service(
        &self,
        id: &str,
        auth: Option<&RegistryAuth>,
        change: impl Fn(&mut Value) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let path = format!("/services/{}", checked(id)?);
        for last in TRIES {
            let mut service: Versioned = self.read(&path).await?;
            change(&mut service.spec)?;
            match self.update_service(id, service.version.index, &service.spec, auth).await {
                Err(error) if error.is_out_of_sequence() && !last => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Takes a service back to the spec that it had before its last update.
    pub async fn rollback_service(&self, id: &str) -> Result<()> {
        let id = checked(id)?;
        for last in TRIES {
            let service: Versioned = self.read(&format!("/services/{id}")).await?;
            let path = format!(
                "/services/{id}/update?version={}&rollback=previous&registryAuthFrom=previous-spec",
                service.version.index
            );
            // The engine reads a spec from the body all the same.
            let sent = self.send_json(Method::POST, &path, &service.spec, None);
            match within(SLOW, sent).await {
                Err(error) if error.is_out_of_sequence() && !last => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    /// Removes a service and its tasks; fine when it is gone.
    pub async fn remove_service(&self, id: &str) -> Result<()> {
        let path = format!("/services/{}", checked(id)?);
        let sent = within(PLAIN, self.send(Method::DELETE, &path, empty(), &[])).await;
        optional(sent).map(drop)
    }

    /// The logs of all of a service's tasks, each message begun by its time stamp, the task's
    /// [`LogSource`] and a space.
    pub async fn service_logs(
        &self,
        id: &str,
        tty: bool,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogFrame>>> {
        stream::log_frames(self, &format!("/services/{}/logs", checked(id)?), tty, true, options)
            .await
    }

    /// The digest that a registry has for an image now, `sha256:…`; the engine asks it.
    ///
    /// # Errors
    /// [`ErrorKind::ImageNotFound`], [`ErrorKind::RegistryDenied`],
    /// [`ErrorKind::RegistryUnreachable`].
    pub async fn image_digest(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
    ) -> Result<String> {
        #[derive(Deserialize)]
        struct Distribution {
            #[serde(rename = "Descriptor")]
            descriptor: Descriptor,
        }
        #[derive(Deserialize)]
        struct Descriptor {
            digest: String,
        }
        let path = format!("/distribution/{}/json", checked_image(reference)?);
        let auth = auth.map(stream::registry_header);
        let headers: Vec<_> =
            auth.iter().map(|auth| (stream::REGISTRY_AUTH, auth.as_str())).collect();
        let found: Distribution = within(PLAIN, async {
            read_json(self.send(Method::GET, &path, empty(), &headers).await?).await
        })
        .await?;
        Ok(found.descriptor.digest)
    }

    // Tasks

    /// Tasks that match; `filter` is one of the API's (`service`, `node`, `label`), empty for all.
    pub async fn list_tasks(&self, filter: &str, values: &[String]) -> Result<Vec<Task>> {
        let filters = filters(filter, values);
        let query = encode_query([("filters", filters.as_str())]);
        let tasks =
            within(SLOW, async { read_json(self.get(&format!("/tasks?{query}")).await?).await });
        tasks.await
    }

    /// A task by id; `None` when there is none (any more).
    pub async fn find_task(&self, id: &str) -> Result<Option<Task>> {
        optional(self.read(&format!("/tasks/{}", checked(id)?)).await)
    }

    /// A task's log, as [`Docker::service_logs`].
    pub async fn task_logs(
        &self,
        id: &str,
        tty: bool,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogFrame>>> {
        stream::log_frames(self, &format!("/tasks/{}/logs", checked(id)?), tty, true, options).await
    }

    // Secrets and configs

    /// All secrets or configs with these labels; of secrets the engine never tells the content.
    pub async fn list_blobs(&self, kind: BlobKind, labels: &[String]) -> Result<Vec<Blob>> {
        let filters = filters("label", labels);
        let query = encode_query([("filters", filters.as_str())]);
        self.read(&format!("{}?{query}", kind.path())).await
    }

    /// A secret or config by id or name; `None` when there is none.
    pub async fn find_blob(&self, kind: BlobKind, id: &str) -> Result<Option<Blob>> {
        optional(self.read(&format!("{}/{}", kind.path(), checked(id)?)).await)
    }

    /// Makes a secret or config and answers its id. Its content can never be changed.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the name is taken.
    pub async fn create_blob(
        &self,
        kind: BlobKind,
        name: &str,
        labels: &HashMap<String, String>,
        content: &[u8],
    ) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            #[serde(alias = "ID")]
            id: String,
        }
        let path = format!("{}/create", kind.path());
        let body = json!({ "Name": name, "Labels": labels, "Data": STANDARD.encode(content) });
        let created = within(PLAIN, async {
            read_json::<Created>(self.send_json(Method::POST, &path, &body, None).await?).await
        });
        Ok(created.await?.id)
    }

    /// Removes a secret or config; fine when it is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while a service uses it.
    pub async fn remove_blob(&self, kind: BlobKind, id: &str) -> Result<()> {
        let path = format!("{}/{}", kind.path(), checked(id)?);
        match within(PLAIN, self.send(Method::DELETE, &path, empty(), &[])).await {
            // The engine answers 400 for one that is in use.
            Err(error)
                if error.kind() == ErrorKind::Refused && error.message().contains("in use by") =>
            {
                Err(DockerError::new(ErrorKind::Conflict, error.message()))
            }
            other => optional(other).map(drop),
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        within(PLAIN, async { read_json(self.get(path).await?).await }).await
    }

    async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        auth: Option<&RegistryAuth>,
    ) -> Result<hyper::Response<hyper::body::Incoming>> {
        let body = serde_json::to_vec(body).map_err(unreadable)?;
        let auth = auth.map(stream::registry_header);
        let mut headers = vec![(header::CONTENT_TYPE, "application/json")];
        if let Some(auth) = &auth {
            headers.push((stream::REGISTRY_AUTH, auth.as_str()));
        }
        self.send(method, path, bollard::body_full(body.into()), &headers).await
    }
}

fn filters(name: &str, values: &[String]) -> String {
    if name.is_empty() || values.is_empty() {
        return "{}".into();
    }
    json!({ name: values }).to_string()
}

/// How to make a swarm.
#[derive(Debug, Clone, Default)]
pub struct InitSwarm {
    /// Where the manager listens, default `0.0.0.0:2377`.
    pub listen_address: Option<String>,
    /// Where the other nodes reach it, an address or a network interface, with or without a port.
    /// Default: the engine's own guess, which fails on machines with several addresses.
    pub advertise_address: Option<String>,
    /// Where the containers' traffic goes; default: the advertised one.
    pub data_path_address: Option<String>,
    /// VXLAN's UDP port, default 4789.
    pub data_path_port: Option<u16>,
    /// Networks that overlay networks are cut from, e.g. `10.20.0.0/16`.
    pub address_pools: Vec<String>,
    /// The prefix length of each overlay network cut from them, default 24.
    pub subnet_size: Option<u8>,
    /// Make a new swarm of one manager from what this node knows of its old one.
    pub force_new_cluster: bool,
    /// Lock managers that start anew.
    pub autolock: bool,
}

/// How to join a swarm.
#[derive(Debug, Clone)]
pub struct JoinSwarm {
    /// Where a manager listens, default `0.0.0.0:2377`.
    pub listen_address: Option<String>,
    /// See [`InitSwarm::advertise_address`].
    pub advertise_address: Option<String>,
    /// See [`InitSwarm::data_path_address`].
    pub data_path_address: Option<String>,
    /// `ADDRESS:PORT` of managers.
    pub managers: Vec<String>,
    /// Lets it in, as worker or manager.
    pub token: SecretString,
}

/// What to make anew with an update of the swarm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotate {
    /// The token for workers.
    pub worker_token: bool,
    /// The token for managers.
    pub manager_token: bool,
    /// The key that unlocks managers.
    pub unlock_key: bool,
}

/// An engine's part in a swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LocalSwarm {
    /// Empty when it is in none.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Where the others reach it.
    pub node_addr: String,
    /// Where it stands.
    pub local_node_state: LocalState,
    /// It is a manager.
    pub control_available: bool,
    /// What is wrong, e.g. that there is no leader.
    pub error: String,
    /// The managers that it knows.
    #[serde(deserialize_with = "or_default")]
    pub remote_managers: Vec<Peer>,
    /// How many nodes there are; managers know it.
    pub nodes: u32,
    /// How many of them are managers.
    pub managers: u32,
    /// The swarm; managers know it.
    pub cluster: Option<Cluster>,
}

/// A manager of a swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Peer {
    /// Its node id.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// `ADDRESS:PORT`
    pub addr: String,
}

/// What managers know of their swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cluster {
    /// The swarm's id.
    #[serde(rename = "ID")]
    pub id: String,
}

/// Where an engine stands in a swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalState {
    /// In none.
    #[default]
    #[serde(alias = "")]
    Inactive,
    /// It joins.
    Pending,
    /// It is in one.
    Active,
    /// It cannot take part; [`LocalSwarm::error`] says why.
    Error,
    /// A manager that was started anew and must be unlocked.
    Locked,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A swarm.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwarmObject {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Grows with each change.
    pub version: Version,
    /// Its settings.
    pub spec: Value,
    /// A new certificate authority is being spread.
    #[serde(default)]
    pub root_rotation_in_progress: bool,
    /// VXLAN's UDP port.
    #[serde(default)]
    pub data_path_port: u16,
    /// What overlay networks are cut from.
    #[serde(default, deserialize_with = "or_default")]
    pub default_addr_pool: Vec<String>,
    /// What lets engines in.
    pub join_tokens: JoinTokens,
}

/// What lets engines into a swarm.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinTokens {
    /// As workers.
    pub worker: SecretString,
    /// As managers.
    pub manager: SecretString,
}

/// The version of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// A number that writes must name.
    pub index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioned {
    version: Version,
    spec: Value,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API, see SwarmNode of the wire types")]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Version,
    pub created_at: String,
    pub spec: NodeSpec,
    #[serde(deserialize_with = "or_default")]
    pub description: NodeDescription,
    pub status: NodeStatus,
    pub manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct NodeSpec {
    #[serde(deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
    /// `worker` or `manager`
    pub role: String,
    /// `active`, `pause` or `drain`
    pub availability: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct NodeDescription {
    pub hostname: String,
    pub platform: Platform,
    pub resources: NodeResources,
    pub engine: NodeEngine,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct Platform {
    pub architecture: String,
    #[serde(rename = "OS")]
    pub os: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct NodeResources {
    #[serde(rename = "NanoCPUs")]
    pub nano_cpus: i64,
    pub memory_bytes: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct NodeEngine {
    pub engine_version: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct NodeStatus {
    /// `ready`, `down`, `disconnected` or `unknown`
    pub state: String,
    pub message: String,
    pub addr: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct ManagerStatus {
    pub leader: bool,
    /// `reachable`, `unreachable` or `unknown`
    pub reachability: String,
    pub addr: String,
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Version,
    pub created_at: String,
    pub updated_at: String,
    /// The engine's own JSON.
    pub spec: Value,
    pub previous_spec: Option<Value>,
    #[serde(deserialize_with = "or_default")]
    pub endpoint: Endpoint,
    pub update_status: Option<UpdateStatus>,
    pub service_status: Option<ServiceStatus>,
    pub job_status: Option<JobStatus>,
}

impl Service {
    /// Its name.
    pub fn name(&self) -> &str {
        self.spec["Name"].as_str().unwrap_or_default()
    }

    /// A label of the service, not of its containers.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.spec["Labels"][key].as_str()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct Endpoint {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
    #[serde(rename = "VirtualIPs", deserialize_with = "or_default")]
    pub virtual_ips: Vec<VirtualIp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct EndpointPort {
    pub protocol: String,
    pub target_port: u16,
    pub published_port: u16,
    /// `ingress` or `host`
    pub publish_mode: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct VirtualIp {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    pub addr: String,
}

/// How a service's update goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct UpdateStatus {
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused` or
    /// `rollback_completed`
    pub state: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct ServiceStatus {
    pub running_tasks: u64,
    pub desired_tasks: u64,
    pub completed_tasks: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct JobStatus {
    pub job_iteration: Version,
}

/// A service that was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedService {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
}

/// A task: one try at one instance of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct Task {
    #[serde(rename = "ID")]
    pub id: String,
    pub created_at: String,
    pub updated_at: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Which instance of a replicated service, from 1.
    pub slot: u64,
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Which run of a job.
    pub job_iteration: Option<Version>,
    /// See [`Task::status`]; `running`, `complete`, `shutdown` or `remove`.
    pub desired_state: String,
    pub status: TaskStatus,
    pub spec: TaskSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct TaskStatus {
    pub timestamp: String,
    /// `new`, `allocated`, `pending`, `assigned`, `accepted`, `preparing`, `ready`, `starting`,
    /// `running`, `complete`, `shutdown`, `failed`, `rejected`, `remove` or `orphaned`
    pub state: String,
    pub message: String,
    pub err: String,
    #[serde(deserialize_with = "or_default")]
    pub container_status: ContainerStatus,
    #[serde(deserialize_with = "or_default")]
    pub port_status: PortStatus,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    pub exit_code: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct PortStatus {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct TaskSpec {
    #[serde(deserialize_with = "or_default")]
    pub container_spec: TaskContainerSpec,
    pub force_update: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct TaskContainerSpec {
    pub image: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
}

/// Secrets and configs are alike but for who may read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BlobKind {
    Secret,
    Config,
}

impl BlobKind {
    fn path(self) -> &'static str {
        match self {
            Self::Secret => "/secrets",
            Self::Config => "/configs",
        }
    }
}

/// A secret or config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct Blob {
    #[serde(rename = "ID")]
    pub id: String,
    pub created_at: String,
    pub updated_at: String,
    pub spec: BlobSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the fields of the engine's API")]
pub struct BlobSpec {
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: HashMap<String, String>,
    /// Base64; only of configs.
    #[serde(deserialize_with = "or_default")]
    pub data: String,
}

/// Who wrote a line of a service's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSource {
    /// The task.
    pub task_id: String,
    /// The node that it runs on.
    pub node_id: String,
}

impl LogSource {
    /// Takes the source from the beginning of a line, which tells it as `KEY=VALUE,… TEXT` (the
    /// engine's `details`, URL-encoded).
    pub fn split(line: &str) -> (Option<Self>, &str) {
        let Some((details, text)) = line.split_once(' ') else { return (None, line) };
        let mut source = Self::default();
        for (key, value) in details.split(',').filter_map(|pair| pair.split_once('=')) {
            match key {
                "com.docker.swarm.task.id" => source.task_id = value.to_owned(),
                "com.docker.swarm.node.id" => source.node_id = value.to_owned(),
                _ => {}
            }
        }
        if source.task_id.is_empty() { (None, line) } else { (Some(source), text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_in_no_swarm_says_so() {
        let json = r#"{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive",
            "ControlAvailable":false,"Error":"","RemoteManagers":null}"#;
        let swarm: LocalSwarm = serde_json::from_str(json).unwrap();
        assert_eq!(swarm, LocalSwarm::default());
        let odd: LocalSwarm = serde_json::from_str(r#"{"LocalNodeState":"odd"}"#).unwrap();
        assert_eq!(odd.local_node_state, LocalState::Other);
    }

    #[test]
    fn tasks_are_read_with_what_is_missing() {
        let json = r#"{"ID":"t1","Version":{"Index":7},"ServiceID":"s1","Slot":2,"NodeID":"n1",
            "Spec":{"ContainerSpec":{"Image":"app:1","Labels":null},"ForceUpdate":0},
            "Status":{"State":"failed","Err":"task: non-zero exit (1)",
                "ContainerStatus":{"ContainerID":"c1","PID":0,"ExitCode":1},"PortStatus":{}},
            "DesiredState":"shutdown"}"#;
        let task: Task = serde_json::from_str(json).unwrap();
        assert_eq!((task.slot, task.status.container_status.exit_code), (2, 1));
        assert_eq!(task.spec.container_spec.image, "app:1");
        let waiting = r#"{"ID":"t2","Status":{"State":"pending"},"Spec":{}}"#;
        let task: Task = serde_json::from_str(waiting).unwrap();
        assert_eq!(task.status.container_status.container_id, "");
    }

    #[test]
    fn the_source_of_a_line_is_found() {
        let line = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1 GET / a=b";
        let (source, text) = LogSource::split(line);
        assert_eq!(source.map(|s| (s.task_id, s.node_id)), Some(("t1".into(), "n1".into())));
        assert_eq!(text, "GET / a=b");
        assert_eq!(LogSource::split("a=b plain"), (None, "a=b plain"));
        assert_eq!(LogSource::split("plain"), (None, "plain"));
    }
}
