//! Stacks and their services.

use crate::{FieldError, Operation, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a stack or service stands, summed up from its containers and operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StackState {
    /// Being deployed for the first time.
    Installing,
    /// All that should run runs, and is healthy.
    Running,
    /// Something that should run does not, or is not healthy.
    Degraded,
    /// Being changed.
    Upgrading,
    /// An install or upgrade has failed and was stopped; the reason says why.
    Failed,
    /// Stopped by a person; volumes are kept.
    Stopped,
    /// Being removed.
    Removing,
}

/// An installed application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stack {
    /// The stack's id.
    pub id: Uuid,
    /// The environment that it is in.
    pub environment_id: Uuid,
    /// Unique in its environment: lower-case letters, digits, `-`; 1 to 40 characters.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it stands.
    pub state: StackState,
    /// Why, in words, when not `running`.
    pub reason: Option<String>,
    /// The template that it was installed from; absent for a Compose file of one's own.
    pub template: Option<StackTemplate>,
    /// The revision that is wanted; see `…/revisions`.
    pub revision: i32,
    /// How many services it has.
    pub services: u32,
    /// How many containers run, out of how many should.
    pub running: u32,
    /// See `running`.
    pub desired: u32,
    /// The operation that is under way, if any.
    pub operation_id: Option<Uuid>,
    /// When it was installed.
    pub created_at: Timestamp,
    /// When it was last changed by a person.
    pub updated_at: Timestamp,
    /// Grows with each change by a person; the `ETag`.
    pub version: i64,
}

/// The template that a stack came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StackTemplate {
    /// The catalog's id.
    pub catalog_id: Uuid,
    /// The template's folder name in it.
    pub template: String,
    /// The installed version.
    pub version: String,
    /// The newest version that it can be upgraded to, if there is one.
    pub upgrade_available: Option<String>,
}

/// A stack with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StackDetail {
    /// What lists show.
    #[serde(flatten)]
    pub stack: Stack,
    /// Its Compose text, with variables not filled in.
    pub compose: String,
    /// The values of its variables; secret ones are `null` here.
    pub variables: IndexMap<String, Option<String>>,
    /// Its services, in the Compose text's order.
    pub service_list: Vec<Service>,
}

/// One part of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Service {
    /// Its name in the stack, which is its DNS name too.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Where it stands.
    pub state: StackState,
    /// Why, in words, when not `running`: e.g. which rule ruled out which host.
    pub reason: Option<String>,
    /// How many containers should run.
    pub scale: u32,
    /// How many do.
    pub running: u32,
    /// How many are healthy (those without a health check count when running).
    pub healthy: u32,
    /// True when it runs once on each matching host (`deploy.mode: global`).
    pub global: bool,
    /// Published ports, as wanted.
    pub ports: Vec<String>,
    /// The services that it waits for: for the picture of the stack.
    pub depends_on: Vec<String>,
    /// The networks that it is in.
    pub networks: Vec<String>,
    /// The volumes that it has mounted.
    pub volumes: Vec<String>,
}

/// `POST /v1/environments/{environment_id}/stacks`: installs a stack. Answers 202 with a
/// [`StackOperation`].
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateStack {
    /// Unique in the environment: lower-case letters, digits, `-`; 1 to 40 characters.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// A Compose text or a template.
    pub source: StackSource,
}

/// What a stack is installed from.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StackSource {
    /// A Compose text of one's own; or, on a Kubernetes cluster, manifests.
    Compose {
        /// The text, at most 1 MiB.
        compose: String,
        /// The values of its variables.
        #[serde(default)]
        variables: IndexMap<String, String>,
        /// The names of the variables whose values are secret.
        #[serde(default)]
        secret_variables: Vec<String>,
    },
    /// A template of a catalog.
    Template {
        /// The catalog's id.
        catalog_id: Uuid,
        /// The template's folder name in it.
        template: String,
        /// The version.
        version: String,
        /// The answers to its questions; those left out get their defaults.
        #[serde(default)]
        answers: IndexMap<String, serde_json::Value>,
    },
}

/// The stack and the operation that works on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StackOperation {
    /// The stack as it is wanted now.
    pub stack: Stack,
    /// The work under way.
    pub operation: Operation,
}

/// `PUT /v1/environments/{environment_id}/stacks/{stack_id}`: changes the Compose text, the
/// variables or both, and rolls the change out. Answers 202 with a [`StackOperation`].
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateStack {
    /// What it is for; stays when absent.
    #[serde(default)]
    pub description: Option<String>,
    /// The new Compose text; stays when absent.
    #[serde(default)]
    pub compose: Option<String>,
    /// New values of variables: those left out stay, `null` removes one.
    #[serde(default)]
    pub variables: IndexMap<String, Option<String>>,
    /// More names of variables whose values are secret.
    #[serde(default)]
    pub secret_variables: Vec<String>,
    /// Pull images anew, even where the tag is there.
    #[serde(default)]
    pub pull: bool,
}

/// `POST …/stacks/{stack_id}/upgrade` and `…/upgrade/preview`: to another version of its
/// template, three-way (the installed version's text, the stack's own text, the new version's).
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpgradeStack {
    /// The version to go to.
    pub version: String,
    /// Answers to change or add; the others are kept.
    #[serde(default)]
    pub answers: IndexMap<String, serde_json::Value>,
    /// For each conflict's path, whose side to take.
    #[serde(default)]
    pub resolutions: IndexMap<String, MergeSide>,
}

/// Whose side to take in a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MergeSide {
    /// The stack's own edit.
    Ours,
    /// The new version's.
    Theirs,
}

/// What an upgrade would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpgradePreview {
    /// The version that is installed.
    pub from_version: String,
    /// The version to go to.
    pub to_version: String,
    /// The new text; absent while there are conflicts without a resolution.
    pub compose: Option<String>,
    /// The change of the text as a unified diff; absent while there are conflicts.
    pub diff: Option<String>,
    /// The changes by key path.
    pub changes: Vec<MergeChange>,
    /// What both sides changed.
    pub conflicts: Vec<MergeConflict>,
    /// What is wrong with the answers for the new version.
    pub errors: Vec<FieldError>,
    /// The new version's release notes, Markdown.
    pub notes: String,
}

/// One change by key path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MergeChange {
    /// e.g. `services.web.image`
    pub path: String,
    /// The value before, as YAML; absent when added.
    pub from: Option<String>,
    /// The value after, as YAML; absent when removed.
    pub to: Option<String>,
}

/// Something that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MergeConflict {
    /// e.g. `services.web.image`
    pub path: String,
    /// The installed version's value, as YAML.
    pub base: Option<String>,
    /// The stack's own value, as YAML.
    pub ours: Option<String>,
    /// The new version's value, as YAML.
    pub theirs: Option<String>,
}

/// `POST …/stacks/{stack_id}/rollback`: makes an earlier revision the wanted one again, as a new
/// revision. Answers 202 with a [`StackOperation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackStack {
    /// The revision to go back to.
    pub revision: i32,
}

/// A state of a stack that was wanted once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StackRevision {
    /// From 1.
    pub revision: i32,
    /// Its Compose text.
    pub compose: String,
    /// The values of its variables; secret ones are `null` here.
    pub variables: IndexMap<String, Option<String>>,
    /// The template's version, if it came from one.
    pub template_version: Option<String>,
    /// What made it, in words: e.g. "upgrade to 1.2.0".
    pub comment: String,
    /// The login of who made it.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How its rollout ended; absent while it is under way.
    pub outcome: Option<RevisionOutcome>,
}

/// How the rollout of a revision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RevisionOutcome {
    /// All healthy.
    Succeeded,
    /// Stopped: the operation says why.
    Failed,
    /// A newer revision came before it was done.
    Replaced,
}

/// `POST …/stacks/{stack_id}/services/{service}/scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScaleService {
    /// 0 to 1,000.
    pub scale: u32,
}

/// `POST /v1/environments/{environment_id}/compose/check`: checks a Compose text as it is typed.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckCompose {
    /// The text, at most 1 MiB.
    pub compose: String,
    /// The values of its variables.
    #[serde(default)]
    pub variables: IndexMap<String, String>,
}

/// The answer to [`CheckCompose`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComposeCheck {
    /// True when it can be installed by the caller.
    pub ok: bool,
    /// What is wrong or noteworthy, by line.
    pub diagnostics: Vec<ComposeDiagnostic>,
    /// The variables that the text uses.
    pub variables: Vec<ComposeVariable>,
    /// The services that it makes.
    pub services: Vec<Service>,
}

/// How bad a [`ComposeDiagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is wrong.
    Error,
    /// It is right, but Drover does not support it.
    Unsupported,
    /// The caller's role does not allow it.
    Denied,
    /// It works, but may not be what is meant.
    Warning,
}

/// Something about a place in a Compose text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComposeDiagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// e.g. `services.web.build`
    pub path: String,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A variable that a Compose text uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComposeVariable {
    /// Its name.
    pub name: String,
    /// Its default in the text.
    pub default: Option<String>,
    /// True for `${NAME:?}`.
    pub required: bool,
    /// Where it is first used.
    pub line: u32,
}

/// A secret, certificate or configuration value of an environment, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Secret {
    /// The secret's id.
    pub id: Uuid,
    /// Unique in the environment; Compose files name it with `external: true`.
    pub name: String,
    /// What it holds.
    pub kind: SecretKind,
    /// What it is for.
    pub description: String,
    /// For certificates: when the first of the chain ends.
    pub expires_at: Option<Timestamp>,
    /// When its value last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// What a [`Secret`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// Any text.
    Opaque,
    /// A certificate chain and its private key, PEM.
    Certificate,
}

/// `POST …/secrets`, and `PUT …/secrets/{secret_id}`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WriteSecret {
    /// Unique in the environment: letters, digits, `.`, `_`, `-`; 1 to 64 characters.
    pub name: String,
    /// What it holds.
    pub kind: SecretKind,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// At most 512 KiB; for a certificate, chain and key as PEM. Never answered.
    pub value: String,
}

/// Credentials for an image registry, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registry {
    /// The registry's id.
    pub id: Uuid,
    /// `HOST[:PORT]`, or `docker.io`; unique in the environment.
    pub address: String,
    /// The account.
    pub username: String,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// `POST …/registries`, and `PUT …/registries/{registry_id}`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WriteRegistry {
    /// `HOST[:PORT]`, or `docker.io`.
    pub address: String,
    /// The account.
    pub username: String,
    /// Its password or token. Never answered.
    pub password: String,
}
