//! Stopping and removing a stack.

use std::{collections::BTreeSet, time::Duration};

use drover_api::Topic;
use drover_compose::Project;
use drover_kubernetes::discovery::Discovery;
use indexmap::IndexMap;

use super::{
    super::{
        api::{Api, Part},
        place::Place,
        plan::{self, Situation},
        store::{self, StackInCluster},
    },
    Failed, LOOK, Next, Worker,
    looking::selector,
    work,
};
use crate::{error::Result, operations, stacks::StackRow};

impl Worker {
    pub(super) async fn stop(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let left = match self.quiet(row).await {
            Ok(0) => None,
            Ok(1) => Some("1 pod is still ending.".to_owned()),
            Ok(pods) => Some(format!("{pods} pods are still ending.")),
            Err(failed) => Some(failed.error.message),
        };
        let Some(open) = operation else {
            return Ok(Next::Wait(if left.is_some() { Duration::from_secs(2) } else { LOOK }));
        };
        let Some(left) = left else {
            work::tell_problems(&self.app, row, &IndexMap::new()).await?;
            operations::finish(&self.app, open.id, None).await?;
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
            return Ok(Next::Wait(LOOK));
        };
        operations::progress(&self.app, open.id, 0.5, &left).await?;
        Ok(Next::Wait(Duration::from_secs(1)))
    }

    /// Scales what can be scaled to nothing, and deletes what cannot; answers how many pods are
    /// left.
    async fn quiet(&mut self, row: &StackRow) -> Result<usize, Failed> {
        let wanted = self.memory.compiled.get(&self.app, row).await?;
        let place = Place::of(&self.app, row).await?;
        place.live.connected()?;
        let api = Api { cluster: &place.live.cluster, user: &place.user };
        let seen = self.look(&api, &place, row, &wanted, None, true).await?;
        let plan = plan::plan(&Situation {
            // Nothing waits for anything to stop.
            project: &Project::default(),
            wanted: &seen.wanted,
            there: &seen.there,
            applied: &seen.applied,
            standings: &seen.standings,
            rollout: false,
            blocked: false,
            steady: &|_| true,
            overdue: &|_| false,
            lasting: &|_| false,
        });
        self.take_steps(&api, row, &wanted, &seen, &plan.steps, None)
            .await
            .map_err(|(_, failed)| failed)?;
        Ok(if plan.steps.is_empty() { seen.pods } else { seen.pods.max(1) })
    }

    pub(super) async fn take_away(&mut self, row: &StackRow) -> Result<Next> {
        let left = match self.take_down(row).await {
            Ok(left) => left,
            Err(failed) => vec![format!("In the cluster: {}", failed.error.message)],
        };
        work::go_on_removing(&self.app, row, &left).await
    }

    /// Deletes all that the stack has applied, and where asked for its volumes; says what is left.
    async fn take_down(&self, row: &StackRow) -> Result<Vec<String>, Failed> {
        let known = store::find(&self.app.db, row.id).await.map_err(crate::error::Error::from)?;
        let Some(known) = known else { return Ok(Vec::new()) };
        let place = Place::of(&self.app, row).await?;
        place.live.connected()?;
        let api = Api { cluster: &place.live.cluster, user: &place.user };
        let discovery = self.discovery(&place, false).await?;
        let mut left = Vec::new();
        for (api_version, kind, namespace) in kinds(&known, row.remove_volumes) {
            let Some(of) = discovery.of_kind(&api_version, &kind) else { continue };
            let namespace = namespace.as_deref();
            let found = match api.list(of, namespace, &selector(row), Part::Metadata).await {
                Ok(found) => found,
                Err(failure) if failure.is_not_found() => continue,
                Err(failure) => return Err(failure.into()),
            };
            for object in found {
                let metadata = &object["metadata"];
                let name = metadata["name"].as_str().unwrap_or_default();
                let uid = metadata["uid"].as_str().unwrap_or_default();
                if metadata["deletionTimestamp"].is_null() {
                    api.delete(of, namespace, name, uid).await?;
                }
                left.push(format!("{kind} {name} is being removed."));
            }
        }
        let pods = self.pods_left(&api, &discovery, row, &known).await?;
        if left.is_empty() && pods > 0 {
            left.push(format!("{pods} pods are still ending."));
        }
        Ok(left)
    }

    async fn pods_left(
        &self,
        api: &Api<'_>,
        discovery: &Discovery,
        row: &StackRow,
        known: &StackInCluster,
    ) -> Result<usize, Failed> {
        let Some(of) = discovery.of_kind("v1", "Pod") else { return Ok(0) };
        let spaces: BTreeSet<&String> =
            known.applied.iter().filter_map(|of| of.namespace.as_ref()).collect();
        let mut count = 0;
        for space in spaces {
            count += api.list(of, Some(space), &selector(row), Part::Metadata).await?.len();
        }
        Ok(count)
    }
}

/// Of which kinds, and in which namespaces, a stack has something that is to go.
fn kinds(known: &StackInCluster, volumes: bool) -> BTreeSet<(String, String, Option<String>)> {
    let all = known.applied.iter().filter(|of| volumes || !of.is_data());
    let mut kinds: BTreeSet<_> =
        all.map(|of| (of.api_version.clone(), of.kind.clone(), of.namespace.clone())).collect();
    if volumes {
        // Those that a StatefulSet has made, too.
        let spaces: BTreeSet<_> = known.applied.iter().map(|of| of.namespace.clone()).collect();
        let claims = spaces.into_iter().filter(Option::is_some);
        kinds.extend(claims.map(|s| ("v1".to_owned(), "PersistentVolumeClaim".to_owned(), s)));
    }
    kinds
}
