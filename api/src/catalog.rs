//! Catalogs, their templates, and the questions before an install.
//!
//! Texts come in one language: `?language=en` (the default) or `?language=zh-CN`; where a catalog
//! has no translation, its English text.

use crate::{ComposeDiagnostic, FieldError, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a catalog comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CatalogKind {
    /// Part of Drover itself; changes with Drover's version.
    Builtin,
    /// A folder on the server's disk, named by the setting `DROVER_CATALOG_DIR`.
    Directory,
    /// A Git repository.
    Git,
}

/// A source of templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Catalog {
    /// The catalog's id.
    pub id: Uuid,
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// What is in it.
    pub description: String,
    /// Where it comes from.
    pub kind: CatalogKind,
    /// The repository's address, or the folder; absent for the built-in catalog.
    pub location: Option<String>,
    /// The branch; absent: the repository's own default.
    pub branch: Option<String>,
    /// The user name for the repository.
    pub username: Option<String>,
    /// Whether a password, token or key is stored for the repository.
    pub has_credentials: bool,
    /// Which state of the source the templates are from: a Git commit, or `sha256:…` of the files.
    pub commit: Option<String>,
    /// How many templates it has.
    pub templates: u32,
    /// True while it is being read.
    pub refreshing: bool,
    /// When it was last read, or tried to.
    pub checked_at: Option<Timestamp>,
    /// When its templates last changed.
    pub refreshed_at: Option<Timestamp>,
    /// Why it could not be read the last time; the templates are those of the time before.
    pub error: Option<String>,
    /// What is wrong with single files; what they belong to is left out. The first 100.
    pub problems: Vec<CatalogProblem>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Grows with each change by a person; the `ETag`.
    pub version: i64,
}

/// What is wrong with a file of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CatalogProblem {
    /// Its path in the catalog.
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// `POST /v1/catalogs`: adds a Git repository. It is read in the background at once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateCatalog {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// What is in it; by default what the catalog says of itself.
    #[serde(default)]
    pub description: String,
    /// `https://…` or `ssh://…`.
    #[cfg_attr(feature = "openapi", schema(example = "https://git.example.com/apps/catalog.git"))]
    pub location: String,
    /// The branch; absent: the repository's own default.
    #[serde(default)]
    pub branch: Option<String>,
    /// For https: the user name.
    #[serde(default)]
    pub username: Option<String>,
    /// For https: the password or token; for ssh: the private key. Never answered.
    #[serde(default)]
    pub secret: Option<String>,
}

/// `PATCH /v1/catalogs/{catalog_id}`: what is absent stays. Of the built-in catalog and that of
/// the settings, nothing but name and description can be changed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateCatalog {
    /// Unique, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `https://…` or `ssh://…`. Another server needs the secret anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The branch; `null`: the repository's own default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    pub branch: Option<Option<String>>,
    /// The user name; `null` removes it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    pub username: Option<Option<String>>,
    /// The password, token or key; `null` removes it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    pub secret: Option<Option<String>>,
}

/// A template as lists show it: its newest version that this Drover can install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateSummary {
    /// The catalog's id.
    pub catalog_id: Uuid,
    /// The catalog's name.
    pub catalog: String,
    /// Its folder name in the catalog; with the catalog, its name in every address.
    pub template: String,
    /// What people call it.
    pub title: String,
    /// What it is, in a sentence.
    pub description: String,
    /// The categories, as [`TemplateCategory::name`].
    pub categories: Vec<String>,
    /// The version to install by default.
    pub version: String,
    /// The version of the app in it.
    pub app_version: String,
    /// The address of its picture; absent when it has none.
    pub icon: Option<String>,
}

/// A category with how many templates are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateCategory {
    /// For `?category=`.
    pub name: String,
    /// For people, in the language that was asked for.
    pub title: String,
    /// How many templates are in it.
    pub templates: u32,
}

/// A template with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateDetail {
    /// What lists show.
    #[serde(flatten)]
    pub summary: TemplateSummary,
    /// The app's page.
    pub home: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// Who keeps the template.
    pub maintainer: Option<String>,
    /// The app's licence, as SPDX names it where it does.
    pub license: Option<String>,
    /// Free labels.
    pub labels: IndexMap<String, String>,
    /// True when it should no longer be installed.
    pub deprecated: bool,
    /// The README of the default version, as HTML without scripts, styles or pictures.
    pub readme_html: String,
    /// All versions, the newest first.
    pub versions: Vec<TemplateVersionSummary>,
}

/// A version as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateVersionSummary {
    /// A semantic version.
    pub version: String,
    /// The version of the app in it.
    pub app_version: String,
    /// From which versions it can be upgraded to; absent: from all older ones.
    pub upgrade_from: Option<String>,
    /// Why this Drover cannot install it; absent when it can.
    pub incompatible: Option<String>,
    /// What is new in it, as HTML.
    pub notes_html: String,
}

/// A version with all that its install form needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateVersion {
    /// The catalog's id.
    pub catalog_id: Uuid,
    /// The template's folder name.
    pub template: String,
    /// What people call it.
    pub title: String,
    /// What lists show.
    #[serde(flatten)]
    pub summary: TemplateVersionSummary,
    /// The questions in order, those inside others right after them.
    pub questions: Vec<Question>,
    /// The Compose text, with variables not filled in.
    pub compose: String,
    /// Its README as HTML.
    pub readme_html: String,
}

/// How a question is asked and its answer checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuestionType {
    /// One line.
    String,
    /// Several lines.
    Multiline,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// One of the options.
    Enum,
    /// A secret; stored encrypted.
    Password,
    /// A DNS name.
    Hostname,
    /// A size such as `512m` or `10g`.
    StorageSize,
    /// A service of the environment, as `STACK/SERVICE`.
    Service,
    /// The name of a certificate of the environment.
    Certificate,
    /// The name of a secret of the environment.
    Secret,
}

/// A question before an install. Its answer is the value of a variable of the Compose text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Question {
    /// The variable's name.
    pub variable: String,
    /// What is asked for.
    pub label: String,
    /// More about it, below the field.
    pub description: String,
    /// More about it, on demand.
    pub tooltip: String,
    /// How it is asked.
    #[serde(rename = "type")]
    pub type_: QuestionType,
    /// Whether it must be answered when it is shown.
    pub required: bool,
    /// The answer when none is given, as text.
    pub default: Option<String>,
    /// True when an answer that is left out is made up at random.
    pub generated: bool,
    /// The heading that it stands under; empty: none.
    pub group: String,
    /// For numbers; for sizes in bytes.
    pub min: Option<f64>,
    /// For numbers; for sizes in bytes.
    pub max: Option<f64>,
    /// For texts, characters.
    pub min_length: Option<u32>,
    /// For texts, characters.
    pub max_length: Option<u32>,
    /// For texts: a regular expression that all of it matches.
    pub pattern: Option<String>,
    /// For texts: the only characters allowed.
    pub valid_chars: Option<String>,
    /// For texts: characters that are not allowed.
    pub invalid_chars: Option<String>,
    /// For enums.
    pub options: Vec<QuestionOption>,
    /// The question is shown when every one of these holds, with the answers to the shown
    /// questions before it: `a=b`, `a!=b`, joined by `&&` and `||`.
    pub show_if: Vec<String>,
    /// The variable of the question that this one belongs to.
    pub parent: Option<String>,
}

/// One choice of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuestionOption {
    /// The answer.
    pub value: String,
    /// What people read.
    pub label: String,
}

/// `POST …/versions/{version}/preview`: what an install with these answers would make.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewTemplate {
    /// The answers to its questions; those left out get their defaults.
    #[serde(default)]
    pub answers: IndexMap<String, serde_json::Value>,
}

/// The answer to [`PreviewTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplatePreview {
    /// What is wrong with which answer; `field` is `answers.VARIABLE`.
    pub errors: Vec<FieldError>,
    /// The variables of the questions that are shown with these answers.
    pub shown: Vec<String>,
    /// What is wrong or noteworthy in the Compose text with these answers.
    pub diagnostics: Vec<ComposeDiagnostic>,
    /// The services that would be made.
    pub services: Vec<PreviewService>,
    /// The named volumes that would be made.
    pub volumes: Vec<String>,
    /// The networks that would be made.
    pub networks: Vec<String>,
    /// Secrets and certificates of the environment that it needs.
    pub secrets: Vec<String>,
    /// What in it could take over a host: needs the role `member`.
    pub takeovers: Vec<PreviewTakeover>,
}

/// A service that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewService {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// How many containers.
    pub scale: u32,
    /// Published ports, `[ADDRESS:][HOST:]CONTAINER/PROTOCOL`.
    pub ports: Vec<String>,
    /// What is mounted where, `SOURCE:PATH`.
    pub volumes: Vec<String>,
    /// The services that it waits for.
    pub depends_on: Vec<String>,
}

/// Something that could take over a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewTakeover {
    /// Where it stands in the Compose text, from 1.
    pub line: u32,
    /// e.g. `services.web.privileged`
    pub path: String,
    /// What it is, in words.
    pub message: String,
}
