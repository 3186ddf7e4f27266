//! The swarm itself.

use axum::http::{HeaderMap, StatusCode};
use drover_api::{
    CreateSwarm, FieldError, ForceNewCluster, JoinHosts, NewNode, Operation, OperationKind,
    RemoveSwarm, RotateSwarm, Swarm, SwarmKeys, SwarmPart, SwarmState, Topic, UnlockSwarm,
    UpdateSwarm,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        keys::{self, Keys},
        membership::{Forcing, Joining},
        standing, store,
    },
    Target,
};
use crate::{
    error::{Error, Result},
    extract::{IfMatch, Json, etag},
    hosts::driver::{ErrorKind, swarm::Rotate},
    operations::{self, NewOperation},
};

/// The most managers that make sense.
const MOST_MANAGERS: usize = 7;
/// The most hosts that join at once.
const MOST_HOSTS: usize = 100;

type Answer = (HeaderMap, Json<Swarm>);
type Accepted = (StatusCode, Json<Operation>);

impl Target {
    async fn answer(&self) -> Result<Answer> {
        let row = store::get(&self.app.db, self.access.id).await?;
        self.live.set_row(row);
        let open = operations::open_for(&self.app.db, self.access.id).await?;
        let swarm = self.live.to_api(open.map(|open| open.id));
        Ok((etag(swarm.version), Json(swarm)))
    }

    /// Records an operation on the swarm, and has it begun.
    pub(super) async fn begin(&self, kind: OperationKind, input: Value) -> Result<Accepted> {
        if let Some(open) = operations::open_for(&self.app.db, self.access.id).await?
            && open.kind != OperationKind::RemoveEnvironment
        {
            return Err(Error::conflict(
                "swarm_busy",
                "Another operation changes the swarm. Wait for it, or cancel it.",
            ));
        }
        let name = store::environment_name(&self.app.db, self.access.id).await?;
        let new = NewOperation {
            kind,
            environment_id: self.access.id,
            target_kind: "swarm",
            target_id: self.access.id,
            target_name: &name,
            input,
        };
        let mut tx = self.app.db.begin().await?;
        let operation = operations::begin(&mut tx, Some(&self.caller), &new).await?;
        tx.commit().await?;
        operations::announce(&self.app, &operation).await;
        self.app.swarms.clusters.wake(self.access.id);
        Ok((StatusCode::ACCEPTED, Json(operation)))
    }

    /// Refuses what was not confirmed by the environment's name.
    async fn check_confirm(&self, confirm: &str) -> Result<()> {
        let name = store::environment_name(&self.app.db, self.access.id).await?;
        if confirm.trim() == name {
            return Ok(());
        }
        Err(Error::invalid_field("confirm", format!("Type the environment's name, `{name}`.")))
    }

    /// What is wrong with hosts that are to join: each once, hosts of this environment, in no
    /// swarm yet.
    fn check_nodes(&self, field: &str, nodes: &[NewNode], seen: &mut Vec<Uuid>) -> Vec<FieldError> {
        let parts = self.live.to_api(None).hosts;
        let mut errors = Vec::new();
        for (n, node) in nodes.iter().enumerate() {
            let field = format!("{field}.{n}");
            if self.app.hosts.live(self.access.id, node.host_id).is_none() {
                let message = "The environment has no such host.";
                errors.push(FieldError::new(format!("{field}.host_id"), message));
                continue;
            }
            if seen.contains(&node.host_id) {
                errors.push(FieldError::new(format!("{field}.host_id"), "It is named twice."));
            }
            seen.push(node.host_id);
            let part = parts.iter().find(|part| part.host_id == node.host_id);
            if let Some(part) = part {
                let message = match part.part {
                    SwarmPart::None | SwarmPart::Unknown | SwarmPart::Error => None,
                    SwarmPart::Manager | SwarmPart::Worker | SwarmPart::Locked => {
                        Some(format!("{} is in a swarm already.", part.host_name))
                    }
                    SwarmPart::Other => Some(format!(
                        "{} is in another swarm: run `docker swarm leave` there first.",
                        part.host_name
                    )),
                };
                errors.extend(message.map(|m| FieldError::new(format!("{field}.host_id"), m)));
            }
            for (key, address) in [
                ("advertise_address", &node.advertise_address),
                ("data_path_address", &node.data_path_address),
            ] {
                if address.as_deref().is_some_and(|text| !is_address(text)) {
                    let message = "An address or the name of a network interface.";
                    errors.push(FieldError::new(format!("{field}.{key}"), message));
                }
            }
        }
        errors
    }
}

/// What engines take as an address: letters, digits and a few signs.
fn is_address(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_[]%".contains(&b))
}

/// Show the swarm
///
/// How it stands and what to do about it, its number of managers, and the part of each host.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm", tag = "swarm",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Swarm)))]
pub(super) async fn show(target: Target) -> Result<Answer> {
    target.answer().await
}

/// Make a swarm
///
/// Of hosts of the environment: the first manager begins it, the others join. Answers at once;
/// follow the operation.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm", tag = "swarm",
    request_body(content = CreateSwarm, example = json!({
        "managers": [{ "host_id": "0190a0b0-0000-7000-8000-000000000001", "advertise_address": "10.0.0.1" }],
        "workers": [{ "host_id": "0190a0b0-0000-7000-8000-000000000002" }],
    })),
    params(("environment_id" = Uuid, Path)), responses((status = 202, body = Operation)))]
pub(super) async fn create(target: Target, Json(input): Json<CreateSwarm>) -> Result<Accepted> {
    target.note.detail("managers", input.managers.len());
    target.note.detail("workers", input.workers.len());
    let mut seen = Vec::new();
    let mut errors = target.check_nodes("managers", &input.managers, &mut seen);
    errors.extend(target.check_nodes("workers", &input.workers, &mut seen));
    if !(1..=MOST_MANAGERS).contains(&input.managers.len()) {
        errors.push(FieldError::new("managers", "One to seven hosts: 1, 3 or 5 are wise."));
    }
    if input.workers.len() > MOST_HOSTS {
        errors.push(FieldError::new("workers", "At most 100 hosts at once."));
    }
    let is_pool = |pool: &String| {
        let parsed = pool.split_once('/').map(|(ip, bits)| {
            (ip.parse::<std::net::IpAddr>().is_ok(), bits.parse::<u8>().is_ok_and(|b| b <= 128))
        });
        parsed == Some((true, true))
    };
    if input.address_pools.len() > 16 || !input.address_pools.iter().all(is_pool) {
        let message = "At most 16 networks such as `10.20.0.0/16`.";
        errors.push(FieldError::new("address_pools", message));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let state = target.live.standing().state;
    if !matches!(state, SwarmState::None | SwarmState::Found) {
        return Err(Error::conflict("swarm_exists", "The environment has a swarm already."));
    }
    let input = serde_json::to_value(&input).map_err(Error::internal)?;
    target.begin(OperationKind::CreateSwarm, input).await
}

/// Have hosts join the swarm
///
/// As managers and workers. Answers at once; follow the operation.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/join", tag = "swarm",
    request_body(content = JoinHosts, example = json!({
        "workers": [{ "host_id": "0190a0b0-0000-7000-8000-000000000003" }],
    })),
    params(("environment_id" = Uuid, Path)), responses((status = 202, body = Operation)))]
pub(super) async fn join(target: Target, Json(input): Json<JoinHosts>) -> Result<Accepted> {
    let mut seen = Vec::new();
    let mut errors = target.check_nodes("managers", &input.managers, &mut seen);
    errors.extend(target.check_nodes("workers", &input.workers, &mut seen));
    if !(1..=MOST_HOSTS).contains(&seen.len()) && errors.is_empty() {
        errors.push(FieldError::new("workers", "One to 100 hosts."));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    target.docker()?;
    let joining = Joining { managers: input.managers, workers: input.workers };
    let input = serde_json::to_value(&joining).map_err(Error::internal)?;
    target.begin(OperationKind::JoinSwarm, input).await
}

/// Take over a swarm
///
/// The one that the environment's hosts are in already. Nothing in it is changed: services that
/// run in it are shown, and stacks can be installed beside them.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/take-over", tag = "swarm",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Swarm)))]
pub(super) async fn take_over(target: Target) -> Result<Answer> {
    let row = store::get(&target.app.db, target.access.id).await?;
    if row.cluster_id.is_some() {
        return Err(Error::conflict("swarm_exists", "The environment has a swarm already."));
    }
    let managers: Vec<_> =
        target.live.parts().into_iter().filter(|part| part.is_manager()).collect();
    let mut found: Vec<String> = managers
        .iter()
        .filter_map(|part| Some(part.said.as_ref().ok()?.cluster.as_ref()?.id.clone()))
        .filter(|id| !id.is_empty())
        .collect();
    found.sort();
    found.dedup();
    let ([id], Some(manager)) = (found.as_slice(), managers.first()) else {
        let why = if found.is_empty() {
            "None of the environment's hosts is the manager of a swarm. Add one of its managers as a host first."
        } else {
            "The environment's hosts are in several swarms. Move the hosts of the others to another environment."
        };
        return Err(Error::conflict("no_swarm", why));
    };
    let docker = target.app.hosts.docker(target.access.id, manager.host_id)?;
    let swarm = docker.swarm().await?;
    let sealed = Keys::read(&docker, &swarm).await?.seal(&target.app)?;
    store::set_cluster(&target.app.db, target.access.id, Some(id), Some(&sealed)).await?;
    target.note.detail("cluster_id", id.as_str());
    told(&target).await;
    target.answer().await
}

/// Tells this and other replicas that the swarm has changed.
async fn told(target: &Target) {
    if let Ok(row) = store::get(&target.app.db, target.access.id).await {
        target.live.set_row(row);
    }
    target.live.ask.notify_one();
    target.live.poke.notify_one();
    target.app.events.updated(Topic::Swarm, Some(target.access.id), target.access.id).await;
}

/// Change the swarm's settings
#[utoipa::path(patch, path = "/v1/environments/{environment_id}/swarm", tag = "swarm",
    request_body(content = UpdateSwarm, example = json!({
        "defaults": { "publish_mode": "host", "endpoint_mode": "dnsrr" },
    })),
    params(("environment_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Swarm)))]
pub(super) async fn update(
    target: Target,
    if_match: IfMatch,
    Json(input): Json<UpdateSwarm>,
) -> Result<Answer> {
    if input.task_history.is_some_and(|limit| limit > 100) {
        return Err(Error::invalid_field("task_history", "0 to 100."));
    }
    let row = store::get(&target.app.db, target.access.id).await?;
    if_match.check(row.version)?;
    if input.autolock.is_some() || input.task_history.is_some() {
        let docker = target.docker()?;
        docker
            .update_swarm(Rotate::default(), |spec| {
                if let Some(autolock) = input.autolock {
                    spec["EncryptionConfig"]["AutoLockManagers"] = autolock.into();
                }
                if let Some(limit) = input.task_history {
                    spec["Orchestration"]["TaskHistoryRetentionLimit"] = limit.into();
                }
            })
            .await?;
        // The key comes and goes with the lock.
        keys::refresh(&target.app, target.access.id, &docker).await?;
    }
    if let Some(defaults) = input.defaults {
        store::set_defaults(&target.app.db, target.access.id, defaults).await?;
    }
    told(&target).await;
    target.answer().await
}

/// Dissolve the swarm
///
/// All hosts leave it, and it is gone with its services, secrets, configs and networks.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm", tag = "swarm",
    request_body = RemoveSwarm,
    params(("environment_id" = Uuid, Path)), responses((status = 202, body = Operation)))]
pub(super) async fn remove(target: Target, Json(input): Json<RemoveSwarm>) -> Result<Accepted> {
    target.check_confirm(&input.confirm).await?;
    target.begin(OperationKind::RemoveSwarm, Value::Null).await
}

/// Force a new cluster
///
/// For a swarm that has lost its quorum for good: makes a new swarm with one manager, of what that
/// manager knows. Services, secrets, configs and workers stay; the other managers are no part of
/// it any more. What they alone knew is lost.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/force-new-cluster",
    tag = "swarm", request_body = ForceNewCluster,
    params(("environment_id" = Uuid, Path)), responses((status = 202, body = Operation)))]
pub(super) async fn force_new_cluster(
    target: Target,
    Json(input): Json<ForceNewCluster>,
) -> Result<Accepted> {
    target.check_confirm(&input.confirm).await?;
    let parts = target.live.parts();
    let part = parts.iter().find(|part| part.host_id == input.host_id);
    let reached = target.app.hosts.docker(target.access.id, input.host_id).is_ok();
    if !(reached && part.is_some_and(super::super::standing::HostPart::is_manager)) {
        let message = "Choose a host that is a manager of the swarm and can be reached.";
        return Err(Error::invalid_field("host_id", message));
    }
    if input.advertise_address.as_deref().is_some_and(|text| !is_address(text)) {
        let message = "An address or the name of a network interface.";
        return Err(Error::invalid_field("advertise_address", message));
    }
    if matches!(target.live.standing().state, SwarmState::Active | SwarmState::Degraded) {
        return Err(Error::conflict(
            "swarm_works",
            "The swarm works: there is nothing to force. Remove the nodes that are gone.",
        ));
    }
    target.note.detail("host_id", input.host_id.to_string());
    let forcing = Forcing { host_id: input.host_id, advertise_address: input.advertise_address };
    let input = serde_json::to_value(&forcing).map_err(Error::internal)?;
    target.begin(OperationKind::ForceNewCluster, input).await
}

/// Unlock managers
///
/// Those that were started anew in a swarm that locks its managers.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/unlock", tag = "swarm",
    request_body = UnlockSwarm,
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Swarm)))]
pub(super) async fn unlock(target: Target, Json(input): Json<UnlockSwarm>) -> Result<Answer> {
    let row = store::get(&target.app.db, target.access.id).await?;
    let key = match input.key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()) {
        Some(key) if key.len() > 200 => {
            return Err(Error::invalid_field("key", "It begins with `SWMKEY-`."));
        }
        Some(key) => key.into(),
        None => {
            let keys = row.keys.as_deref().map(|sealed| Keys::open(&target.app, sealed));
            keys.transpose()?.and_then(|keys| keys.unlock).ok_or_else(|| {
                Error::invalid_field("key", "Drover has no key of this swarm: give it.")
            })?
        }
    };
    let mut unlocked = 0;
    for host in target.app.hosts.in_environment(target.access.id) {
        let Ok(docker) = host.docker() else { continue };
        let local = docker.local_swarm().await;
        let locked = crate::hosts::driver::swarm::LocalState::Locked;
        if local.is_ok_and(|local| local.local_node_state == locked) {
            docker.unlock_swarm(&key).await?;
            unlocked += 1;
        }
    }
    target.note.detail("managers", unlocked);
    told(&target).await;
    target.answer().await
}

/// Make tokens, keys or certificates anew
///
/// What was before lets nobody in any more; nodes that are in the swarm stay in it.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/rotate", tag = "swarm",
    request_body(content = RotateSwarm, example = json!({ "worker_token": true })),
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Swarm)))]
pub(super) async fn rotate(target: Target, Json(input): Json<RotateSwarm>) -> Result<Answer> {
    if !(input.worker_token
        || input.manager_token
        || input.unlock_key
        || input.certificate_authority)
    {
        return Err(Error::invalid_field("worker_token", "Say what to make anew."));
    }
    if let Ok(what) = serde_json::to_value(input) {
        target.note.detail("what", what);
    }
    let docker = target.docker()?;
    let rotate = Rotate {
        worker_token: input.worker_token,
        manager_token: input.manager_token,
        unlock_key: input.unlock_key,
    };
    docker
        .update_swarm(rotate, |spec| {
            if input.certificate_authority {
                let now = spec["CAConfig"]["ForceRotate"].as_u64().unwrap_or_default();
                spec["CAConfig"]["ForceRotate"] = (now + 1).into();
            }
        })
        .await?;
    keys::refresh(&target.app, target.access.id, &docker).await?;
    told(&target).await;
    target.answer().await
}

/// Show what lets machines into the swarm
///
/// Join tokens and the key that unlocks managers. The audit log says who has seen them.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/keys", tag = "swarm",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = SwarmKeys)))]
pub(super) async fn keys(target: Target) -> Result<Json<SwarmKeys>> {
    let row = store::get(&target.app.db, target.access.id).await?;
    let keys = match target.docker() {
        Ok(docker) => match keys::refresh(&target.app, target.access.id, &docker).await {
            Ok(keys) => keys,
            Err(error) if error.code() == ErrorKind::NoQuorum.code() => kept(&target, &row)?,
            Err(error) => return Err(error),
        },
        // Those that were kept help when no manager can be asked.
        Err(error) => match row.keys {
            Some(_) => kept(&target, &row)?,
            None => return Err(error),
        },
    };
    let view = target.live.view();
    let managers = view.nodes.iter().filter_map(|node| node.manager_status.as_ref());
    Ok(Json(SwarmKeys {
        worker_token: keys.worker.expose_secret().to_owned(),
        manager_token: keys.manager.expose_secret().to_owned(),
        unlock_key: keys.unlock.map(|key| key.expose_secret().to_owned()),
        managers: managers.map(|manager| manager.addr.clone()).collect(),
    }))
}

fn kept(target: &Target, row: &store::SwarmRow) -> Result<Keys> {
    let sealed = row
        .keys
        .as_deref()
        .ok_or_else(|| Error::conflict("no_swarm", "The environment has no swarm yet."))?;
    Keys::open(&target.app, sealed)
}

/// Refuses what would leave too few managers.
pub(super) fn check_quorum(target: &Target, without: &str) -> Result<()> {
    let view = target.live.view();
    let managers: Vec<_> = view.nodes.iter().filter(|node| node.manager_status.is_some()).collect();
    if managers.len() <= 1 {
        return Err(Error::conflict(
            "last_manager",
            "It is the last manager: the swarm would be gone. Promote another node first, or dissolve the swarm.",
        ));
    }
    let reachable = managers
        .iter()
        .filter(|node| node.id != without)
        .filter(|node| node.manager_status.as_ref().is_some_and(|m| m.reachability == "reachable"))
        .count() as u32;
    let needed = standing::quorum(managers.len() as u32 - 1);
    if reachable < needed {
        return Err(Error::conflict(
            "quorum_lost",
            format!(
                "Then {reachable} of {} managers would be there, and {needed} are needed: the swarm would lose its quorum. Bring back the managers that are away, or remove them first.",
                managers.len() - 1
            ),
        ));
    }
    Ok(())
}
