//! What an environment has of a cluster.

use drover_api::{ClusterShare, FieldError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Share, Taken};
use crate::{
    app::App,
    error::{Error, Result},
};

/// The most namespaces of an environment.
const MOST_NAMESPACES: usize = 500;
/// Namespaces that are the cluster's own. An environment that is the whole cluster has them too.
const SYSTEM: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "drover-system"];

/// Whether a namespace is the cluster's own.
pub(super) fn is_system(name: &str) -> bool {
    SYSTEM.contains(&name)
}

/// What an environment has of its cluster.
///
/// # Errors
/// 409 `not_kubernetes` in environments that stand on something else.
pub async fn of_environment(app: &App, environment: Uuid) -> Result<Share> {
    store::shares(&app.db, None, Some(environment)).await?.pop().ok_or_else(|| {
        Error::conflict(
            "not_kubernetes",
            "This environment does not stand on a Kubernetes cluster.",
        )
    })
}

/// What is wrong with the name of a namespace that an environment is to have.
pub(super) fn check_namespace(name: &str) -> Option<&'static str> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !fits {
        return Some("A namespace has 1 to 63 of a-z, 0-9 and `-`, no `-` at its ends.");
    }
    is_system(name).then_some("This namespace is the cluster's own.")
}

pub(super) fn check_namespaces(field: &str, names: &[String]) -> Result<()> {
    if names.is_empty() || names.len() > MOST_NAMESPACES {
        return Err(Error::invalid_field(field, "1 to 500 namespaces."));
    }
    let errors: Vec<FieldError> = names
        .iter()
        .enumerate()
        .filter_map(|(n, name)| {
            Some(FieldError::new(format!("{field}.{n}"), check_namespace(name)?))
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

/// Gives a new environment its part of a cluster.
pub async fn claim(tx: &mut PgConnection, environment: Uuid, share: &ClusterShare) -> Result<()> {
    if let Some(names) = &share.namespaces {
        check_namespaces("kubernetes.namespaces", names)?;
    }
    store::claim(tx, environment, share.cluster_id, share.namespaces.as_deref())
        .await?
        .map_err(|taken| refused("kubernetes", taken))
}

/// Why an environment cannot have what it asks for.
pub(super) fn refused(field: &str, taken: Taken) -> Error {
    match taken {
        Taken::NoCluster => {
            Error::invalid_field(format!("{field}.cluster_id"), "There is no such cluster.")
        }
        Taken::Whole { environment } => Error::conflict(
            "cluster_taken",
            format!(
                "The environment {environment} stands on this cluster, and one of the two would be the whole of it. Give each a set of namespaces."
            ),
        ),
        Taken::Namespace { name, environment } => Error::conflict(
            "namespace_taken",
            format!("The namespace {name} belongs to the environment {environment}."),
        ),
    }
}
