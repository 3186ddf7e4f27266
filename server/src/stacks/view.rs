//! Stacks as the API tells them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use drover_api::{OperationKind, Stack, StackTemplate, Timestamp};
use drover_compose::Project;
use indexmap::IndexMap;
use uuid::Uuid;

use super::{
    compile,
    model::{Revision, StackRow},
    store,
    summary::{self, OpenWork, Standing},
};
use crate::{
    app::App,
    catalog, clusters,
    error::{Error, Result},
    operations::{self, OpenOperation},
};

/// How many projects are kept.
const MOST: usize = 2000;

/// The projects of revisions, which never change: reading a text takes longer than all else that
/// a list of stacks needs.
#[derive(Default)]
pub struct Projects(Mutex<HashMap<(Uuid, i32), Option<Arc<Project>>>>);

impl Projects {
    async fn get(&self, app: &App, row: &StackRow) -> Result<Option<Arc<Project>>> {
        let key = (row.id, row.revision);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(project) = known {
            return Ok(project);
        }
        let project = read(app, &revision(app, row).await?)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, project.clone());
        Ok(project)
    }
}

fn read(app: &App, revision: &Revision) -> Result<Option<Arc<Project>>> {
    let variables = compile::variables(app, revision)?;
    Ok(drover_compose::load(&revision.compose, &variables).project.map(Arc::new))
}

/// The revision that is wanted of a stack.
pub(super) async fn revision(app: &App, row: &StackRow) -> Result<Revision> {
    store::revisions(&app.db, row.id, Some(row.revision))
        .await?
        .pop()
        .ok_or_else(|| Error::internal("a stack without its revision"))
}

/// The project that is wanted of a stack, without scales set by hand and without external
/// secrets: enough to tell how it stands. `None` when its text no longer fits.
pub(super) async fn project(app: &App, row: &StackRow) -> Result<Option<Arc<Project>>> {
    app.projects.get(app, row).await
}

/// How a stack stands.
pub(super) fn standing(
    app: &App,
    row: &StackRow,
    project: Option<&Project>,
    open: Option<&OpenOperation>,
) -> Standing {
    let open =
        open.map(|open| OpenWork { install: open.kind == OperationKind::Install, id: open.id });
    let observed = clusters::of(app, row.cluster).observe(row.environment_id, row.id);
    summary::sum_up(row, project, &observed, open)
}

/// A stack with all that is known of it.
pub(super) async fn stack(app: &App, row: &StackRow) -> Result<(Stack, Standing)> {
    let project = project(app, row).await?;
    let open = operations::open_for(&app.db, row.id).await?;
    let standing = standing(app, row, project.as_deref(), open.as_ref());
    let newer = match template(row) {
        Some((catalog, template, version)) => {
            catalog::upgrade_available(&app.db, catalog, template, version).await?
        }
        None => None,
    };
    Ok((to_api(row, &standing, open.map(|open| open.id), newer), standing))
}

/// All stacks of an environment.
pub(crate) async fn all(app: &App, environment_id: Uuid) -> Result<Vec<Stack>> {
    let open: HashMap<Uuid, OpenOperation> =
        operations::open_in(&app.db, environment_id).await?.into_iter().collect();
    // Many stacks may come from one template.
    let mut newest = HashMap::new();
    let mut stacks = Vec::new();
    for row in store::list(&app.db, environment_id).await? {
        let project = project(app, &row).await?;
        let open = open.get(&row.id);
        let standing = standing(app, &row, project.as_deref(), open);
        let newer = match template(&row) {
            Some((catalog, template, version)) => {
                let key = (catalog, template.to_owned(), version.to_owned());
                if !newest.contains_key(&key) {
                    let found =
                        catalog::upgrade_available(&app.db, catalog, template, version).await?;
                    newest.insert(key.clone(), found);
                }
                newest[&key].clone()
            }
            None => None,
        };
        stacks.push(to_api(&row, &standing, open.map(|open| open.id), newer));
    }
    Ok(stacks)
}

/// Catalog, template and version that a stack came from.
fn template(row: &StackRow) -> Option<(Uuid, &str, &str)> {
    Some((row.catalog_id?, row.template.as_deref()?, row.template_version.as_deref()?))
}

fn to_api(
    row: &StackRow,
    standing: &Standing,
    operation_id: Option<Uuid>,
    upgrade_available: Option<String>,
) -> Stack {
    Stack {
        id: row.id,
        environment_id: row.environment_id,
        name: row.name.clone(),
        description: row.description.clone(),
        state: standing.state,
        reason: standing.reason.clone(),
        template: template(row).map(|(catalog_id, template, version)| StackTemplate {
            catalog_id,
            template: template.to_owned(),
            version: version.to_owned(),
            upgrade_available,
        }),
        revision: row.revision,
        services: standing.services.len() as u32,
        running: standing.running,
        desired: standing.desired,
        operation_id,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    }
}

/// Values of variables, secret ones hidden.
pub(super) fn shown_variables(revision: &Revision) -> IndexMap<String, Option<String>> {
    revision
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .chain(revision.secret_names.iter().map(|name| (name.clone(), None)))
        .collect()
}
