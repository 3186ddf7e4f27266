-- Where the containers of an environment go, and how they reach each other across hosts.

ALTER TABLE environments
    -- api::Scheduling; what is left out has its default.
    ADD COLUMN scheduling jsonb NOT NULL DEFAULT '{}',
    -- api::CrossHostNetworkStatus, written by the engine.
    ADD COLUMN cross_host_network jsonb,
    -- The host on which Drover makes, or has made, the swarm of that network; none when the swarm
    -- is somebody else's. Written before it is made, so that a swarm is known after a crash too.
    ADD COLUMN swarm_made_on uuid;

ALTER TABLE instances
    -- What it takes on its host and is known by there (ports, reservations, labels): other stacks
    -- are placed with an eye to it.
    ADD COLUMN claims jsonb NOT NULL DEFAULT '{}',
    -- The host that it is being moved from: the container there goes when the new one is ready.
    ADD COLUMN moving_from uuid REFERENCES hosts ON DELETE SET NULL,
    -- What the server's own check of it says, of which container: see clusters/cattle/health.
    ADD COLUMN health jsonb;
