//! As whom a user is told to a cluster: the cluster itself decides what they may do, and its audit
//! log says who it was.

use drover_api::{GlobalRole, Role};
use drover_kubernetes::{client::Impersonation, roles};
use uuid::Uuid;

use super::Live;
use crate::{
    access::Caller,
    error::{Error, Result},
};

/// A caller's roles in the environments of a cluster. Empty for who has nothing to do with it.
pub fn roles_in(caller: &Caller, live: &Live) -> Vec<(Uuid, Role)> {
    let shares = live.shares();
    let role = |id: Uuid| Some((id, caller.role_in(id)?));
    shares.iter().filter_map(|share| role(share.environment_id)).collect()
}

/// Whether the caller acts as an administrator of the cluster: by no key that is limited to less.
pub fn is_administrator(caller: &Caller) -> bool {
    caller.global_role == GlobalRole::Admin && !caller.scope.is_limited()
}

/// The user and the groups as which the caller is told to a cluster, with the rights of these
/// environments.
pub fn names(caller: &Caller, environments: &[(Uuid, Role)]) -> (String, Vec<String>) {
    let mut groups = vec![roles::USERS.to_owned()];
    if is_administrator(caller) {
        groups.push(roles::ADMINS.to_owned());
    }
    groups.extend(environments.iter().map(|(id, role)| roles::group(*id, *role)));
    // A key that is limited has less than its user: groups that rules of the cluster's own may
    // name would give it more.
    if !caller.scope.is_limited() {
        groups.extend(caller.groups.iter().map(|group| roles::user(group)));
    }
    (roles::user(&caller.login), groups)
}

/// As whom the caller is told to a cluster, with the rights of these environments.
pub fn in_cluster(caller: &Caller, environments: &[(Uuid, Role)]) -> Result<Impersonation> {
    let (user, groups) = names(caller, environments);
    Impersonation::new(&user, groups.iter().map(String::as_str))
        .map_err(|failure| Error::conflict("bad_name", failure.message().to_owned()))
}

/// As whom a caller is told to the cluster of an environment: with the rights of this environment
/// only.
pub fn in_environment(caller: &Caller, environment: Uuid, role: Role) -> Result<Impersonation> {
    in_cluster(caller, &[(environment, role)])
}
