-- What the cattle engine wants to exist: a row for each container, and what people asked for
-- beyond the Compose text.

ALTER TABLE stacks
    -- Scales that people set by hand, by service: they win over the text's.
    ADD COLUMN scales jsonb NOT NULL DEFAULT '{}',
    -- How often people asked for new containers, by service: part of what a container is made
    -- from, so that a higher number replaces it.
    ADD COLUMN generations jsonb NOT NULL DEFAULT '{}',
    -- On removal: take the volumes along.
    ADD COLUMN remove_volumes boolean NOT NULL DEFAULT false,
    -- On removal: leave what is on hosts that cannot be reached.
    ADD COLUMN force_remove boolean NOT NULL DEFAULT false;

-- A wanted container. Its id is a label of the container that stands for it, so that a server
-- that starts again finds it rather than making it twice.
CREATE TABLE instances (
    id uuid PRIMARY KEY,
    stack_id uuid NOT NULL REFERENCES stacks ON DELETE CASCADE,
    service text NOT NULL,
    ordinal integer NOT NULL,
    host_id uuid NOT NULL REFERENCES hosts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stack_id, service, ordinal)
);
CREATE INDEX instances_host ON instances (host_id);

-- Why a service is not as it should be, in words, by service: written by the engine.
ALTER TABLE stacks ADD COLUMN problems jsonb NOT NULL DEFAULT '{}';
