//! As whom a call is made, and when the right to it ends.

use std::sync::Arc;

use drover_api::{PodSecurity, Role};
use drover_kubernetes::client::Impersonation;
use uuid::Uuid;

use crate::{
    access::Caller,
    app::App,
    clusters::kubernetes::{
        Live, Share,
        caller::{in_cluster, is_administrator, roles_in},
    },
    error::Result,
    passing::Revoked,
};

/// A cluster that the caller has something to do with.
#[derive(Clone)]
pub struct Admitted {
    pub(super) live: Arc<Live>,
    /// The caller's roles in it.
    pub(super) environments: Vec<(Uuid, Role)>,
}

impl Admitted {
    /// None for who has no role in any of its environments, and is no administrator.
    pub fn of(caller: &Caller, live: Arc<Live>) -> Option<Self> {
        let environments = roles_in(caller, &live);
        let known = !environments.is_empty() || is_administrator(caller);
        known.then_some(Self { live, environments })
    }

    /// The environment that a namespace belongs to.
    pub(super) fn owner(&self, namespace: &str) -> Option<Uuid> {
        owner(&self.live.shares(), namespace).map(|share| share.environment_id)
    }
}

/// What owns a namespace: the environment that has it, or the one that is the whole cluster.
fn owner<'a>(shares: &'a [Share], namespace: &str) -> Option<&'a Share> {
    let has = |share: &&Share| share.namespaces.iter().any(|name| name == namespace);
    let whole = |share: &&Share| share.whole_cluster;
    shares.iter().find(has).or_else(|| shares.iter().find(whole))
}

/// What a call's right stands on. When it is not the same any more, the right has ended.
#[derive(PartialEq)]
struct Ground {
    /// As whom the cluster knows the caller.
    user: Impersonation,
    /// The environment of the namespace.
    environment: Option<Uuid>,
    /// Drover has to judge the pods that the caller makes.
    judges_pods: bool,
}

impl Ground {
    fn of(
        caller: &Caller,
        live: &Live,
        namespace: &str,
        environments: &[(Uuid, Role)],
    ) -> Result<Self> {
        let shares = live.shares();
        let owner = owner(&shares, namespace);
        let judges_pods = owner.is_some_and(|share| {
            let role = environments.iter().find(|(id, _)| *id == share.environment_id);
            // The namespaces of a whole cluster carry no labels of Drover's.
            let is_open = share.whole_cluster || share.pod_security == PodSecurity::Privileged;
            is_open && role.is_some_and(|(_, role)| *role == Role::Restricted)
        });
        Ok(Self {
            user: in_cluster(caller, environments)?,
            environment: owner.map(|share| share.environment_id),
            judges_pods,
        })
    }
}

/// The right to a call.
pub struct Right {
    app: App,
    caller: Caller,
    live: Arc<Live>,
    namespace: String,
    /// With the rights of this environment alone.
    only: Option<Uuid>,
    ground: Ground,
}

impl Right {
    /// With all that the caller may in the cluster.
    pub fn new(app: &App, caller: Caller, admitted: &Admitted, namespace: &str) -> Result<Self> {
        let ground = Ground::of(&caller, &admitted.live, namespace, &admitted.environments)?;
        Ok(Self {
            app: app.clone(),
            caller,
            live: admitted.live.clone(),
            namespace: namespace.to_owned(),
            only: None,
            ground,
        })
    }

    /// With what the caller may in one environment.
    pub fn in_environment(
        app: &App,
        caller: Caller,
        live: Arc<Live>,
        (environment, role): (Uuid, Role),
        namespace: &str,
    ) -> Result<Self> {
        let ground = Ground::of(&caller, &live, namespace, &[(environment, role)])?;
        Ok(Self {
            app: app.clone(),
            caller,
            live,
            namespace: namespace.to_owned(),
            only: Some(environment),
            ground,
        })
    }

    /// The cluster.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// As whom the call is made.
    pub fn user(&self) -> &Impersonation {
        &self.ground.user
    }

    /// The environment of the namespace.
    pub fn environment(&self) -> Option<Uuid> {
        self.ground.environment
    }

    /// Whether Drover has to judge the pods that the caller makes.
    pub fn judges_pods(&self) -> bool {
        self.ground.judges_pods
    }

    /// Whether the call would be made just so now.
    fn holds(&self, now: &Caller) -> bool {
        let mut environments = roles_in(now, &self.live);
        environments.retain(|(id, _)| self.only.is_none_or(|only| only == *id));
        let is_known = !environments.is_empty() || self.only.is_none() && is_administrator(now);
        is_known
            && self.app.kubernetes.live(self.live.id).is_some()
            && Ground::of(now, &self.live, &self.namespace, &environments)
                .is_ok_and(|ground| ground == self.ground)
    }

    /// Ends with the right: also when the caller keeps a weaker one.
    pub fn revoked(self: &Arc<Self>) -> Revoked {
        let right = self.clone();
        Box::pin(async move {
            let mut shares = right.live.watch_shares();
            loop {
                tokio::select! {
                    () = right.app.identities.revoked_when(&right.caller, |now| right.holds(now)) => return,
                    // What environments have of the cluster is otherwise: looked at anew.
                    changed = shares.changed() => if changed.is_err() { return },
                }
            }
        })
    }
}
