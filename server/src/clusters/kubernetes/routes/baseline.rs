//! Pods that could take over a node, for roles that may not run such. The labels of namespaces make
//! the cluster refuse most of them; this one holds everywhere, and for what is there already.

use drover_api::Permission;
use drover_kubernetes::{
    client::{Failure, FailureKind},
    discovery::ResourceType,
    pod_security::{bears_pods, breaks_baseline},
};
use serde_json::Value;

use super::target::Target;

/// Whether objects of this type have to be looked at for the caller.
pub(super) fn concerns(target: &Target, kind: &ResourceType) -> bool {
    !target.access.may(Permission::HostTakeover) && bears_pods(&kind.group, &kind.plural)
}

/// Refuses what goes beyond the Pod Security Standard *baseline* to who may not run such.
pub(super) fn check(target: &Target, kind: &ResourceType, object: &Value) -> Result<(), Failure> {
    if !concerns(target, kind) {
        return Ok(());
    }
    match breaks_baseline(&kind.group, &kind.plural, object) {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            FailureKind::Forbidden,
            format!(
                "Pods of this could take over the nodes that they run on ({why}): your role here may not run them."
            ),
        )),
    }
}
