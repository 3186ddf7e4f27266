-- Agents of hosts, the tokens that let them in, and the server's replicas, which forward to each
-- other what an agent's tunnel carries.

CREATE TABLE registration_tokens (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    name text NOT NULL DEFAULT '',
    prefix text NOT NULL,
    -- SHA-256: tokens are random and long.
    token_hash bytea NOT NULL UNIQUE,
    labels jsonb NOT NULL DEFAULT '{}',
    most_hosts integer CHECK (most_hosts > 0),
    hosts integer NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX registration_tokens_environment ON registration_tokens (environment_id, id);

CREATE TABLE agents (
    host_id uuid PRIMARY KEY REFERENCES hosts ON DELETE CASCADE,
    -- Ed25519.
    public_key bytea NOT NULL UNIQUE,
    version text NOT NULL,
    -- Refused for that at its last try.
    too_old boolean NOT NULL DEFAULT false,
    address text,
    connected_at timestamptz,
    registered_at timestamptz NOT NULL DEFAULT now(),
    -- api::AgentUpgrade
    upgrade jsonb,
    -- api::AgentClone
    clone jsonb
);

-- The server's processes on this database. One that has not been seen for a while is gone.
CREATE TABLE replicas (
    id uuid PRIMARY KEY,
    -- Where the others reach it, `HOST:PORT`.
    address text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Which replica an agent's tunnel ends on.
CREATE TABLE tunnels (
    host_id uuid PRIMARY KEY REFERENCES hosts ON DELETE CASCADE,
    replica_id uuid NOT NULL REFERENCES replicas ON DELETE CASCADE,
    -- This very connection.
    id uuid NOT NULL UNIQUE,
    -- The agent's process: another one with the same key is another machine.
    process uuid NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tunnels_replica ON tunnels (replica_id);
