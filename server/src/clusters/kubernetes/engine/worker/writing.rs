//! Taking the steps that the plan names.

use std::sync::Arc;

use drover_kubernetes::{
    discovery::Discovery,
    render::{Object, names},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        api::{Api, Part},
        place::Place,
        plan::{Step, Wanted as WantedObject},
        store::{self, Reference},
    },
    Failed, OpenOperation, Worker,
    looking::{Seen, type_of},
    operation_error,
};
use crate::stacks::{self, StackRow, Wanted};

impl Worker {
    /// Answers the service that it failed at, empty for the stack as a whole.
    pub(super) async fn take_steps(
        &mut self,
        api: &Api<'_>,
        row: &StackRow,
        wanted: &Wanted,
        seen: &Seen,
        steps: &[Step],
        operation: Option<&OpenOperation>,
    ) -> Result<(), (String, Failed)> {
        let whole = |failed: Failed| (String::new(), failed);
        self.remember(row, seen, steps).await.map_err(whole)?;
        if let Some(open) = operation
            && self.memory.names_checked != Some(open.id)
            && wanted.project.manifests.is_empty()
        {
            self.check_names(api, row, wanted, seen).await.map_err(whole)?;
            self.memory.names_checked = Some(open.id);
        }
        for step in steps {
            match step {
                Step::Apply(place) => {
                    let Some(wanted) = seen.wanted.get(*place) else { continue };
                    let service = wanted.object.service.clone().unwrap_or_default();
                    self.apply(api, row, seen, wanted).await.map_err(|failed| (service, failed))?;
                }
                Step::Delete(reference) => {
                    self.delete(api, seen, reference).await.map_err(whole)?;
                }
            }
        }
        Ok(())
    }

    /// Notes what is about to be applied, so that a server that is killed in the midst of it
    /// knows what there may be.
    async fn remember(&self, row: &StackRow, seen: &Seen, steps: &[Step]) -> Result<(), Failed> {
        let mut applied = seen.applied.clone();
        for step in steps {
            if let Step::Apply(place) = step
                && let Some(wanted) = seen.wanted.get(*place)
                && !applied.contains(&wanted.reference)
            {
                applied.push(wanted.reference.clone());
            }
        }
        if applied.len() > seen.applied.len() {
            store::set_applied(&self.app.db, row.id, &applied).await.map_err(|error| Failed {
                transient: true,
                error: operation_error("database", &error.to_string()),
            })?;
        }
        Ok(())
    }

    async fn apply(
        &self,
        api: &Api<'_>,
        row: &StackRow,
        seen: &Seen,
        wanted: &WantedObject,
    ) -> Result<(), Failed> {
        let WantedObject { reference, object } = wanted;
        let Some(of) = type_of(&seen.types, reference) else { return Ok(()) };
        let namespace = reference.namespace.as_deref();
        // What is the stack's own is set back to what the stack wants.
        let mut force = seen.there.contains_key(reference);
        let mut value = object.value.clone();
        if !force
            && let Some(found) = api.metadata(of, namespace, &reference.name).await?
            && found["metadata"]["labels"][names::STACK] != row.id.to_string()
        {
            self.may_adopt(reference, object, &found).await?;
            // This one and no other that has taken its place meanwhile.
            value["metadata"]["uid"] = found["metadata"]["uid"].clone();
            force = true;
        }
        Ok(api.apply(of, namespace, &value, force).await?)
    }

    /// Fails where an object is not the stack's, and nobody has said that it may take it.
    async fn may_adopt(
        &self,
        reference: &Reference,
        object: &Object,
        found: &Value,
    ) -> Result<(), Failed> {
        let owner = found["metadata"]["labels"][names::STACK].as_str();
        let owner = owner.and_then(|id| id.parse::<Uuid>().ok());
        if let Some(id) = owner
            && let Some(other) = stacks::find_row(&self.app.db, id).await.map_err(|error| {
                Failed { transient: true, error: operation_error("database", &error.to_string()) }
            })?
        {
            let why = format!(
                "{} is the stack {}'s already. Give one of the two another name, or another namespace by `x-drover-namespace`.",
                reference.words(),
                other.name
            );
            return Err(Failed { transient: false, error: operation_error("name_taken", &why) });
        }
        if object.adopt {
            return Ok(());
        }
        let space = reference.namespace.as_deref().unwrap_or("the cluster");
        let kept = match owner {
            Some(_) => "is left from a stack that is gone",
            None => "is not this stack's",
        };
        let why = format!(
            "There is a {} in {space} that {kept}. Remove it, or let the stack take it: by `x-drover-adopt: true` in the Compose text, or the annotation `{}: \"true\"` of the manifest.",
            reference.words(),
            names::ADOPT
        );
        Err(Failed { transient: false, error: operation_error("adoption_needed", &why) })
    }

    /// Deletes what is the stack's own.
    async fn delete(
        &self,
        api: &Api<'_>,
        seen: &Seen,
        reference: &Reference,
    ) -> Result<(), Failed> {
        let (Some(of), Some(there)) = (type_of(&seen.types, reference), seen.there.get(reference))
        else {
            return Ok(());
        };
        api.delete(of, reference.namespace.as_deref(), &reference.name, &there.uid).await?;
        Ok(())
    }

    /// A Service of somebody else that is called as a service of the stack would be found in its
    /// place.
    async fn check_names(
        &self,
        api: &Api<'_>,
        row: &StackRow,
        wanted: &Wanted,
        seen: &Seen,
    ) -> Result<(), Failed> {
        let Some(of) = seen.types.get(&("v1".to_owned(), "Service".to_owned())) else {
            return Ok(());
        };
        let found = api.list(of, Some(&seen.namespace), "", Part::Metadata).await?;
        for service in found {
            let metadata = &service["metadata"];
            if metadata["labels"][names::STACK] == row.id.to_string() {
                continue;
            }
            let name = metadata["name"].as_str().unwrap_or_default();
            if wanted.project.services.keys().any(|own| names::host(own) == name) {
                let why = format!(
                    "The namespace {} has a Service `{name}` that is not this stack's: its name would lead there, and not to the stack's own `{name}`. Choose another namespace by `x-drover-namespace`, or another name.",
                    seen.namespace
                );
                let error = operation_error("name_taken", &why);
                return Err(Failed { transient: false, error });
            }
        }
        Ok(())
    }

    /// What the cluster has. `anew`: it may have more since it was last asked.
    pub(super) async fn discovery(
        &self,
        place: &Place,
        anew: bool,
    ) -> Result<Arc<Discovery>, Failed> {
        let index = &place.live.index;
        if anew || index.discovery().is_none() {
            index.rediscover().await;
        }
        index.discovery().ok_or_else(|| {
            let error = operation_error("cluster_unreachable", "The cluster is being looked at.");
            Failed { transient: true, error }
        })
    }
}
