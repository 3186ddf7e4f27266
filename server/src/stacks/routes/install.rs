//! Installing stacks.

use axum::extract::State;
use drover_api::{CreateStack, FieldError, OperationKind, StackOperation, StackSource};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    check::checked_project,
    check_description,
    target::{Accepted, accepted},
    variables_of,
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    catalog,
    error::{Error, Result, is_unique_violation},
    extract::Json,
    operations::{self, NewOperation},
    stacks::{
        model,
        store::{self, NewRevision, NewStack},
        upgrade,
    },
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

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
) -> Result<Accepted> {
    if let Some(error) = model::check_name(&input.name) {
        return Err(Error::invalid(vec![error]));
    }
    check_description(&input.description)?;
    let (template, revision) = first_revision(&app, input.source).await?;
    let variables = variables_of(&app, &revision)?;
    checked_project(&app, access, &revision.compose, &variables)?;
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
            if let Some(why) = &found.incompatible {
                return Err(Error::conflict("incompatible_version", why));
            }
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
