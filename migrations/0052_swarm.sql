-- Docker Swarm as the cluster of an environment.

ALTER TABLE environments DROP CONSTRAINT environments_cluster_kind_check;
ALTER TABLE environments
    ADD CONSTRAINT environments_cluster_kind_check CHECK (cluster_kind IN ('cattle', 'swarm'));

-- What Drover knows and wants of an environment's swarm. The swarm's managers know the rest.
CREATE TABLE swarms (
    environment_id uuid PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
    -- The engine's id of the swarm that this environment stands on; none before it was made or
    -- taken over.
    cluster_id text,
    -- Encrypted JSON: what lets machines in, in case no manager can be asked any more.
    keys bytea,
    -- api::PublishMode and api::EndpointMode of services that say nothing themselves.
    publish_mode text NOT NULL DEFAULT 'ingress' CHECK (publish_mode IN ('ingress', 'host')),
    endpoint_mode text NOT NULL DEFAULT 'vip' CHECK (endpoint_mode IN ('vip', 'dnsrr')),
    version bigint NOT NULL DEFAULT 1
);

