//! The access table: what each route needs. A route that is not in it answers 404 to everyone, and
//! fails the generated role test.

use std::{collections::HashMap, sync::LazyLock};

use axum::http::Method;
use drover_api::{Permission, Role};

use self::Needs::*;
use Permission::{Deploy, ManageEnvironment, ManageHosts, View};

/// What a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: open to everyone.
    Public,
    /// To be signed in. API keys with a scope too; the handler shows them what their scope lets
    /// them see.
    SignedIn,
    /// To be signed in as a whole person: by browser, or by an API key without a scope.
    Account,
    /// The global role `admin`, by browser or by an API key without a scope.
    Admin,
    /// This permission in the environment that the path names.
    In(Permission),
    /// This permission in some environment, as a whole person.
    InAny(Permission),
    /// The SCIM token of the identity provider that the path names.
    Provisioner,
    /// To see the environment of the host (or the environment itself) that the path names, by an
    /// API key. What of the Docker Engine's API a role may call, and what the audit log calls it,
    /// says a table of its own: [`crate::docker_api::policy::ROWS`].
    Docker,
    /// By an API key, some role in an environment of the cluster that the path names, or to be an
    /// administrator. What the caller may do there the cluster decides: see
    /// [`crate::kubernetes_api`].
    Kubernetes,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// The path as axum and OpenAPI name it.
    pub path: &'static str,
    /// What a caller needs.
    pub needs: Needs,
    /// What the audit log calls it. Absent for what only reads.
    pub action: Option<&'static str>,
}

const fn read(path: &'static str, needs: Needs) -> Rule {
    Rule { method: "GET", path, needs, action: None }
}

const fn write(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    action: &'static str,
) -> Rule {
    Rule { method, path, needs, action: Some(action) }
}

/// A POST that changes nothing: a check or a preview.
const fn ask(path: &'static str, needs: Needs) -> Rule {
    Rule { method: "POST", path, needs, action: None }
}

/// A route of the Docker Engine's API under the caller's role.
const fn docker(method: &'static str, path: &'static str) -> Rule {
    Rule { method, path, needs: Docker, action: None }
}

/// A route of a Kubernetes cluster's API under the caller's roles.
const fn kubernetes(method: &'static str, path: &'static str) -> Rule {
    Rule { method, path, needs: Kubernetes, action: None }
}

/// What each role may do in an environment. This is the table of the design, and the only place
/// that decides.
pub const fn permits(role: Role, permission: Permission) -> bool {
    let weakest = match permission {
        Permission::View => Role::Readonly,
        Permission::Deploy => Role::Restricted,
        Permission::ManageHosts | Permission::HostTakeover => Role::Member,
        Permission::ManageEnvironment => Role::Owner,
    };
    role as u8 >= weakest as u8
}

/// What a role permits, for the browser app to know what to offer.
pub fn permissions(role: Role) -> Vec<Permission> {
    use Permission::*;
    [View, Deploy, ManageHosts, HostTakeover, ManageEnvironment]
        .into_iter()
        .filter(|permission| permits(role, *permission))
        .collect()
}

/// The rows, by domain.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // web
    read("/", Public),
    read("/{*path}", Public),
    read("/assets/{*path}", Public),
    read("/healthz", Public),
    read("/readyz", Public),
    read("/metrics", Admin),
    read("/v1/openapi.json", Public),
    read("/v1/docs", Public),
    // auth
    read("/v1/setup", Public),
    write("POST", "/v1/setup", Public, "setup.complete"),
    read("/v1/session/providers", Public),
    read("/v1/sign-in/{provider_id}", Public),
    write("GET", "/v1/sign-in/{provider_id}/callback", Public, "session.create"),
    write("POST", "/v1/sign-in/{provider_id}/back-channel-logout", Public, "session.delete"),
    read("/v1/session", SignedIn),
    write("POST", "/v1/session", Public, "session.create"),
    write("DELETE", "/v1/session", Account, "session.delete"),
    write("PUT", "/v1/session/password", Account, "session.change_password"),
    read("/v1/session/all", Account),
    write("DELETE", "/v1/session/all", Account, "session.delete_all"),
    write("DELETE", "/v1/session/all/{session_id}", Account, "session.delete_one"),
    read("/v1/api-keys", Account),
    write("POST", "/v1/api-keys", Account, "api_key.create"),
    write("DELETE", "/v1/api-keys/{key_id}", Account, "api_key.delete"),
    // users
    read("/v1/users", Admin),
    write("POST", "/v1/users", Admin, "user.create"),
    read("/v1/users/{user_id}", Admin),
    write("PATCH", "/v1/users/{user_id}", Admin, "user.update"),
    write("DELETE", "/v1/users/{user_id}", Admin, "user.delete"),
    write("POST", "/v1/users/{user_id}/refresh", Admin, "user.refresh"),
    write("POST", "/v1/users/{user_id}/link", Admin, "user.link"),
    write("DELETE", "/v1/users/{user_id}/identities/{provider_id}", Admin, "user.unlink"),
    read("/v1/principals", InAny(ManageEnvironment)),
    // identity providers
    read("/v1/identity-providers", Admin),
    write("POST", "/v1/identity-providers", Admin, "identity_provider.create"),
    read("/v1/identity-providers/{provider_id}", Admin),
    write("PATCH", "/v1/identity-providers/{provider_id}", Admin, "identity_provider.update"),
    write("DELETE", "/v1/identity-providers/{provider_id}", Admin, "identity_provider.delete"),
    write("POST", "/v1/identity-providers/{provider_id}/test", Admin, "identity_provider.test"),
    write("POST", "/v1/identity-providers/{provider_id}/test-sign-in", Admin, "identity_provider.test"),
    write("POST", "/v1/identity-providers/{provider_id}/refresh", Admin, "identity_provider.refresh"),
    // scim
    write("POST", "/v1/identity-providers/{provider_id}/scim-token", Admin, "identity_provider.scim_token"),
    write("DELETE", "/v1/identity-providers/{provider_id}/scim-token", Admin, "identity_provider.scim_token"),
    read("/scim/v2/{provider_id}/ServiceProviderConfig", Provisioner),
    read("/scim/v2/{provider_id}/ResourceTypes", Provisioner),
    read("/scim/v2/{provider_id}/ResourceTypes/{name}", Provisioner),
    read("/scim/v2/{provider_id}/Schemas", Provisioner),
    read("/scim/v2/{provider_id}/Schemas/{schema}", Provisioner),
    read("/scim/v2/{provider_id}/Users", Provisioner),
    ask("/scim/v2/{provider_id}/Users/.search", Provisioner),
    write("POST", "/scim/v2/{provider_id}/Users", Provisioner, "scim_user.create"),
    read("/scim/v2/{provider_id}/Users/{id}", Provisioner),
    write("PUT", "/scim/v2/{provider_id}/Users/{id}", Provisioner, "scim_user.update"),
    write("PATCH", "/scim/v2/{provider_id}/Users/{id}", Provisioner, "scim_user.update"),
    write("DELETE", "/scim/v2/{provider_id}/Users/{id}", Provisioner, "scim_user.delete"),
    read("/scim/v2/{provider_id}/Groups", Provisioner),
    ask("/scim/v2/{provider_id}/Groups/.search", Provisioner),
    write("POST", "/scim/v2/{provider_id}/Groups", Provisioner, "scim_group.create"),
    read("/scim/v2/{provider_id}/Groups/{id}", Provisioner),
    write("PUT", "/scim/v2/{provider_id}/Groups/{id}", Provisioner, "scim_group.update"),
    write("PATCH", "/scim/v2/{provider_id}/Groups/{id}", Provisioner, "scim_group.update"),
    write("DELETE", "/scim/v2/{provider_id}/Groups/{id}", Provisioner, "scim_group.delete"),
    // environments
    read("/v1/environments", SignedIn),
    write("POST", "/v1/environments", Admin, "environment.create"),
    read("/v1/environments/{environment_id}", In(View)),
    write("PATCH", "/v1/environments/{environment_id}", In(ManageEnvironment), "environment.update"),
    read("/v1/environments/{environment_id}/members", In(View)),
    read("/v1/environments/{environment_id}/people", In(View)),
    write("PUT", "/v1/environments/{environment_id}/members", In(ManageEnvironment), "member.set"),
    write("DELETE", "/v1/environments/{environment_id}/members/{principal_id}", In(ManageEnvironment), "member.remove"),
    read("/v1/environments/{environment_id}/overview", In(View)),
    read("/v1/environments/{environment_id}/usage", In(View)),
    write("DELETE", "/v1/environments/{environment_id}", In(ManageEnvironment), "environment.delete"),
    // operations
    read("/v1/environments/{environment_id}/operations", In(View)),
    read("/v1/environments/{environment_id}/operations/{operation_id}", In(View)),
    read("/v1/environments/{environment_id}/operations/{operation_id}/log", In(View)),
    write("POST", "/v1/environments/{environment_id}/operations/{operation_id}/cancel", In(Deploy), "operation.cancel"),
    // stacks
    ask("/v1/environments/{environment_id}/compose/check", In(View)),
    read("/v1/environments/{environment_id}/stacks", In(View)),
    write("POST", "/v1/environments/{environment_id}/stacks", In(Deploy), "stack.install"),
    read("/v1/environments/{environment_id}/stacks/{stack_id}", In(View)),
    write("PUT", "/v1/environments/{environment_id}/stacks/{stack_id}", In(Deploy), "stack.update"),
    write("DELETE", "/v1/environments/{environment_id}/stacks/{stack_id}", In(Deploy), "stack.remove"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/start", In(Deploy), "stack.start"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/stop", In(Deploy), "stack.stop"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/restart", In(Deploy), "stack.restart"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/deploy", In(Deploy), "stack.deploy"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade", In(Deploy), "stack.upgrade"),
    ask("/v1/environments/{environment_id}/stacks/{stack_id}/upgrade/preview", In(Deploy)),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/rollback", In(Deploy), "stack.rollback"),
    read("/v1/environments/{environment_id}/stacks/{stack_id}/revisions", In(View)),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/scale", In(Deploy), "service.scale"),
    write("POST", "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/restart", In(Deploy), "service.restart"),
    // secrets and registries
    read("/v1/environments/{environment_id}/secrets", In(View)),
    write("POST", "/v1/environments/{environment_id}/secrets", In(Deploy), "secret.create"),
    write("PUT", "/v1/environments/{environment_id}/secrets/{secret_id}", In(Deploy), "secret.update"),
    write("DELETE", "/v1/environments/{environment_id}/secrets/{secret_id}", In(Deploy), "secret.delete"),
    read("/v1/environments/{environment_id}/registries", In(View)),
    write("POST", "/v1/environments/{environment_id}/registries", In(Deploy), "registry.create"),
    write("PUT", "/v1/environments/{environment_id}/registries/{registry_id}", In(Deploy), "registry.update"),
    write("DELETE", "/v1/environments/{environment_id}/registries/{registry_id}", In(Deploy), "registry.delete"),
    // catalog
    read("/v1/catalogs", SignedIn),
    write("POST", "/v1/catalogs", Admin, "catalog.create"),
    read("/v1/catalogs/{catalog_id}", SignedIn),
    write("PATCH", "/v1/catalogs/{catalog_id}", Admin, "catalog.update"),
    write("DELETE", "/v1/catalogs/{catalog_id}", Admin, "catalog.delete"),
    write("POST", "/v1/catalogs/{catalog_id}/refresh", Admin, "catalog.refresh"),
    read("/v1/templates", SignedIn),
    read("/v1/templates/categories", SignedIn),
    read("/v1/templates/{catalog_id}/{template}", SignedIn),
    read("/v1/templates/{catalog_id}/{template}/icon", SignedIn),
    read("/v1/templates/{catalog_id}/{template}/versions/{version}", SignedIn),
    ask("/v1/environments/{environment_id}/templates/{catalog_id}/{template}/versions/{version}/preview", In(View)),
    // events, audit, settings
    read("/v1/events", SignedIn),
    read("/v1/audit", Admin),
    read("/v1/audit/export", Admin),
    read("/v1/environments/{environment_id}/audit", In(ManageEnvironment)),
    read("/v1/settings", Admin),
    write("PATCH", "/v1/settings", Admin, "settings.update"),
    // agents
    read("/agent/install.sh", Public),
    read("/agent/{architecture}/drover", Public),
    read("/agent/{architecture}/drover.sha256", Public),
    read("/agent/image.tar", Public),
    write("POST", "/v1/agents/register", Public, "host.register"),
    // These two prove who they are by keys of their own.
    read("/v1/agents/tunnel", Public),
    read("/v1/replicas/tunnel", Public),
    read("/v1/environments/{environment_id}/registration-tokens", In(ManageHosts)),
    write("POST", "/v1/environments/{environment_id}/registration-tokens", In(ManageHosts), "registration_token.create"),
    write("DELETE", "/v1/environments/{environment_id}/registration-tokens/{token_id}", In(ManageHosts), "registration_token.revoke"),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/agent/upgrade", In(ManageHosts), "host.upgrade_agent"),
    // hosts
    read("/v1/environments/{environment_id}/hosts", In(View)),
    write("POST", "/v1/environments/{environment_id}/hosts", In(ManageHosts), "host.create"),
    ask("/v1/environments/{environment_id}/hosts/test", In(ManageHosts)),
    read("/v1/environments/{environment_id}/hosts/{host_id}", In(View)),
    write("PATCH", "/v1/environments/{environment_id}/hosts/{host_id}", In(ManageHosts), "host.update"),
    write("DELETE", "/v1/environments/{environment_id}/hosts/{host_id}", In(ManageHosts), "host.remove"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/docker-context", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/usage", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/events", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/images", In(View)),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/images", In(Deploy), "image.pull"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/images/{image_id}", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/hosts/{host_id}/images/{image_id}", In(Deploy), "image.remove"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/volumes", In(View)),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/volumes", In(Deploy), "volume.create"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/volumes/{volume_name}", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/hosts/{host_id}/volumes/{volume_name}", In(Deploy), "volume.remove"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/networks", In(View)),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/networks", In(ManageHosts), "network.create"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/networks/{network_id}", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/hosts/{host_id}/networks/{network_id}", In(ManageHosts), "network.remove"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/prune", In(View)),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/prune", In(Deploy), "host.prune"),
    read("/v1/environments/{environment_id}/containers", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}", In(View)),
    write("PATCH", "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}", In(Deploy), "container.rename"),
    write("DELETE", "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}", In(Deploy), "container.remove"),
    write("POST", "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/actions", In(Deploy), "container.act"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/processes", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/logs", In(View)),
    read("/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/logs/ws", In(View)),
    write("GET", "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/exec/ws", In(Deploy), "container.exec"),
    read("/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/stats/ws", In(View)),
    // swarms
    read("/v1/environments/{environment_id}/swarm", In(View)),
    write("POST", "/v1/environments/{environment_id}/swarm", In(ManageHosts), "swarm.create"),
    write("PATCH", "/v1/environments/{environment_id}/swarm", In(ManageHosts), "swarm.update"),
    write("DELETE", "/v1/environments/{environment_id}/swarm", In(ManageHosts), "swarm.remove"),
    write("POST", "/v1/environments/{environment_id}/swarm/take-over", In(ManageHosts), "swarm.take_over"),
    write("POST", "/v1/environments/{environment_id}/swarm/join", In(ManageHosts), "swarm.join"),
    write("POST", "/v1/environments/{environment_id}/swarm/force-new-cluster", In(ManageHosts), "swarm.force_new_cluster"),
    write("POST", "/v1/environments/{environment_id}/swarm/unlock", In(ManageHosts), "swarm.unlock"),
    write("POST", "/v1/environments/{environment_id}/swarm/rotate", In(ManageHosts), "swarm.rotate"),
    write("GET", "/v1/environments/{environment_id}/swarm/keys", In(ManageHosts), "swarm.read_keys"),
    read("/v1/environments/{environment_id}/swarm/nodes", In(View)),
    read("/v1/environments/{environment_id}/swarm/nodes/{node_id}", In(View)),
    write("PATCH", "/v1/environments/{environment_id}/swarm/nodes/{node_id}", In(ManageHosts), "swarm_node.update"),
    write("DELETE", "/v1/environments/{environment_id}/swarm/nodes/{node_id}", In(ManageHosts), "swarm_node.remove"),
    write("POST", "/v1/environments/{environment_id}/swarm/nodes/{node_id}/leave", In(ManageHosts), "swarm_node.leave"),
    read("/v1/environments/{environment_id}/swarm/services", In(View)),
    read("/v1/environments/{environment_id}/swarm/services/{service_id}", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/swarm/services/{service_id}", In(Deploy), "swarm_service.remove"),
    write("POST", "/v1/environments/{environment_id}/swarm/services/{service_id}/scale", In(Deploy), "swarm_service.scale"),
    write("POST", "/v1/environments/{environment_id}/swarm/services/{service_id}/update", In(Deploy), "swarm_service.update"),
    write("POST", "/v1/environments/{environment_id}/swarm/services/{service_id}/rollback", In(Deploy), "swarm_service.rollback"),
    read("/v1/environments/{environment_id}/swarm/services/{service_id}/logs", In(View)),
    read("/v1/environments/{environment_id}/swarm/services/{service_id}/logs/ws", In(View)),
    read("/v1/environments/{environment_id}/swarm/tasks", In(View)),
    read("/v1/environments/{environment_id}/swarm/tasks/{task_id}", In(View)),
    read("/v1/environments/{environment_id}/swarm/tasks/{task_id}/logs", In(View)),
    read("/v1/environments/{environment_id}/swarm/tasks/{task_id}/logs/ws", In(View)),
    read("/v1/environments/{environment_id}/swarm/stacks", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/swarm/stacks/{name}", In(Deploy), "swarm_stack.remove"),
    read("/v1/environments/{environment_id}/swarm/networks", In(View)),
    write("POST", "/v1/environments/{environment_id}/swarm/networks", In(ManageHosts), "swarm_network.create"),
    write("DELETE", "/v1/environments/{environment_id}/swarm/networks/{network_id}", In(ManageHosts), "swarm_network.remove"),
    read("/v1/environments/{environment_id}/swarm/secrets", In(View)),
    write("POST", "/v1/environments/{environment_id}/swarm/secrets", In(Deploy), "swarm_secret.create"),
    write("POST", "/v1/environments/{environment_id}/swarm/secrets/{secret_id}/rotate", In(Deploy), "swarm_secret.rotate"),
    write("DELETE", "/v1/environments/{environment_id}/swarm/secrets/{secret_id}", In(Deploy), "swarm_secret.remove"),
    read("/v1/environments/{environment_id}/swarm/configs", In(View)),
    read("/v1/environments/{environment_id}/swarm/configs/{config_id}", In(View)),
    write("POST", "/v1/environments/{environment_id}/swarm/configs", In(Deploy), "swarm_config.create"),
    write("POST", "/v1/environments/{environment_id}/swarm/configs/{config_id}/rotate", In(Deploy), "swarm_config.rotate"),
    write("DELETE", "/v1/environments/{environment_id}/swarm/configs/{config_id}", In(Deploy), "swarm_config.remove"),
    // Kubernetes clusters
    read("/v1/kubernetes/clusters", Admin),
    write("POST", "/v1/kubernetes/clusters", Admin, "kubernetes_cluster.import"),
    ask("/v1/kubernetes/clusters/check", Admin),
    read("/v1/kubernetes/clusters/{cluster_id}", Admin),
    write("PATCH", "/v1/kubernetes/clusters/{cluster_id}", Admin, "kubernetes_cluster.update"),
    write("DELETE", "/v1/kubernetes/clusters/{cluster_id}", Admin, "kubernetes_cluster.remove"),
    read("/v1/kubernetes/clusters/{cluster_id}/namespaces", Admin),
    read("/v1/kubernetes/clusters/{cluster_id}/health", Admin),
    write("POST", "/v1/kubernetes/clusters/{cluster_id}/manifest", Admin, "kubernetes_cluster.manifest"),
    // Good once, by what is in the address.
    read("/kubernetes/import/{token}", Public),
    // The agent's image, as a registry gives it.
    read("/v2/", Public),
    read("/v2/drover/agent/manifests/{reference}", Public),
    read("/v2/drover/agent/blobs/{digest}", Public),
    read("/v1/environments/{environment_id}/kubernetes", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/health", In(View)),
    write("PATCH", "/v1/environments/{environment_id}/kubernetes", In(ManageEnvironment), "kubernetes_environment.update"),
    write("POST", "/v1/environments/{environment_id}/kubernetes/namespaces", In(ManageEnvironment), "kubernetes_namespace.create"),
    write("DELETE", "/v1/environments/{environment_id}/kubernetes/namespaces/{namespace}", In(ManageEnvironment), "kubernetes_namespace.remove"),
    read("/v1/environments/{environment_id}/kubernetes/types", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/resources/{type}", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/resources/{type}/groups", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/schema/{type}", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}", In(View)),
    write("DELETE", "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}", In(Deploy), "kubernetes_object.delete"),
    // Nodes need more: the handler asks. It also names what was done.
    write("POST", "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/actions", In(Deploy), "kubernetes_object.act"),
    read("/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/revisions", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/picture", In(View)),
    write("POST", "/v1/environments/{environment_id}/kubernetes/apply", In(Deploy), "kubernetes_object.apply"),
    read("/v1/environments/{environment_id}/kubernetes/logs", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/logs/ws", In(View)),
    read("/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/logs/ws", In(View)),
    write("GET", "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/exec/ws", In(Deploy), "kubernetes_pod.exec"),
    write("GET", "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/files", In(Deploy), "kubernetes_pod.read_files"),
    write("PUT", "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/files", In(Deploy), "kubernetes_pod.write_files"),
    read("/v1/environments/{environment_id}/kubernetes/metrics", In(View)),
    // the native Docker command line
    docker("GET", "/docker/hosts/{host_id}/{*path}"),
    docker("POST", "/docker/hosts/{host_id}/{*path}"),
    docker("PUT", "/docker/hosts/{host_id}/{*path}"),
    docker("DELETE", "/docker/hosts/{host_id}/{*path}"),
    docker("GET", "/docker/environments/{environment_id}/swarm/{*path}"),
    docker("POST", "/docker/environments/{environment_id}/swarm/{*path}"),
    docker("PUT", "/docker/environments/{environment_id}/swarm/{*path}"),
    docker("DELETE", "/docker/environments/{environment_id}/swarm/{*path}"),
    // clusters' own APIs
    write("POST", "/v1/environments/{environment_id}/kubernetes/kubeconfig", In(View), "kubernetes_kubeconfig.create"),
    write("POST", "/v1/environments/{environment_id}/kubernetes/port-forwards", In(Deploy), "kubernetes_port_forward.create"),
    kubernetes("GET", "/k8s/clusters/{cluster_id}/"),
    kubernetes("POST", "/k8s/clusters/{cluster_id}/"),
    kubernetes("PUT", "/k8s/clusters/{cluster_id}/"),
    kubernetes("PATCH", "/k8s/clusters/{cluster_id}/"),
    kubernetes("DELETE", "/k8s/clusters/{cluster_id}/"),
    kubernetes("OPTIONS", "/k8s/clusters/{cluster_id}/"),
    kubernetes("GET", "/k8s/clusters/{cluster_id}/{*path}"),
    kubernetes("POST", "/k8s/clusters/{cluster_id}/{*path}"),
    kubernetes("PUT", "/k8s/clusters/{cluster_id}/{*path}"),
    kubernetes("PATCH", "/k8s/clusters/{cluster_id}/{*path}"),
    kubernetes("DELETE", "/k8s/clusters/{cluster_id}/{*path}"),
    kubernetes("OPTIONS", "/k8s/clusters/{cluster_id}/{*path}"),
    // The address itself proves who may: see `kubernetes_api::forward`.
    Rule { method: "GET", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "POST", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "PUT", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "PATCH", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "DELETE", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "OPTIONS", path: "/k8s/forward/{token}/", needs: Public, action: None },
    Rule { method: "GET", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
    Rule { method: "POST", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
    Rule { method: "PUT", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
    Rule { method: "PATCH", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
    Rule { method: "DELETE", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
    Rule { method: "OPTIONS", path: "/k8s/forward/{token}/{*path}", needs: Public, action: None },
];

/// The rule of a route, if the table knows it.
pub fn rule(method: &Method, path: &str) -> Option<&'static Rule> {
    static BY_ROUTE: LazyLock<HashMap<(&str, &str), &Rule>> =
        LazyLock::new(|| RULES.iter().map(|rule| ((rule.method, rule.path), rule)).collect());
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    BY_ROUTE.get(&(method, path)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_permit_what_the_design_says() {
        use Permission::*;
        let table = [
            (Role::Readonly, vec![View]),
            (Role::Restricted, vec![View, Deploy]),
            (Role::Member, vec![View, Deploy, ManageHosts, HostTakeover]),
            (Role::Owner, vec![View, Deploy, ManageHosts, HostTakeover, ManageEnvironment]),
        ];
        for (role, expected) in table {
            assert_eq!(permissions(role), expected, "{role:?}");
        }
    }

    #[test]
    fn each_route_stands_once_and_each_write_has_an_action() {
        let mut seen = std::collections::HashSet::new();
        for rule in RULES {
            assert!(seen.insert((rule.method, rule.path)), "{} {} twice", rule.method, rule.path);
            // What engines and clusters are asked through Drover is named where it is passed on.
            let is_passed_on =
                matches!(rule.needs, Docker | Kubernetes) || rule.path.starts_with("/k8s/forward/");
            if !matches!(rule.method, "GET" | "POST") && !is_passed_on {
                assert!(rule.action.is_some(), "{} {} has no action", rule.method, rule.path);
            }
            if let In(_) = rule.needs {
                assert!(
                    rule.path.starts_with("/v1/environments/{environment_id}"),
                    "{}",
                    rule.path
                );
            }
        }
    }
}
