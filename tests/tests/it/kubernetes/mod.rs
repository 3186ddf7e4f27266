//! Kubernetes clusters: the real one that `DROVER_TEST_KUBECONFIG` names, or the project's stand-in.
//! What these tests expect is what Kubernetes does.

mod actions;
mod agent;
mod bad_days;
mod clusters;
mod objects;
mod proxy;
mod refusals;
mod resources;
mod stacks;
mod streams;

use drover_api::{EnvironmentCluster, KubernetesCluster, Role};
use drover_tests::{CLUSTER_LIMIT, Kubernetes, KubernetesSite, TestServer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;
