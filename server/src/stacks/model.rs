//! A stack's row and revision, and the rules for what people may write.

use drover_api::{ClusterKind, FieldError};
use indexmap::IndexMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a person wants of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// Its containers run.
    Running,
    /// They do not, and its volumes are kept.
    Stopped,
    /// It is to go.
    Removed,
}

impl Desired {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }

    pub(super) fn parse(name: &str) -> Self {
        match name {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            _ => Self::Removed,
        }
    }
}

/// A row of the table `stacks`, with what lists need of its wanted revision.
#[derive(Debug, Clone)]
pub struct StackRow {
    /// The stack's id.
    pub id: Uuid,
    /// The environment that it is in.
    pub environment_id: Uuid,
    /// The control plane of that environment.
    pub cluster: ClusterKind,
    /// Unique in its environment.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a person wants of it.
    pub desired: Desired,
    /// The revision that is wanted.
    pub revision: i32,
    /// The catalog that it came from.
    pub catalog_id: Option<Uuid>,
    /// The template in it.
    pub template: Option<String>,
    /// The template's version.
    pub template_version: Option<String>,
    /// How the rollout of the wanted revision ended, if it has.
    pub outcome: Option<String>,
    /// Scales set by hand, by service.
    pub scales: IndexMap<String, u32>,
    /// How often people asked for new containers, by service.
    pub generations: IndexMap<String, u32>,
    /// Why services are not as they should be, by service; under the empty name, why the stack
    /// is not.
    pub problems: IndexMap<String, String>,
    /// On removal: take the volumes along.
    pub remove_volumes: bool,
    /// On removal: leave what is on hosts that cannot be reached.
    pub force_remove: bool,
    /// When it was installed.
    pub created_at: OffsetDateTime,
    /// When it was last changed by a person.
    pub updated_at: OffsetDateTime,
    /// Grows with each change by a person.
    pub version: i64,
}

#[cfg(test)]
impl StackRow {
    /// One that runs, and has nothing special.
    pub fn for_tests(id: Uuid, environment_id: Uuid, name: &str) -> Self {
        Self {
            id,
            environment_id,
            cluster: drover_api::ClusterKind::Cattle,
            name: name.into(),
            description: String::new(),
            desired: Desired::Running,
            revision: 1,
            catalog_id: None,
            template: None,
            template_version: None,
            outcome: Some("succeeded".into()),
            scales: IndexMap::new(),
            generations: IndexMap::new(),
            problems: IndexMap::new(),
            remove_volumes: false,
            force_remove: false,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            version: 1,
        }
    }
}

/// A revision: what was wanted once.
#[derive(Debug, Clone)]
pub(super) struct Revision {
    pub revision: i32,
    pub compose: String,
    pub variables: IndexMap<String, String>,
    /// Sealed JSON object.
    pub secret_variables: Option<Vec<u8>>,
    pub secret_names: Vec<String>,
    pub template_version: Option<String>,
    pub template_compose: Option<String>,
    pub comment: String,
    pub created_by_login: Option<String>,
    pub created_at: OffsetDateTime,
    pub outcome: Option<String>,
}

/// What is wrong with a stack's name.
pub(super) fn check_name(name: &str) -> Option<FieldError> {
    let fits = (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (!fits).then(|| {
        FieldError::new(
            "name",
            "A name has 1 to 40 lower-case letters, digits or `-`, and begins and ends with a letter or digit.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_docker_and_dns_take() {
        for (name, fits) in [
            ("web", true),
            ("my-app-2", true),
            ("2048", true),
            ("", false),
            ("Web", false),
            ("-web", false),
            ("web-", false),
            ("a_b", false),
            ("a.b", false),
        ] {
            assert_eq!(check_name(name).is_none(), fits, "{name}");
        }
        assert!(check_name(&"a".repeat(41)).is_some());
    }
}
