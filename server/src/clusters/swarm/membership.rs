//! Makes swarms, and has hosts join and leave them: the work of the operations on a swarm. Each
//! looks at what is there before each step, so that a server that was killed goes on where it was.

use std::{sync::Arc, time::Duration};

use drover_api::{CreateSwarm, HostMode, NewNode, NodeRole, OperationError, OperationKind, Topic};
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    keys::{self, Keys},
    live::Live,
    store,
    view::role,
};
use crate::{
    app::App,
    error::{Error, Result},
    hosts::driver::{
        Docker, DockerError,
        swarm::{InitSwarm, JoinSwarm, LocalState, LocalSwarm, Node},
    },
    operations::{self, OpenOperation},
};

/// Without word, look for work after this long.
const LOOK: Duration = Duration::from_secs(3);
/// Between two looks at whether a step has worked.
const STEP: Duration = Duration::from_millis(500);
/// How long a host may take to be reached, or a node to become ready.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a node that leaves may take to get empty.
const DRAIN: Duration = Duration::from_secs(180);

/// The label of nodes that are drained because their host is.
pub(super) const DRAINED: &str = "io.drover.drained";

/// The input of an operation that has hosts join.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Joining {
    pub managers: Vec<NewNode>,
    pub workers: Vec<NewNode>,
}

/// The input of an operation that has a node leave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Leaving {
    pub node_id: String,
    pub force: bool,
}

/// The input of an operation that makes a new swarm of what one manager knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Forcing {
    pub host_id: Uuid,
    pub advertise_address: Option<String>,
}

/// Why work has ended before its end.
enum Stop {
    /// It cannot be done.
    Failed(OperationError),
    /// It was cancelled, or something newer is wanted.
    Cancelled,
    /// The database, or a thing that may pass: try again.
    Again(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if error.status().is_server_error() {
            return Self::Again(error);
        }
        Self::Failed(OperationError {
            code: error.code().into(),
            message: error.detail().into(),
            service: None,
            host: None,
        })
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Again(error.into())
    }
}

type Step<T> = std::result::Result<T, Stop>;

fn failed(code: &str, message: impl Into<String>) -> Stop {
    Stop::Failed(OperationError {
        code: code.into(),
        message: message.into(),
        service: None,
        host: None,
    })
}

/// Looks after the swarm of an environment.
pub(super) async fn run(app: App, environment: Uuid, waker: Arc<Notify>) {
    loop {
        if let Err(error) = pass(&app, environment).await {
            tracing::warn!(%environment, %error, "cannot look after a swarm; trying again");
        }
        if let Err(error) = follow_modes(&app, environment).await {
            tracing::debug!(%environment, %error, "cannot drain a swarm's node yet");
        }
        tokio::select! {
            () = waker.notified() => {}
            () = sleep(LOOK) => {}
        }
    }
}

async fn pass(app: &App, environment: Uuid) -> Result<()> {
    let live = app.swarms.live(environment);
    let Some(open) = operations::open_for(&app.db, environment).await? else {
        live.set_busy(false);
        return Ok(());
    };
    let work = Work { app, environment, live: &live, open: &open };
    live.set_busy(true);
    let ended = match open.kind {
        OperationKind::CreateSwarm => work.create().await,
        OperationKind::JoinSwarm => work.join().await,
        OperationKind::LeaveSwarm => work.leave().await,
        OperationKind::RemoveSwarm => work.dissolve().await,
        OperationKind::ForceNewCluster => work.force_new_cluster().await,
        // Of the environment itself.
        _ => {
            live.set_busy(false);
            return Ok(());
        }
    };
    live.set_busy(false);
    live.ask.notify_one();
    live.poke.notify_one();
    match ended {
        Ok(()) => {
            operations::finish(app, open.id, None).await?;
        }
        Err(Stop::Failed(error)) => {
            operations::finish(app, open.id, Some(error)).await?;
        }
        Err(Stop::Cancelled) => {}
        Err(Stop::Again(error)) => {
            operations::progress(app, open.id, 0.0, error.detail()).await?;
        }
    }
    app.events.updated(Topic::Swarm, Some(environment), environment).await;
    Ok(())
}

/// A host that is to be drained is a node that is drained; and back again, unless a person has
/// drained the node as such.
async fn follow_modes(app: &App, environment: Uuid) -> Result<()> {
    let live = app.swarms.live(environment);
    let Ok(docker) = live.docker() else { return Ok(()) };
    let (view, hosts) = (live.view(), live.hosts_by_node());
    for node in view.nodes.iter() {
        let Some((host, _)) = hosts.get(&node.id) else { continue };
        let Some(host) = app.hosts.live(environment, *host) else { continue };
        let drains = host.row().mode == HostMode::Draining;
        if drains == node.spec.labels.contains_key(DRAINED) {
            continue;
        }
        docker
            .change_node(&node.id, |spec| {
                spec["Availability"] = if drains { "drain" } else { "active" }.into();
                if !spec["Labels"].is_object() {
                    spec["Labels"] = serde_json::json!({});
                }
                if let Some(labels) = spec["Labels"].as_object_mut() {
                    if drains {
                        labels.insert(DRAINED.into(), "true".into());
                    } else {
                        labels.remove(DRAINED);
                    }
                }
            })
            .await?;
        live.poke.notify_one();
    }
    Ok(())
}

struct Work<'a> {
    app: &'a App,
    environment: Uuid,
    live: &'a Live,
    open: &'a OpenOperation,
}

impl Work<'_> {
    fn input<T: DeserializeOwned>(&self) -> Step<T> {
        serde_json::from_value(self.open.input.clone()).map_err(|error| {
            failed("invalid_input", format!("What was asked for cannot be read: {error}."))
        })
    }

    async fn progress(&self, fraction: f64, message: &str) -> Step<()> {
        if !operations::is_open(&self.app.db, self.open.id).await? {
            return Err(Stop::Cancelled);
        }
        operations::progress(self.app, self.open.id, fraction, message).await?;
        Ok(())
    }

    async fn log(&self, message: &str) -> Step<()> {
        operations::log(self.app, self.open.id, message).await?;
        Ok(())
    }

    fn host_name(&self, host: Uuid) -> String {
        let live = self.app.hosts.live(self.environment, host);
        live.map_or_else(|| "a host that is gone".to_owned(), |host| host.row().name.clone())
    }

    fn refused(&self, host: Uuid, error: &DockerError) -> Stop {
        Stop::Failed(OperationError {
            code: error.code().into(),
            message: error.message().into(),
            service: None,
            host: Some(self.host_name(host)),
        })
    }

    /// A host's engine and its part; waits for one that is just away.
    async fn engine(&self, host: Uuid, fraction: f64) -> Step<(Docker, LocalSwarm)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = match self.app.hosts.docker(self.environment, host) {
                Ok(docker) => docker.local_swarm().await.map(|local| (docker, local)),
                Err(error) => Err(error),
            };
            match asked {
                Ok(found) => return Ok(found),
                Err(error) if error.is_transient() && Instant::now() < until => {
                    self.progress(fraction, error.message()).await?;
                    sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(self.refused(host, &error)),
            }
        }
    }

    /// Looks again and again until `done` answers something.
    async fn wait<'a, T>(
        &self,
        limit: Duration,
        fraction: f64,
        message: &str,
        done: impl Fn() -> BoxFuture<'a, Step<Option<T>>> + Send + Sync,
    ) -> Step<Option<T>> {
        let until = Instant::now() + limit;
        loop {
            if let Some(found) = done().await? {
                return Ok(Some(found));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.progress(fraction, message).await?;
            sleep(STEP).await;
        }
    }

    /// Makes a swarm of its first manager, and has the others join.
    async fn create(&self) -> Step<()> {
        let input: CreateSwarm = self.input()?;
        let Some(first) = input.managers.first() else {
            return Err(failed("invalid_input", "A swarm needs a manager."));
        };
        let name = self.host_name(first.host_id);
        self.progress(0.0, &format!("{name} begins the swarm.")).await?;
        let (docker, local) = self.engine(first.host_id, 0.0).await?;
        let known = store::get(&self.app.db, self.environment).await?;
        // One that is in a swarm here was begun by this operation before the server was killed.
        if local.local_node_state == LocalState::Inactive {
            let init = InitSwarm {
                advertise_address: first.advertise_address.clone(),
                data_path_address: first.data_path_address.clone(),
                data_path_port: input.data_path_port,
                address_pools: input.address_pools.clone(),
                autolock: input.autolock,
                ..InitSwarm::default()
            };
            docker.init_swarm(&init).await.map_err(|error| self.refused(first.host_id, &error))?;
            self.log(&format!("{name} has begun the swarm.")).await?;
        }
        let swarm = docker.swarm().await.map_err(|error| self.refused(first.host_id, &error))?;
        if known.cluster_id.as_ref().is_some_and(|id| *id != swarm.id) {
            return Err(failed("in_swarm", format!("{name} is in another swarm.")));
        }
        let keys = Keys::read(&docker, &swarm).await?;
        let sealed = keys.seal(self.app)?;
        let id = Some(swarm.id.as_str());
        store::set_cluster(&self.app.db, self.environment, id, Some(&sealed)).await?;
        store::set_defaults(&self.app.db, self.environment, input.defaults).await?;
        self.live.ask.notify_one();
        let others = Joining { managers: input.managers[1..].to_vec(), workers: input.workers };
        self.join_all(&docker, &keys, &others, 0.2).await
    }

    async fn join(&self) -> Step<()> {
        let input: Joining = self.input()?;
        let docker = self.live.docker()?;
        let keys = keys::refresh(self.app, self.environment, &docker).await?;
        self.join_all(&docker, &keys, &input, 0.0).await
    }

    async fn join_all(
        &self,
        docker: &Docker,
        keys: &Keys,
        joining: &Joining,
        from: f64,
    ) -> Step<()> {
        let managers = joining.managers.iter().map(|node| (node, NodeRole::Manager, &keys.manager));
        let workers = joining.workers.iter().map(|node| (node, NodeRole::Worker, &keys.worker));
        let all: Vec<_> = managers.chain(workers).collect();
        for (n, (node, role, token)) in all.iter().enumerate() {
            let fraction = from + (1.0 - from) * n as f64 / all.len() as f64;
            self.join_one(docker, node, *role, token, fraction).await?;
        }
        Ok(())
    }

    async fn join_one(
        &self,
        docker: &Docker,
        new: &NewNode,
        wanted: NodeRole,
        token: &SecretString,
        fraction: f64,
    ) -> Step<()> {
        let name = self.host_name(new.host_id);
        let what = match wanted {
            NodeRole::Manager => "manager",
            NodeRole::Worker => "worker",
        };
        self.progress(fraction, &format!("{name} joins as a {what}.")).await?;
        let (engine, local) = self.engine(new.host_id, fraction).await?;
        let nodes = docker.list_nodes().await.map_err(Error::from)?;
        let node = nodes.iter().find(|node| node.id == local.node_id);
        match (local.local_node_state, node) {
            (LocalState::Active | LocalState::Pending, Some(node)) => {
                // It is in it already.
                if role(node) != wanted {
                    docker.change_node(&node.id, set_role(wanted)).await.map_err(Error::from)?;
                }
            }
            (LocalState::Inactive, _) => {
                self.ask_to_join(&engine, &nodes, new, token).await?;
            }
            (LocalState::Locked, _) => {
                return Err(failed("swarm_locked", format!("{name} is locked. Unlock it first.")));
            }
            (LocalState::Active, None) => {
                let why = format!("{name} is in another swarm. Have it leave that one first.");
                return Err(failed("in_swarm", why));
            }
            // A try that has failed half way.
            (_, _) => {
                engine.leave_swarm(true).await.map_err(|e| self.refused(new.host_id, &e))?;
                self.ask_to_join(&engine, &nodes, new, token).await?;
            }
        }
        let ready = self
            .wait(PATIENCE, fraction, &format!("{name} is getting ready."), || {
                async {
                    let local = engine.local_swarm().await.ok();
                    let Ok(nodes) = docker.list_nodes().await else { return Ok(None) };
                    let ready = local.is_some_and(|local| {
                        local.local_node_state == LocalState::Active
                            && nodes.iter().any(|node| {
                                node.id == local.node_id
                                    && node.status.state == "ready"
                                    && role(node) == wanted
                                    && (wanted == NodeRole::Worker || is_reachable(node))
                            })
                    });
                    Ok(ready.then_some(()))
                }
                .boxed()
            })
            .await?;
        if ready.is_none() {
            let why = format!(
                "{name} has joined, but is not ready. Check that ports 2377/tcp, 7946/tcp and udp, and 4789/udp are open between the hosts, and its advertised address."
            );
            return Err(failed("node_not_ready", why));
        }
        self.live.ask.notify_one();
        self.live.poke.notify_one();
        self.log(&format!("{name} has joined as a {what}.")).await
    }

    async fn ask_to_join(
        &self,
        engine: &Docker,
        nodes: &[Node],
        new: &NewNode,
        token: &SecretString,
    ) -> Step<()> {
        let managers = nodes.iter().filter_map(|node| node.manager_status.as_ref());
        let join = JoinSwarm {
            listen_address: None,
            advertise_address: new.advertise_address.clone(),
            data_path_address: new.data_path_address.clone(),
            managers: managers
                .filter(|manager| manager.reachability == "reachable")
                .map(|manager| manager.addr.clone())
                .collect(),
            token: token.clone(),
        };
        engine.join_swarm(&join).await.map_err(|error| self.refused(new.host_id, &error))
    }

    /// Empties a node, makes a manager a worker, has it leave, and forgets it.
    async fn leave(&self) -> Step<()> {
        let input: Leaving = self.input()?;
        let docker = self.live.docker()?;
        let Some(node) = docker.find_node(&input.node_id).await.map_err(Error::from)? else {
            return Ok(());
        };
        let name = node.description.hostname.clone();
        let hosts = self.live.hosts_by_node();
        let host = hosts.get(&node.id).map(|(id, _)| *id);
        let is_up = node.status.state == "ready";
        if !input.force {
            if is_up {
                self.empty(&docker, &node, &name).await?;
            }
            if role(&node) == NodeRole::Manager {
                self.progress(0.6, &format!("{name} becomes a worker.")).await?;
                docker
                    .change_node(&node.id, set_role(NodeRole::Worker))
                    .await
                    .map_err(Error::from)?;
            }
            // One that was demoted a moment ago believes for a while to be a manager.
            if let Some(host) = host.filter(|_| is_up) {
                self.wait(PATIENCE, 0.7, &format!("{name} becomes a worker."), || {
                    async {
                        let (_, local) = self.engine(host, 0.7).await?;
                        Ok((!local.control_available).then_some(()))
                    }
                    .boxed()
                })
                .await?;
            }
        }
        // Its own engine may have been the manager that was asked.
        let leaves = host.and_then(|host| self.app.hosts.docker(self.environment, host).ok());
        match leaves {
            Some(engine) => {
                self.progress(0.8, &format!("{name} leaves.")).await?;
                engine.leave_swarm(input.force).await.map_err(|error| {
                    host.map_or_else(
                        || failed(error.code(), error.message()),
                        |host| self.refused(host, &error),
                    )
                })?;
            }
            None if input.force || !is_up => {
                self.log(&format!(
                    "{name} cannot be reached: it still believes to be in the swarm."
                ))
                .await?;
            }
            None => {
                let why = format!(
                    "{name} is no host of this environment: run `docker swarm leave` there, then remove the node."
                );
                return Err(failed("not_a_host", why));
            }
        }
        self.live.ask.notify_one();
        self.forget(&node.id, &name, input.force).await
    }

    /// Moves a node's tasks elsewhere.
    async fn empty(&self, docker: &Docker, node: &Node, name: &str) -> Step<()> {
        docker.change_node(&node.id, set("Availability", "drain")).await.map_err(Error::from)?;
        self.wait(DRAIN, 0.2, &format!("The tasks of {name} move elsewhere."), || {
            async {
                let mine = [node.id.clone()];
                let tasks = docker.list_tasks("node", &mine).await.map_err(Error::from)?;
                let runs = |state: &str| !super::view::has_ended(state);
                Ok((!tasks.iter().any(|task| runs(&task.status.state))).then_some(()))
            }
            .boxed()
        })
        .await?;
        Ok(())
    }

    /// Removes a node from the list, once it counts as down.
    async fn forget(&self, node: &str, name: &str, force: bool) -> Step<()> {
        let gone = self
            .wait(PATIENCE, 0.9, &format!("The swarm forgets {name}."), || {
                async {
                    // Another manager may have to be found first.
                    let Ok(docker) = self.live.docker() else { return Ok(None) };
                    match docker.remove_node(node, force).await {
                        Ok(()) => Ok(Some(())),
                        Err(error) if error.is_not_found() => Ok(Some(())),
                        Err(error) => {
                            tracing::debug!(%error, node, "a node is not forgotten yet");
                            Ok(None)
                        }
                    }
                }
                .boxed()
            })
            .await?;
        if gone.is_none() {
            let why = format!(
                "{name} has left, but the swarm still lists it. Remove the node in a while."
            );
            return Err(failed("node_listed", why));
        }
        self.log(&format!("{name} has left.")).await
    }

    /// All hosts leave, the managers last.
    async fn dissolve(&self) -> Step<()> {
        let row = store::get(&self.app.db, self.environment).await?;
        let mut hosts = Vec::new();
        for host in self.app.hosts.in_environment(self.environment) {
            match host.docker() {
                Ok(docker) => match docker.local_swarm().await {
                    Ok(local) => hosts.push((host.id, docker, local)),
                    Err(error) => {
                        let name = &host.row().name;
                        self.log(&format!("Left behind: {name}: {}", error.message())).await?;
                    }
                },
                Err(error) => {
                    let name = &host.row().name;
                    self.log(&format!("Left behind: {name}: {}", error.message())).await?;
                }
            }
        }
        let ours = |local: &LocalSwarm| match (&row.cluster_id, &local.cluster) {
            (Some(ours), Some(its)) if !its.id.is_empty() => *ours == its.id,
            _ => true,
        };
        hosts.retain(|(_, _, local)| local.local_node_state != LocalState::Inactive && ours(local));
        hosts.sort_by_key(|(_, _, local)| local.control_available);
        let count = hosts.len().max(1);
        for (n, (host, docker, _)) in hosts.iter().enumerate() {
            let name = self.host_name(*host);
            self.progress(n as f64 / count as f64, &format!("{name} leaves.")).await?;
            docker.leave_swarm(true).await.map_err(|error| self.refused(*host, &error))?;
            self.log(&format!("{name} has left.")).await?;
        }
        store::set_cluster(&self.app.db, self.environment, None, None).await?;
        Ok(())
    }

    /// Makes a new swarm of what one manager knows of one that has lost its quorum.
    async fn force_new_cluster(&self) -> Step<()> {
        let input: Forcing = self.input()?;
        let name = self.host_name(input.host_id);
        self.progress(0.1, &format!("{name} makes a new swarm of what it knows.")).await?;
        let (docker, local) = self.engine(input.host_id, 0.1).await?;
        // Done before the server was killed, when it leads and is alone.
        let alone =
            |nodes: &[Node]| nodes.iter().filter(|node| node.manager_status.is_some()).count() == 1;
        if !docker.list_nodes().await.is_ok_and(|nodes| alone(&nodes)) {
            let address = Some(local.node_addr).filter(|address| !address.is_empty());
            let init = InitSwarm {
                advertise_address: input.advertise_address.or(address),
                force_new_cluster: true,
                ..InitSwarm::default()
            };
            docker.init_swarm(&init).await.map_err(|error| self.refused(input.host_id, &error))?;
        }
        let nodes = self
            .wait(PATIENCE, 0.5, &format!("{name} becomes the leader."), || {
                async { Ok(docker.list_nodes().await.ok()) }.boxed()
            })
            .await?
            .ok_or_else(|| failed("swarm_no_quorum", "The new swarm has no leader."))?;
        let swarm = docker.swarm().await.map_err(Error::from)?;
        let keys = Keys::read(&docker, &swarm).await?;
        let sealed = keys.seal(self.app)?;
        let id = Some(swarm.id.as_str());
        store::set_cluster(&self.app.db, self.environment, id, Some(&sealed)).await?;
        // The others are managers of a swarm that is no more.
        for node in nodes.iter().filter(|node| node.id != local.node_id) {
            if node.spec.role != "manager" {
                continue;
            }
            let what = &node.description.hostname;
            self.progress(0.8, &format!("The swarm forgets {what}.")).await?;
            // It is no manager of the new swarm, only listed as one.
            if let Err(error) = docker.change_node(&node.id, set_role(NodeRole::Worker)).await {
                tracing::debug!(%error, node = node.id, "a node that is listed as a manager");
            }
            match docker.remove_node(&node.id, true).await {
                Ok(()) => {
                    let line = format!(
                        "{what} is no part of it any more: have it leave by force, and join again."
                    );
                    self.log(&line).await?;
                }
                Err(error) => {
                    self.log(&format!("{what} is still listed: {}", error.message())).await?;
                }
            }
        }
        Ok(())
    }
}

fn is_reachable(node: &Node) -> bool {
    node.manager_status.as_ref().is_some_and(|manager| manager.reachability == "reachable")
}

fn set(key: &'static str, value: &'static str) -> impl Fn(&mut Value) + Send {
    move |spec| spec[key] = value.into()
}

/// For [`Docker::change_node`].
pub(super) fn set_role(role: NodeRole) -> impl Fn(&mut Value) + Send {
    set(
        "Role",
        match role {
            NodeRole::Manager => "manager",
            NodeRole::Worker => "worker",
        },
    )
}
