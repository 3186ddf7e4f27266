-- Accounts, principals, sessions, API keys, environments, settings, audit log.

CREATE EXTENSION IF NOT EXISTS citext;

-- Settings that people change while Drover runs, and what Drover itself must remember.
CREATE TABLE settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    login citext NOT NULL UNIQUE,
    display_name text NOT NULL,
    email text,
    global_role text NOT NULL CHECK (global_role IN ('admin', 'user')),
    state text NOT NULL CHECK (state IN ('active', 'inactive')),
    -- Argon2id in PHC format; absent for accounts of other identity providers.
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_sign_in_at timestamptz,
    version bigint NOT NULL DEFAULT 1
);

-- Users and groups as identity providers name them. Local users have one each; directories add
-- theirs when they are first seen.
CREATE TABLE principals (
    id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'group')),
    provider text NOT NULL,
    name text NOT NULL,
    login text,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Which principals a user acts as: the user's own, and those of groups that the user is in.
CREATE TABLE user_principals (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    principal_id text NOT NULL REFERENCES principals ON DELETE CASCADE,
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, principal_id)
);
CREATE INDEX user_principals_principal ON user_principals (principal_id);

-- Browser sessions. `id` is the SHA-256 of the cookie's value, so that reading this table does
-- not let anyone in.
CREATE TABLE sessions (
    id bytea PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES users ON DELETE CASCADE,
    data jsonb NOT NULL,
    address text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- Failed sign-ins by account and by address; `key` is `login:…` or `address:…`.
CREATE TABLE sign_in_failures (
    key text PRIMARY KEY,
    failures integer NOT NULL,
    last_failure_at timestamptz NOT NULL,
    blocked_until timestamptz
);

CREATE TABLE environments (
    id uuid PRIMARY KEY,
    name citext NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('active', 'inactive', 'removing')),
    cluster_kind text NOT NULL CHECK (cluster_kind IN ('cattle')),
    created_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1
);

CREATE TABLE environment_members (
    environment_id uuid NOT NULL REFERENCES environments ON DELETE CASCADE,
    principal_id text NOT NULL REFERENCES principals ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('readonly', 'restricted', 'member', 'owner')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (environment_id, principal_id)
);
CREATE INDEX environment_members_principal ON environment_members (principal_id);

-- API keys. `token_hash` is the SHA-256 of the key: keys are random and long, so that a fast
-- hash is enough.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    environment_id uuid REFERENCES environments ON DELETE CASCADE,
    role text CHECK (role IN ('readonly', 'restricted', 'member', 'owner')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_address text
);
CREATE INDEX api_keys_user ON api_keys (user_id);

-- Answers to POSTs that carried an Idempotency-Key, for a day.
CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    -- Absent while the first request is still being worked on.
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);

-- Append-only: names are copied, nothing is referenced, and the trigger below refuses changes.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    actor text NOT NULL,
    api_key_id uuid,
    action text NOT NULL,
    target_kind text,
    target_id text,
    target_name text,
    environment_id uuid,
    address text,
    outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
    detail jsonb NOT NULL DEFAULT '{}',
    request_id text
);
CREATE INDEX audit_log_environment ON audit_log (environment_id, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_action ON audit_log (action, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
