//! One network across the hosts of an environment: Docker's own overlay networks, in a swarm that
//! is there for nothing else.
//!
//! | part | what |
//! | --- | --- |
//! | [`plan`] | which host makes the swarm, joins, leaves, and how the network stands. Pure |
//! | [`keeper`] | looks at the engines, takes those steps, and writes how it stands |
//! | [`names`] | which networks a container is in, and how it is called there |
//!
//! As long as there is one host, networks are bridges. With the second one they become overlay
//! networks, of another name: containers that run are put into those as well, and stay in the old
//! ones until they are replaced, so that nothing has to be started anew.

pub(super) mod keeper;
pub(super) mod names;
pub(super) mod plan;

use std::collections::HashSet;

use uuid::Uuid;

pub use keeper::let_go;
pub(super) use keeper::{reach_before, run};
pub(super) use names::{Kind, Membership};

/// How far the network of an environment reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// What networks without a driver of their own are, on hosts that are joined.
    pub kind: Kind,
    /// The hosts that are joined.
    pub joined: HashSet<Uuid>,
    /// A connected manager of the swarm, which makes networks.
    pub manager: Option<Uuid>,
}

impl Reach {
    /// Whether the containers of a host reach those of the others that are joined.
    pub fn joins(&self, host: Uuid) -> bool {
        self.kind != Kind::Bridge && self.joined.contains(&host)
    }

    /// What networks are on a host.
    pub fn kind_on(&self, host: Uuid) -> Kind {
        if self.joins(host) { self.kind } else { Kind::Bridge }
    }
}
