//! The labels that Drover puts on all that it makes on a host.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::index::Owner;

/// What all of them begin with.
pub const PREFIX: &str = "io.drover.";
/// The environment's id.
pub const ENVIRONMENT: &str = "io.drover.environment";
/// The stack's id.
pub const STACK: &str = "io.drover.stack";
/// The stack's name.
pub const STACK_NAME: &str = "io.drover.stack_name";
/// The service's name in its stack.
pub const SERVICE: &str = "io.drover.service";
/// The instance's id.
pub const INSTANCE: &str = "io.drover.instance";
/// The stack's revision.
pub const REVISION: &str = "io.drover.revision";
/// The digest of all that the container was made from.
pub const SPEC: &str = "io.drover.spec";
/// The operation that last wrote it.
pub const OPERATION: &str = "io.drover.operation";

/// Reads the labels of a container; `None` unless they are of this environment and name a stack.
pub fn owner(
    environment: Uuid,
    labels: &HashMap<String, String>,
    mut share: impl FnMut(&str) -> Arc<str>,
) -> Option<Owner> {
    let stack_id = stack(environment, labels)?;
    let text = |key: &str| labels.get(key).map_or("", String::as_str);
    Some(Owner {
        stack_id,
        stack_name: share(text(STACK_NAME)),
        service: share(text(SERVICE)),
        instance: text(INSTANCE).parse().ok(),
        revision: text(REVISION).parse().unwrap_or_default(),
        spec: share(text(SPEC)),
    })
}

/// The stack that a container, volume or network belongs to; `None` unless its labels are of this
/// environment: what another installation of Drover made on the same host is not ours.
pub fn stack(environment: Uuid, labels: &HashMap<String, String>) -> Option<Uuid> {
    let of: Uuid = labels.get(ENVIRONMENT)?.parse().ok()?;
    if of != environment {
        return None;
    }
    labels.get(STACK)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_environments_labels_count() {
        let (environment, stack_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let labels: HashMap<String, String> = [
            (ENVIRONMENT, environment.to_string()),
            (STACK, stack_id.to_string()),
            (STACK_NAME, "blog".to_owned()),
            (SERVICE, "web".to_owned()),
            (REVISION, "3".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let found = owner(environment, &labels, |text| text.into()).unwrap();
        assert_eq!((found.stack_id, &*found.service, found.revision), (stack_id, "web", 3));
        assert!(owner(Uuid::from_u128(9), &labels, |text| text.into()).is_none());
        assert!(owner(environment, &HashMap::new(), |text| text.into()).is_none());
    }
}
