//! Stacks. Each change of what is wanted is one transaction that also records the operation; the
//! engine does the rest.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{
    CheckCompose, ComposeCheck, ComposeDiagnostic, ComposeVariable, CreateStack, FieldError, List,
    Operation, OperationKind, Permission, RevisionOutcome, RollbackStack, ScaleService, Service,
    Severity, Stack, StackDetail, StackOperation, StackRevision, StackSource, StackTemplate,
    Timestamp, Topic, UpdateStack, UpgradePreview, UpgradeStack,
};
use drover_compose::Project;
use indexmap::IndexMap;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    compile,
    model::{self, Desired, Revision, StackRow},
    rollout,
    store::{self, NewRevision, NewStack},
    summary::{self, OpenWork, Standing},
    upgrade,
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    catalog,
    clusters::Orchestrator,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
    operations::{self, NewOperation},
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, remove))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(restart))
        .routes(routes!(deploy))
        .routes(routes!(upgrade_stack))
        .routes(routes!(preview_upgrade))
        .routes(routes!(rollback))
        .routes(routes!(revisions))
        .routes(routes!(scale_service))
        .routes(routes!(restart_service))
        .routes(routes!(check_compose))
}

// ---- answers

/// The project of a row's wanted revision, without its secrets: enough to tell how it stands.
async fn project_of(app: &App, row: &StackRow) -> Result<(Revision, Option<Project>)> {
    let revision = store::revisions(&app.db, row.id, Some(row.revision))
        .await?
        .pop()
        .ok_or_else(|| Error::internal("a stack without its revision"))?;
    let variables = compile::variables(app, &revision)?;
    let project = drover_compose::load(&revision.compose, &variables).project;
    Ok((revision, project))
}

async fn standing(
    app: &App,
    row: &StackRow,
    project: Option<&Project>,
) -> Result<(Standing, Option<Uuid>)> {
    let open = operations::open_for(&app.db, row.id)
        .await?
        .map(|open| OpenWork { install: open.kind == OperationKind::Install, id: open.id });
    let problems = store::problems(&app.db, row.id).await?;
    let containers = app.observe(row.environment_id, row.id);
    let standing = summary::sum_up(row, project, &containers, &problems, open);
    Ok((standing, open.map(|open| open.id)))
}

async fn to_api(
    app: &App,
    row: &StackRow,
    standing: &Standing,
    open: Option<Uuid>,
) -> Result<Stack> {
    let template = match (row.catalog_id, &row.template, &row.template_version) {
        (Some(catalog_id), Some(template), Some(version)) => Some(StackTemplate {
            catalog_id,
            template: template.clone(),
            version: version.clone(),
            upgrade_available: catalog::upgrade_available(&app.db, catalog_id, template, version)
                .await?,
        }),
        _ => None,
    };
    Ok(Stack {
        id: row.id,
        environment_id: row.environment_id,
        name: row.name.clone(),
        description: row.description.clone(),
        state: standing.state,
        reason: standing.reason.clone(),
        template,
        revision: row.revision,
        services: standing.services.len() as u32,
        running: standing.running,
        desired: standing.desired,
        operation_id: open,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

async fn row(app: &App, environment: Uuid, id: Uuid) -> Result<StackRow> {
    store::get(&app.db, environment, id).await?.ok_or_else(|| Error::not_found("stack"))
}

/// The answer to every change: the stack and the operation that works on it. Wakes the engine.
async fn accepted(
    app: &App,
    operation: Operation,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let row = row(app, operation.environment_id, operation.target_id).await?;
    operations::announce(app, &operation).await;
    app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    app.wake(row.environment_id, row.id);
    let (_, project) = project_of(app, &row).await?;
    let (standing, _) = standing(app, &row, project.as_ref()).await?;
    let stack = to_api(app, &row, &standing, Some(operation.id)).await?;
    Ok((StatusCode::ACCEPTED, etag(row.version), Json(StackOperation { stack, operation })))
}

async fn begin(
    tx: &mut PgConnection,
    caller: &Caller,
    row: &StackRow,
    kind: OperationKind,
    input: serde_json::Value,
) -> Result<Operation> {
    let new = NewOperation {
        kind,
        environment_id: row.environment_id,
        target_kind: "stack",
        target_id: row.id,
        target_name: &row.name,
        input,
    };
    Ok(operations::begin(tx, Some(caller), &new).await?)
}

// ---- checks

fn diagnostics(found: &[drover_compose::Diagnostic]) -> Vec<ComposeDiagnostic> {
    found
        .iter()
        .map(|found| ComposeDiagnostic {
            severity: match found.severity {
                drover_compose::Severity::Error => Severity::Error,
                drover_compose::Severity::Unsupported => Severity::Unsupported,
                drover_compose::Severity::Warning => Severity::Warning,
            },
            line: found.line,
            column: found.column,
            path: found.path.clone(),
            code: found.code.clone(),
            message: found.message.clone(),
        })
        .collect()
}

/// What of a project the caller's role does not allow.
fn denied(access: EnvironmentAccess, project: &Project) -> Vec<ComposeDiagnostic> {
    if access.may(Permission::HostTakeover) {
        return Vec::new();
    }
    project
        .takeovers()
        .into_iter()
        .map(|found| ComposeDiagnostic {
            severity: Severity::Denied,
            line: found.line,
            column: 1,
            path: found.path,
            code: found.code,
            message: format!(
                "Your role here, {}, may not use {}.",
                access.role.as_str(),
                found.message
            ),
        })
        .collect()
}

/// The project of a text, or what is wrong with it, or what of it the caller may not do.
fn checked_project(
    access: EnvironmentAccess,
    compose: &str,
    variables: &IndexMap<String, String>,
) -> Result<Project> {
    let loaded = drover_compose::load(compose, variables);
    let Some(project) = loaded.project else {
        let errors = loaded
            .diagnostics
            .iter()
            .filter(|found| found.severity != drover_compose::Severity::Warning)
            .map(|found| FieldError {
                field: "compose".into(),
                message: found.message.clone(),
                line: Some(found.line),
                column: Some(found.column),
            })
            .collect();
        return Err(Error::invalid(errors));
    };
    let denied = denied(access, &project);
    if denied.is_empty() {
        return Ok(project);
    }
    let errors = denied
        .into_iter()
        .map(|found| FieldError {
            field: found.path,
            message: found.message,
            line: Some(found.line),
            column: Some(found.column),
        })
        .collect();
    Err(Error::denied(
        "host_takeover_denied",
        "This could take over the host, which your role may not do. Ask a member or owner of the environment.",
    )
    .with_errors(errors))
}

/// What is wrong with a text or not allowed to the caller, and the services that it makes.
pub fn describe(
    access: EnvironmentAccess,
    loaded: &drover_compose::Loaded,
) -> (Vec<ComposeDiagnostic>, Vec<Service>) {
    let mut found = diagnostics(&loaded.diagnostics);
    let mut services = Vec::new();
    if let Some(project) = &loaded.project {
        found.extend(denied(access, project));
        services.extend(project.services.keys().map(|name| summary::service(project, name, None)));
    }
    (found, services)
}

/// Check a Compose text
///
/// For editors: says what is wrong by line, which variables it uses and which services it makes.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/compose/check", tag = "stacks",
    request_body = CheckCompose, params(("environment_id" = Uuid, Path)),
    responses((status = 200, body = ComposeCheck)))]
async fn check_compose(
    access: EnvironmentAccess,
    Json(input): Json<CheckCompose>,
) -> Result<Json<ComposeCheck>> {
    let loaded = drover_compose::load(&input.compose, &input.variables);
    let (found, services) = describe(access, &loaded);
    Ok(Json(ComposeCheck {
        ok: found.iter().all(|found| found.severity == Severity::Warning),
        services,
        variables: drover_compose::variables_used(&input.compose)
            .into_iter()
            .map(|used| ComposeVariable {
                name: used.name,
                default: used.default,
                required: used.required,
                line: used.line,
            })
            .collect(),
        diagnostics: found,
    }))
}

// ---- reading

/// All stacks of an environment.
pub(crate) async fn all(app: &App, environment_id: Uuid) -> Result<Vec<Stack>> {
    let mut stacks = Vec::new();
    for row in store::list(&app.db, environment_id).await? {
        let (_, project) = project_of(app, &row).await?;
        let (standing, open) = standing(app, &row, project.as_ref()).await?;
        stacks.push(to_api(app, &row, &standing, open).await?);
    }
    Ok(stacks)
}

/// List stacks
///
/// Sort by `name`, `state`, `created_at` or `updated_at`.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks", tag = "stacks",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Stack>)))]
async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Stack>>> {
    let stacks = all(&app, access.id).await?;
    let mut page = query.page(
        stacks,
        &["name", "state", "created_at", "updated_at"],
        "name",
        |stack| format!("{} {}", stack.name, stack.description),
        |stack, field| match field {
            "state" => SortKey::Number(stack.state as i64),
            "created_at" => SortKey::Number(stack.created_at.unix_ms()),
            "updated_at" => SortKey::Number(stack.updated_at.unix_ms()),
            _ => SortKey::text(&stack.name),
        },
    )?;
    page.freshness = Some(app.hosts.index().freshness(access.id));
    Ok(Json(page))
}

/// Show a stack
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = StackDetail)))]
async fn get(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<(HeaderMap, Json<StackDetail>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    let (revision, project) = project_of(&app, &row).await?;
    let (standing, open) = standing(&app, &row, project.as_ref()).await?;
    let stack = to_api(&app, &row, &standing, open).await?;
    let service_list = project.iter().flat_map(|project| {
        standing.services.iter().map(|own| summary::service(project, &own.name, Some(own)))
    });
    let detail = StackDetail {
        stack,
        variables: shown_variables(&revision),
        service_list: service_list.collect(),
        compose: revision.compose,
    };
    Ok((etag(row.version), Json(detail)))
}

/// Values of variables, secret ones hidden.
fn shown_variables(revision: &Revision) -> IndexMap<String, Option<String>> {
    revision
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .chain(revision.secret_names.iter().map(|name| (name.clone(), None)))
        .collect()
}

/// List a stack's revisions
///
/// Newest first.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks/{stack_id}/revisions",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = List<StackRevision>)))]
async fn revisions(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<Json<List<StackRevision>>> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    let revisions = store::revisions(&app.db, row.id, None).await?;
    let items = revisions.into_iter().map(|revision| StackRevision {
        revision: revision.revision,
        variables: shown_variables(&revision),
        compose: revision.compose,
        template_version: revision.template_version,
        comment: revision.comment,
        created_by: revision.created_by_login,
        created_at: Timestamp(revision.created_at),
        outcome: match revision.outcome.as_deref() {
            Some("succeeded") => Some(RevisionOutcome::Succeeded),
            Some("failed") => Some(RevisionOutcome::Failed),
            Some(_) => Some(RevisionOutcome::Replaced),
            None => None,
        },
    });
    Ok(Json(List::whole(items.collect())))
}

// ---- changing

/// Install a stack
///
/// From a Compose text of one's own or a catalog's template. Answers at once; follow the operation.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks", tag = "stacks",
    request_body(content = CreateStack, example = json!({
        "name": "web",
        "source": { "kind": "compose", "compose": "services:\n  web:\n    image: nginx:1.27\n    ports: [\"8081:80\"]\n" }
    })),
    params(("environment_id" = Uuid, Path)), responses((status = 202, body = StackOperation)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<CreateStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    if let Some(error) = model::check_name(&input.name) {
        return Err(Error::invalid(vec![error]));
    }
    if input.description.chars().count() > 1000 {
        return Err(Error::invalid_field(
            "description",
            "A description has at most 1,000 characters.",
        ));
    }
    let (template, revision) = first_revision(&app, input.source).await?;
    let variables = variables_of(&app, &revision)?;
    checked_project(access, &revision.compose, &variables)?;
    let mut tx = app.db.begin().await?;
    let new = NewStack {
        environment_id: access.id,
        name: &input.name,
        description: &input.description,
        catalog_id: template.as_ref().map(|(catalog, _)| *catalog),
        template: template.as_ref().map(|(_, template)| template.as_str()),
    };
    let id = store::insert(&mut tx, &new).await.map_err(|error| {
        if is_unique_violation(&error) {
            Error::conflict("name_taken", "There is a stack with this name in the environment.")
                .with_errors(vec![FieldError::new("name", "This name is taken.")])
        } else {
            error.into()
        }
    })?;
    store::add_revision(&mut tx, id, 1, &caller.login, &revision).await?;
    let new = NewOperation {
        kind: OperationKind::Install,
        environment_id: access.id,
        target_kind: "stack",
        target_id: id,
        target_name: &input.name,
        input: serde_json::json!({}),
    };
    let operation = operations::begin(&mut tx, Some(&caller), &new).await?;
    tx.commit().await?;
    note.target(id, &input.name);
    accepted(&app, operation).await
}

type Template = Option<(Uuid, String)>;

async fn first_revision(app: &App, source: StackSource) -> Result<(Template, NewRevision)> {
    match source {
        StackSource::Compose { compose, variables, secret_variables } => {
            let secret = secret_variables.into_iter().collect();
            let answers = catalog::Answers { values: variables, secret };
            let (variables, secret_variables, secret_names) = upgrade::seal(app, answers)?;
            let revision = NewRevision {
                compose,
                variables,
                secret_variables,
                secret_names,
                template_version: None,
                template_compose: None,
                comment: "Install".into(),
            };
            Ok((None, revision))
        }
        StackSource::Template { catalog_id, template, version, answers } => {
            let found =
                catalog::resolve(&app.db, catalog_id, &template, &version).await?.ok_or_else(
                    || Error::invalid_field("source", "There is no such template or version."),
                )?;
            let answers =
                catalog::check_answers(&found.questions, &answers, None).map_err(Error::invalid)?;
            let (variables, secret_variables, secret_names) = upgrade::seal(app, answers)?;
            let revision = NewRevision {
                compose: found.compose.clone(),
                variables,
                secret_variables,
                secret_names,
                template_version: Some(version.clone()),
                template_compose: Some(found.compose),
                comment: format!("Install {version}"),
            };
            Ok((Some((catalog_id, template)), revision))
        }
    }
}

fn variables_of(app: &App, new: &NewRevision) -> Result<IndexMap<String, String>> {
    let mut variables = new.variables.clone();
    if let Some(sealed) = &new.secret_variables {
        let plain = app.cipher.open(sealed).map_err(Error::internal)?;
        let secret: IndexMap<String, String> =
            serde_json::from_slice(&plain).map_err(Error::internal)?;
        variables.extend(secret);
    }
    Ok(variables)
}

/// Makes `new` the wanted revision.
async fn revise(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    if_match: IfMatch,
    kind: OperationKind,
    new: &NewRevision,
    input: serde_json::Value,
) -> Result<Operation> {
    let mut tx = app.db.begin().await?;
    let version = store::lock(&mut tx, row.environment_id, row.id).await?;
    if_match.check(version.ok_or_else(|| Error::not_found("stack"))?)?;
    let number = store::newest_revision(&mut tx, row.id).await? + 1;
    store::add_revision(&mut tx, row.id, number, &caller.login, new).await?;
    let operation = begin(&mut tx, caller, row, kind, input).await?;
    tx.commit().await?;
    Ok(operation)
}

fn not_removing(row: &StackRow) -> Result<()> {
    if row.desired == Desired::Removed {
        return Err(Error::conflict("stack_removing", "This stack is being removed."));
    }
    Ok(())
}

/// Change a stack
///
/// Its Compose text, its variables or both; rolls the change out.
#[utoipa::path(put, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    request_body = UpdateStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    let (now, _) = project_of(&app, &row).await?;
    let mut values = compile::variables(&app, &now)?;
    let mut secret: std::collections::BTreeSet<String> = now.secret_names.iter().cloned().collect();
    for (name, value) in input.variables {
        match value {
            Some(value) => {
                values.insert(name, value);
            }
            None => {
                values.shift_remove(&name);
                secret.remove(&name);
            }
        }
    }
    secret.extend(input.secret_variables);
    let compose = input.compose.unwrap_or(now.compose);
    checked_project(access, &compose, &values)?;
    let (variables, secret_variables, secret_names) =
        upgrade::seal(&app, catalog::Answers { values, secret })?;
    let new = NewRevision {
        compose,
        variables,
        secret_variables,
        secret_names,
        template_version: now.template_version,
        template_compose: now.template_compose,
        comment: "Edit".into(),
    };
    let pull = serde_json::json!({ "pull": input.pull });
    let operation =
        revise(&app, &caller, &row, if_match, OperationKind::Upgrade, &new, pull).await?;
    if let Some(description) = input.description {
        let mut tx = app.db.begin().await?;
        store::set_description(&mut tx, id, &description).await?;
        tx.commit().await?;
    }
    accepted(&app, operation).await
}

/// How to remove a stack.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Remove its volumes, and what is in them, too.
    #[serde(default)]
    volumes: bool,
    /// Go on though hosts cannot be reached; the operation's log says what is left there.
    #[serde(default)]
    force: bool,
}

/// Remove a stack
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), RemoveQuery),
    responses((status = 202, body = StackOperation)))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Query(query): Query<RemoveQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    note.detail("volumes", query.volumes);
    let mut tx = app.db.begin().await?;
    store::set_desired(&mut tx, id, Desired::Removed, query.volumes, query.force).await?;
    let operation =
        begin(&mut tx, &caller, &row, OperationKind::Remove, serde_json::json!({})).await?;
    tx.commit().await?;
    accepted(&app, operation).await
}

async fn change_desired(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    desired: Desired,
    kind: OperationKind,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    not_removing(row)?;
    let mut tx = app.db.begin().await?;
    store::set_desired(&mut tx, row.id, desired, false, false).await?;
    store::retry(&mut tx, row.id).await?;
    let operation = begin(&mut tx, caller, row, kind, serde_json::json!({})).await?;
    tx.commit().await?;
    accepted(app, operation).await
}

/// Start a stopped stack
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/start",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn start(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Running, OperationKind::Start).await
}

/// Stop a stack
///
/// Removes its containers and keeps its volumes.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/stop",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Stopped, OperationKind::Stop).await
}

/// Deploy again
///
/// Tries a rollout that has failed once more.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/deploy",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn deploy(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Running, OperationKind::Upgrade).await
}

/// How to restart.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RestartQuery {
    /// Pull images anew first.
    #[serde(default)]
    pull: bool,
}

async fn renew(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    services: &[String],
    pull: bool,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    not_removing(row)?;
    let mut tx = app.db.begin().await?;
    store::renew(&mut tx, row.id, services).await?;
    let input = serde_json::json!({ "pull": pull });
    let operation = begin(&mut tx, caller, row, OperationKind::Restart, input).await?;
    tx.commit().await?;
    accepted(app, operation).await
}

/// Restart a stack
///
/// Makes all containers anew, by each service's update rules.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/restart",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), RestartQuery),
    responses((status = 202, body = StackOperation)))]
async fn restart(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Query(query): Query<RestartQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    let (_, project) = project_of(&app, &row).await?;
    let services: Vec<String> = project.iter().flat_map(|p| p.services.keys().cloned()).collect();
    renew(&app, &caller, &row, &services, query.pull).await
}

async fn known_service(app: &App, row: &StackRow, service: &str) -> Result<Arc<Project>> {
    let (_, project) = project_of(app, row).await?;
    project
        .filter(|project| project.services.contains_key(service))
        .map(Arc::new)
        .ok_or_else(|| Error::not_found("service"))
}

/// Restart a service
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/restart",
    tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("service" = String, Path), RestartQuery),
    responses((status = 202, body = StackOperation)))]
async fn restart_service(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid, String)>,
    Query(query): Query<RestartQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id, service)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    note.detail("service", service.as_str());
    known_service(&app, &row, &service).await?;
    renew(&app, &caller, &row, &[service], query.pull).await
}

/// Scale a service
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/scale",
    tag = "stacks", request_body = ScaleService,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("service" = String, Path)),
    responses((status = 202, body = StackOperation)))]
async fn scale_service(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid, String)>,
    note: Note,
    Json(input): Json<ScaleService>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id, service)) = path;
    if input.scale > 1000 {
        return Err(Error::invalid_field("scale", "0 to 1,000."));
    }
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("service", service.as_str());
    note.detail("scale", input.scale);
    let project = known_service(&app, &row, &service).await?;
    if project.services.get(&service).is_some_and(|service| service.deploy.global) {
        return Err(Error::conflict(
            "global_service",
            "A global service runs once on each matching host.",
        ));
    }
    let mut tx = app.db.begin().await?;
    store::set_scale(&mut tx, id, &service, input.scale).await?;
    store::retry(&mut tx, id).await?;
    let operation =
        begin(&mut tx, &caller, &row, OperationKind::Scale, serde_json::json!({})).await?;
    tx.commit().await?;
    accepted(&app, operation).await
}

/// Preview an upgrade
///
/// What an upgrade would change, and where your own edits conflict with it.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade/preview",
    tag = "stacks", request_body = UpgradeStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = UpgradePreview)))]
async fn preview_upgrade(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Json(input): Json<UpgradeStack>,
) -> Result<Json<UpgradePreview>> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    let (revision, _) = project_of(&app, &row).await?;
    Ok(Json(upgrade::work_out(&app, &row, &revision, &input).await?.preview))
}

/// Upgrade a stack
///
/// To another version of its template; keeps answers and your own edits.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade",
    tag = "stacks", request_body = UpgradeStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn upgrade_stack(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpgradeStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("version", input.version.as_str());
    let (revision, _) = project_of(&app, &row).await?;
    let worked = upgrade::work_out(&app, &row, &revision, &input).await?;
    let new = worked.into_revision(&app, &input.version)?;
    checked_project(access, &new.compose, &variables_of(&app, &new)?)?;
    let none = serde_json::json!({});
    let operation =
        revise(&app, &caller, &row, if_match, OperationKind::Upgrade, &new, none).await?;
    accepted(&app, operation).await
}

/// Roll a stack back
///
/// Makes an earlier revision the wanted one again.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/rollback",
    tag = "stacks", request_body = RollbackStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn rollback(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<RollbackStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("revision", input.revision);
    let earlier = store::revisions(&app.db, id, Some(input.revision))
        .await?
        .pop()
        .ok_or_else(|| Error::invalid_field("revision", "The stack has no such revision."))?;
    let new = rollout::again(earlier);
    checked_project(access, &new.compose, &variables_of(&app, &new)?)?;
    let none = serde_json::json!({});
    let operation =
        revise(&app, &caller, &row, if_match, OperationKind::Rollback, &new, none).await?;
    accepted(&app, operation).await
}
