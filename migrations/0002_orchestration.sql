-- Hosts, stacks, what they should run, operations.

CREATE TABLE hosts (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    name citext NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    -- api::Endpoint
    endpoint jsonb NOT NULL,
    -- Encrypted api::TlsCredentials
    tls bytea,
    mode text NOT NULL CHECK (mode IN ('active', 'inactive', 'draining')),
    -- api::HostFacts of the last contact
    facts jsonb,
    last_contact_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (environment_id, name)
);

-- Long work. Claimed with a lease, so that a server that dies leaves it to the next one.
CREATE TABLE operations (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    kind text NOT NULL,
    target_kind text NOT NULL,
    target_id uuid NOT NULL,
    target_name text NOT NULL,
    -- What the work needs to know, by kind.
    input jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    progress double precision NOT NULL DEFAULT 0,
    message text NOT NULL DEFAULT '',
    -- api::OperationError
    error jsonb,
    created_by uuid,
    created_by_login text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    lease_owner uuid,
    lease_until timestamptz
);
CREATE INDEX operations_environment ON operations (environment_id, id);
CREATE INDEX operations_target ON operations (target_id, id);
CREATE INDEX operations_open ON operations (id) WHERE state IN ('queued', 'running');

CREATE TABLE operation_log (
    operation_id uuid NOT NULL REFERENCES operations ON DELETE CASCADE,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    message text NOT NULL,
    PRIMARY KEY (operation_id, seq)
);

CREATE TABLE stacks (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    -- What a person wants of it.
    desired text NOT NULL CHECK (desired IN ('running', 'stopped', 'removed')),
    -- The revision that is wanted; its row is in stack_revisions.
    revision integer NOT NULL,
    catalog_id uuid,
    template text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (environment_id, name)
);

CREATE TABLE stack_revisions (
    stack_id uuid NOT NULL REFERENCES stacks ON DELETE CASCADE,
    revision integer NOT NULL,
    -- The Compose text, with variables not filled in.
    compose text NOT NULL,
    -- Values of variables that are not secret.
    variables jsonb NOT NULL DEFAULT '{}',
    -- Values of those that are: an encrypted JSON object.
    secret_variables bytea,
    -- Only the names of the latter.
    secret_names text[] NOT NULL DEFAULT '{}',
    template_version text,
    -- The template version's own Compose text: the base of the next three-way upgrade.
    template_compose text,
    comment text NOT NULL DEFAULT '',
    created_by_login text,
    created_at timestamptz NOT NULL DEFAULT now(),
    outcome text CHECK (outcome IN ('succeeded', 'failed', 'replaced')),
    PRIMARY KEY (stack_id, revision)
);

-- Encrypted values that Compose texts name with `external: true`, and certificates.
CREATE TABLE secrets (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opaque', 'certificate')),
    description text NOT NULL DEFAULT '',
    value bytea NOT NULL,
    expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (environment_id, name)
);

CREATE TABLE registries (
    id uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    address text NOT NULL,
    username text NOT NULL,
    password bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (environment_id, address)
);
