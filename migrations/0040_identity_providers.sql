-- Identity providers, the accounts that people have there, and who brought which group.

CREATE TABLE identity_providers (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ldap', 'active_directory', 'github', 'openid')),
    name citext NOT NULL UNIQUE,
    enabled boolean NOT NULL DEFAULT false,
    access_mode text NOT NULL CHECK (access_mode IN ('unrestricted', 'restricted', 'required')),
    allowed_groups text[] NOT NULL DEFAULT '{}',
    -- api::ProviderConfig
    config jsonb NOT NULL,
    -- The encrypted bind password or client secret.
    secret bytea,
    -- Changed settings of a provider that is on: in force when a test sign-in has worked. A draft
    -- has both, the secret as it will be.
    draft_config jsonb,
    draft_secret bytea,
    -- Whether a test sign-in has worked with `config` and `secret`.
    tested boolean NOT NULL DEFAULT false,
    -- api::TestReport
    last_test jsonb,
    last_contact_at timestamptz,
    error text,
    failing_since timestamptz,
    -- The SHA-256 of the bearer token for SCIM: random and long, so that a fast hash is enough.
    scim_token_hash bytea UNIQUE,
    scim_token_prefix text,
    scim_last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    -- Grows when what decides how to connect changes.
    config_version bigint NOT NULL DEFAULT 1,
    CHECK (draft_config IS NOT NULL OR draft_secret IS NULL)
);

ALTER TABLE principals
    ADD COLUMN provider_id uuid REFERENCES identity_providers ON DELETE CASCADE,
    -- Where it is, to tell it from others of its name: a DN, `organisation/team`.
    ADD COLUMN detail text;
CREATE INDEX principals_provider ON principals (provider_id);

-- Who may sign in through a provider besides members of environments.
CREATE TABLE provider_principals (
    provider_id uuid NOT NULL REFERENCES identity_providers ON DELETE CASCADE,
    principal_id text NOT NULL REFERENCES principals ON DELETE CASCADE,
    PRIMARY KEY (provider_id, principal_id)
);
CREATE INDEX provider_principals_principal ON provider_principals (principal_id);

-- A user's account at a provider: at most one at each.
CREATE TABLE identities (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    provider_id uuid NOT NULL REFERENCES identity_providers ON DELETE CASCADE,
    principal_id text NOT NULL UNIQUE REFERENCES principals ON DELETE CASCADE,
    login text NOT NULL,
    -- Encrypted: what later refreshes need, e.g. an OAuth token.
    credential bytea,
    -- Why the provider, or a rule of Drover's, refuses the account; it counts while this is null.
    refused text,
    -- What was wrong at the last refresh, if it failed.
    error text,
    -- When the provider last told of it.
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    -- When it was last asked, or claimed by a replica to be asked.
    checked_at timestamptz NOT NULL DEFAULT now(),
    -- Pushed by SCIM: the provider tells of changes by itself, so that the account does not grow
    -- old. Groups that a sign-in has brought still do.
    pushed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, provider_id)
);
CREATE INDEX identities_provider ON identities (provider_id, checked_at);

-- The same group can come from the directory and by SCIM; each takes away only what it brought.
ALTER TABLE user_principals
    ADD COLUMN source text NOT NULL DEFAULT 'own' CHECK (source IN ('own', 'directory', 'scim')),
    DROP CONSTRAINT user_principals_pkey,
    ADD PRIMARY KEY (user_id, principal_id, source);

-- Sessions that came in through a provider end with the account there.
ALTER TABLE sessions
    ADD COLUMN provider_id uuid REFERENCES identity_providers ON DELETE CASCADE,
    -- `sid` of an OpenID provider, for back-channel logout.
    ADD COLUMN provider_session text;
CREATE INDEX sessions_provider ON sessions (provider_id, provider_session);

-- States of redirections and ids of logout tokens that have been used: each is good once.
CREATE TABLE spent_tokens (
    hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_tokens_expires ON spent_tokens (expires_at);

-- Users and groups as SCIM clients see them.
CREATE TABLE scim_users (
    id uuid PRIMARY KEY,
    provider_id uuid NOT NULL REFERENCES identity_providers ON DELETE CASCADE,
    principal_id text NOT NULL UNIQUE REFERENCES principals ON DELETE CASCADE,
    user_name citext NOT NULL,
    external_id text,
    active boolean NOT NULL,
    -- The resource as the client sent it, in the attributes that the schema names.
    resource jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (provider_id, user_name)
);
CREATE UNIQUE INDEX scim_users_external ON scim_users (provider_id, external_id);

CREATE TABLE scim_groups (
    id uuid PRIMARY KEY,
    provider_id uuid NOT NULL REFERENCES identity_providers ON DELETE CASCADE,
    principal_id text NOT NULL UNIQUE REFERENCES principals ON DELETE CASCADE,
    display_name citext NOT NULL,
    external_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1
);
-- Not unique: two groups of a company may have one name, and are told apart by their external ids.
CREATE INDEX scim_groups_name ON scim_groups (provider_id, display_name);
CREATE UNIQUE INDEX scim_groups_external ON scim_groups (provider_id, external_id);

CREATE TABLE scim_members (
    group_id uuid NOT NULL REFERENCES scim_groups ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES scim_users ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX scim_members_user ON scim_members (user_id);

-- For how long the last known groups of an account count when its provider does not answer.
CREATE FUNCTION directory_grace() RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT make_interval(mins => coalesce(
        (SELECT (value #>> '{}')::integer FROM settings WHERE key = 'directory_grace_minutes'), 720))
$$;

-- The accounts at providers that count now, and until when if nobody hears of them again. What a
-- person has through one that is not here, sessions and roles, does not count. Groups that a sign-in
-- or refresh has brought count until `directory_until`, also where the account itself is pushed.
CREATE VIEW live_identities AS
    SELECT i.user_id, i.provider_id, i.principal_id,
        CASE WHEN i.pushed THEN NULL ELSE i.refreshed_at + directory_grace() END AS until,
        i.refreshed_at + directory_grace() AS directory_until
    FROM identities i JOIN identity_providers p ON p.id = i.provider_id
    WHERE p.enabled AND i.refused IS NULL
        -- A sign-in at the very moment of a deactivation must not undo it.
        AND NOT EXISTS (SELECT FROM scim_users s
            WHERE s.principal_id = i.principal_id AND NOT s.active)
        AND (i.pushed OR i.refreshed_at + directory_grace() > now());

-- The accounts at providers that somebody can use now, by a session or a key: those are refreshed.
CREATE VIEW identities_in_use AS
    SELECT i.* FROM identities i
    WHERE EXISTS (SELECT FROM sessions s WHERE s.user_id = i.user_id AND s.expires_at > now())
        OR EXISTS (SELECT FROM api_keys k WHERE k.user_id = i.user_id
            AND (k.expires_at IS NULL OR k.expires_at > now()));
