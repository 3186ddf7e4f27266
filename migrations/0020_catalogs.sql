-- Where templates come from.
CREATE TABLE catalogs (
    id uuid PRIMARY KEY,
    name citext NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('builtin', 'directory', 'git')),
    location text,
    branch text,
    username text,
    -- The encrypted password, token or private key.
    secret bytea,
    -- The state of the source that the templates are from.
    commit text,
    -- Set while a server reads it; an old one is of a server that ended meanwhile.
    refreshing_since timestamptz,
    checked_at timestamptz,
    refreshed_at timestamptz,
    error text,
    problems jsonb NOT NULL DEFAULT '[]',
    -- The categories with their translations.
    categories jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX catalogs_one_of_each ON catalogs (kind) WHERE kind <> 'git';

CREATE TABLE catalog_templates (
    catalog_id uuid NOT NULL REFERENCES catalogs ON DELETE CASCADE,
    template text NOT NULL,
    definition jsonb NOT NULL,
    readme text NOT NULL,
    icon text,
    PRIMARY KEY (catalog_id, template)
);

CREATE TABLE catalog_versions (
    catalog_id uuid NOT NULL,
    template text NOT NULL,
    version text NOT NULL,
    definition jsonb NOT NULL,
    compose text NOT NULL,
    PRIMARY KEY (catalog_id, template, version),
    FOREIGN KEY (catalog_id, template) REFERENCES catalog_templates ON DELETE CASCADE
);
