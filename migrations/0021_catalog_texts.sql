-- READMEs by language and version, pictures of any kind. What was read from the sources is not
-- carried over but read again: at the next start, and from repositories at once.
DROP TABLE catalog_versions;
DROP TABLE catalog_templates;

ALTER TABLE catalogs
    -- The host keys that SSH saw at the first fetch.
    ADD COLUMN ssh_host_keys text,
    -- Commit, and the Drover that read it: another one may read the same files otherwise.
    ADD COLUMN read_key text,
    -- catalog::model::About
    ADD COLUMN about jsonb NOT NULL DEFAULT '{}',
    DROP COLUMN categories;
UPDATE catalogs SET checked_at = NULL, refreshing_since = NULL;

CREATE TABLE catalog_templates (
    catalog_id uuid NOT NULL REFERENCES catalogs ON DELETE CASCADE,
    template text NOT NULL,
    -- catalog::model::Template
    definition jsonb NOT NULL,
    icon bytea,
    icon_media_type text,
    -- The beginning of its SHA-256.
    icon_hash text,
    PRIMARY KEY (catalog_id, template)
);

CREATE TABLE catalog_versions (
    catalog_id uuid NOT NULL,
    template text NOT NULL,
    version text NOT NULL,
    -- catalog::model::Release
    definition jsonb NOT NULL,
    compose text NOT NULL,
    -- By language, Markdown.
    readme jsonb NOT NULL,
    PRIMARY KEY (catalog_id, template, version),
    FOREIGN KEY (catalog_id, template) REFERENCES catalog_templates ON DELETE CASCADE
);
