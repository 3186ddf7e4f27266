-- What a stack has in its Kubernetes cluster.

CREATE TABLE kubernetes_stacks (
    stack_id uuid PRIMARY KEY REFERENCES stacks ON DELETE CASCADE,
    -- Chosen at the first rollout, and kept while the stack's text names no other one.
    namespace text NOT NULL,
    -- Random: what digests of the stack's objects are made with, so that they tell nothing of
    -- secrets.
    salt bytea NOT NULL,
    -- [{"api_version": "apps/v1", "kind": "Deployment", "namespace": "team", "name": "web"}]:
    -- written before an object is applied, so that what is pruned or removed is no guess.
    applied jsonb NOT NULL DEFAULT '[]',
    -- Somebody has asked for images to be pulled anew: from then on they are at each start.
    pull boolean NOT NULL DEFAULT false
);
