//! The namespace that a stack is in, and as whom its objects are applied.

use std::sync::Arc;

use drover_api::Role;
use drover_compose::Project;
use drover_kubernetes::{client::Impersonation, roles};

use super::super::{Live, Share, share};
use crate::{
    app::App,
    clusters::work::{Failed, operation_error},
    stacks::StackRow,
};

/// Where a stack's objects go.
pub(super) struct Place {
    pub live: Arc<Live>,
    pub share: Share,
    /// As whom they are written. A stack never does more than a member may: the cluster itself
    /// says no to what its text asks for beyond that.
    pub user: Impersonation,
}

impl Place {
    /// Fails for a while where this replica does not know the cluster yet.
    pub async fn of(app: &App, row: &StackRow) -> Result<Self, Failed> {
        let share = share::of_environment(app, row.environment_id).await?;
        let Some(live) = app.kubernetes.live(share.cluster_id) else {
            let error = operation_error("cluster_unreachable", "The cluster is being connected.");
            return Err(Failed { transient: true, error });
        };
        let group = roles::group(row.environment_id, Role::Member);
        let user = Impersonation::new(&roles::user("stacks"), [group.as_str(), roles::USERS])?;
        Ok(Self { live, share, user })
    }

    /// Whether a namespace is the environment's.
    pub fn has(&self, namespace: &str) -> bool {
        if self.share.whole_cluster {
            return !share::is_system(namespace);
        }
        self.share.namespaces.iter().any(|known| known == namespace)
    }

    /// The namespace of what names none: the one that the text names; else the one that it has
    /// been in; else the one with the stack's name, `default`, or the first.
    pub fn namespace(
        &self,
        project: Option<&Project>,
        before: Option<&str>,
        stack: &str,
    ) -> Result<String, Failed> {
        let named = project.and_then(|project| project.namespace.as_deref());
        let chosen = named.or(before).map(str::to_owned).or_else(|| {
            if self.share.whole_cluster {
                return Some("default".to_owned());
            }
            let known = |name: &str| self.has(name).then(|| name.to_owned());
            known(stack)
                .or_else(|| known("default"))
                .or_else(|| self.share.namespaces.first().cloned())
        });
        let Some(chosen) = chosen else {
            return Err(refused("The environment has no namespace. Give it one first."));
        };
        if !self.has(&chosen) {
            return Err(refused(&format!(
                "The namespace {chosen} is not the environment's. Name one of its own by `x-drover-namespace`, or add it to the environment."
            )));
        }
        Ok(chosen)
    }
}

/// A refusal that stays until a person changes something.
pub(super) fn refused(message: &str) -> Failed {
    Failed { transient: false, error: operation_error("namespace_refused", message) }
}
