//! Whether a Compose text is right, and allowed to the caller.

use axum::extract::State;
use drover_api::{
    CheckCompose, ComposeCheck, ComposeDiagnostic, ComposeVariable, FieldError, Permission,
    Service, Severity,
};
use drover_compose::{Loaded, Project};
use indexmap::IndexMap;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::EnvironmentAccess,
    app::App,
    clusters,
    error::{Error, Result},
    extract::Json,
    stacks::summary,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(check_compose))
}

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

/// Reads a text, and has the environment's orchestrator look at what it means.
pub fn load(
    app: &App,
    access: EnvironmentAccess,
    compose: &str,
    variables: &IndexMap<String, String>,
) -> Loaded {
    let mut loaded = drover_compose::load(compose, variables);
    if let Some(project) = &loaded.project {
        let found = clusters::of(app, access.cluster).check(project);
        if found.iter().any(|found| found.severity != drover_compose::Severity::Warning) {
            loaded.project = None;
        }
        loaded.diagnostics.extend(found);
        loaded.diagnostics.sort_by_key(|found| (found.line, found.column));
    }
    loaded
}

/// What of a project the caller's role does not allow.
fn denied(app: &App, access: EnvironmentAccess, project: &Project) -> Vec<ComposeDiagnostic> {
    if access.may(Permission::HostTakeover) {
        return Vec::new();
    }
    clusters::of(app, access.cluster)
        .takeovers(project)
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
pub(super) fn checked_project(
    app: &App,
    access: EnvironmentAccess,
    compose: &str,
    variables: &IndexMap<String, String>,
) -> Result<Project> {
    let loaded = load(app, access, compose, variables);
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
    let denied = denied(app, access, &project);
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
    app: &App,
    access: EnvironmentAccess,
    loaded: &drover_compose::Loaded,
) -> (Vec<ComposeDiagnostic>, Vec<Service>) {
    let mut found = diagnostics(&loaded.diagnostics);
    let mut services = Vec::new();
    if let Some(project) = &loaded.project {
        found.extend(denied(app, access, project));
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
    State(app): State<App>,
    access: EnvironmentAccess,
    Json(input): Json<CheckCompose>,
) -> Result<Json<ComposeCheck>> {
    let loaded = load(&app, access, &input.compose, &input.variables);
    let (found, services) = describe(&app, access, &loaded);
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
