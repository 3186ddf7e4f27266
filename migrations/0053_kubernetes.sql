-- Kubernetes clusters, and environments that stand on them.

CREATE TABLE kubernetes_clusters (
    id uuid PRIMARY KEY,
    name citext NOT NULL UNIQUE,
    -- api::ClusterSource.
    source text NOT NULL CHECK (source IN ('kubeconfig', 'agent')),
    -- The address of the API server; none for agents, who know it themselves.
    server text,
    -- Encrypted JSON: where and as whom to connect (drover_kubernetes::client::Access).
    access bytea,
    allow_private_address boolean NOT NULL DEFAULT false,
    -- SHA-256 of the token in the manifest's address.
    manifest_token bytea UNIQUE,
    manifest_expires_at timestamptz,
    -- The image of the agent, where it is not the server's own.
    manifest_image text,
    -- When the manifest was fetched: it is given out once.
    manifest_fetched_at timestamptz,
    -- Its agent's public key (Ed25519): the manifest brings the other half into the cluster.
    agent_key bytea UNIQUE,
    agent_version text,
    agent_address text,
    -- What was last seen, for the time that it is away: api::KubernetesCluster's facts.
    seen jsonb,
    last_contact timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    CHECK ((source = 'kubeconfig') = (access IS NOT NULL AND server IS NOT NULL))
);

-- Agents are on hosts and in clusters.
ALTER TABLE tunnels DROP CONSTRAINT tunnels_host_id_fkey;
ALTER TABLE tunnels RENAME COLUMN host_id TO agent_id;

ALTER TABLE environments DROP CONSTRAINT environments_cluster_kind_check;
ALTER TABLE environments
    ADD CONSTRAINT environments_cluster_kind_check
    CHECK (cluster_kind IN ('cattle', 'swarm', 'kubernetes'));

-- What part of a cluster an environment is.
CREATE TABLE kubernetes_environments (
    environment_id uuid PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
    cluster_id uuid NOT NULL REFERENCES kubernetes_clusters,
    whole_cluster boolean NOT NULL,
    -- api::PodSecurity.
    pod_security text NOT NULL DEFAULT 'baseline' CHECK (pod_security IN ('baseline', 'privileged')),
    -- api::NamespaceLimits.
    limits jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    -- For the reference from namespaces.
    UNIQUE (environment_id, cluster_id)
);

CREATE INDEX kubernetes_environments_cluster ON kubernetes_environments (cluster_id);

-- A namespace belongs to one environment at most.
CREATE TABLE kubernetes_namespaces (
    cluster_id uuid NOT NULL,
    name text NOT NULL,
    environment_id uuid NOT NULL,
    -- Drover made it, and may remove it with the environment when a person says so.
    made boolean NOT NULL DEFAULT false,
    PRIMARY KEY (cluster_id, name),
    FOREIGN KEY (environment_id, cluster_id)
        REFERENCES kubernetes_environments (environment_id, cluster_id) ON DELETE CASCADE
);

CREATE INDEX kubernetes_namespaces_environment ON kubernetes_namespaces (environment_id);
