//! What the workers of every engine do alike: one task a stack, which passes again and again, and
//! says how its rollout goes.

use std::{sync::Arc, time::Duration};

use drover_api::{Change, OperationError, OperationKind, Topic};
use drover_compose::{FailureAction, Healthcheck};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    app::App,
    error::Result,
    events,
    operations::{self, OpenOperation},
    secrets,
    stacks::{self, Desired, StackRow, Wanted},
};

/// How long what was started may take to become ready, beside what its health check grants it.
pub(super) const LONGEST_START: Duration = Duration::from_secs(120);

/// Why a step did not work.
pub(super) struct Failed {
    pub error: OperationError,
    /// It may well work a little later, with nothing changed by a person.
    pub transient: bool,
}

/// What to do after a pass.
pub(super) enum Next {
    /// Look again at once.
    Again,
    /// Look again when something changes, or after this long.
    Wait(Duration),
    /// The stack is gone.
    End,
}

/// Makes of a stack what a person wants of it, one pass at a time.
pub(super) trait Worker: Send {
    fn app(&self) -> &App;
    fn keep_running(&mut self, row: &StackRow) -> impl Future<Output = Result<Next>> + Send;
    fn keep_stopped(&mut self, row: &StackRow) -> impl Future<Output = Result<Next>> + Send;
    fn remove(&mut self, row: &StackRow) -> impl Future<Output = Result<Next>> + Send;
}

/// Looks after a stack until it is gone.
pub(super) async fn run(mut worker: impl Worker, stack: Uuid, waker: Arc<Notify>) {
    loop {
        let wait = match pass(&mut worker, stack).await {
            Ok(Next::Again) => continue,
            Ok(Next::Wait(wait)) => wait,
            Ok(Next::End) => return,
            Err(error) => {
                tracing::warn!(%stack, %error, "cannot look after a stack; trying again");
                Duration::from_secs(2)
            }
        };
        tokio::select! {
            () = waker.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn pass(worker: &mut impl Worker, stack: Uuid) -> Result<Next> {
    let Some(row) = stacks::find_row(&worker.app().db, stack).await? else {
        return Ok(Next::End);
    };
    match row.desired {
        Desired::Running => worker.keep_running(&row).await,
        Desired::Stopped => worker.keep_stopped(&row).await,
        Desired::Removed => worker.remove(&row).await,
    }
}

/// A stack's project, read anew when the stack or a secret has changed.
#[derive(Default)]
pub(super) struct Compiled(Option<(i64, i64, Arc<Wanted>)>);

impl Compiled {
    pub async fn get(&mut self, app: &App, row: &StackRow) -> Result<Arc<Wanted>> {
        let secrets = secrets::generation(&app.db, row.environment_id).await?;
        if let Some((version, generation, wanted)) = &self.0
            && (*version, *generation) == (row.version, secrets)
        {
            return Ok(wanted.clone());
        }
        let wanted = Arc::new(stacks::wanted(app, row).await?);
        self.0 = Some((row.version, secrets, wanted.clone()));
        Ok(wanted)
    }
}

/// What is wanted cannot be made, now or later, unless a person changes something.
pub(super) async fn hopeless(
    app: &App,
    row: &StackRow,
    operation: Option<&OpenOperation>,
    error: OperationError,
) -> Result<()> {
    match operation {
        Some(open) => give_up(app, row, open, error, false).await,
        None => tell_problems(app, row, &[(String::new(), error.message)].into()).await,
    }
}

/// Why the rollout of the wanted revision has stopped.
pub(super) async fn why_stopped(app: &App, row: &StackRow) -> Result<String> {
    let error = operations::last_error(&app.db, row.id).await?;
    Ok(match (row.outcome.as_deref(), error) {
        (Some("failed"), Some(error)) => format!("The rollout has failed: {}", error.message),
        (Some("failed"), None) => "The rollout has failed.".into(),
        _ => "The rollout was cancelled. Deploy it again, or roll back.".into(),
    })
}

/// Says why services are not as they should be.
pub(super) async fn tell_problems(
    app: &App,
    row: &StackRow,
    problems: &IndexMap<String, String>,
) -> Result<()> {
    if stacks::set_problems(&app.db, row.id, problems).await? {
        app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    }
    Ok(())
}

/// Ends a rollout that cannot go on.
pub(super) async fn give_up(
    app: &App,
    row: &StackRow,
    open: &OpenOperation,
    error: OperationError,
    roll_back: bool,
) -> Result<()> {
    // A rollback that fails is not rolled back once more.
    let roll_back = roll_back && open.kind != OperationKind::Rollback;
    stacks::rollout_failed(app, row, open, error, roll_back).await
}

/// What of a stack that is taken down is still there, in words, decides how its removal goes on:
/// it waits, or the stack's row goes.
pub(super) async fn go_on_removing(app: &App, row: &StackRow, left: &[String]) -> Result<Next> {
    let operation = operations::open_for(&app.db, row.id).await?;
    if let Some(open) = &operation {
        if !left.is_empty() && !row.force_remove {
            operations::progress(app, open.id, 0.5, &left.join(" ")).await?;
            return Ok(Next::Wait(Duration::from_secs(1)));
        }
        for what in left {
            operations::log(app, open.id, &format!("Left behind: {what}")).await?;
        }
        operations::finish(app, open.id, None).await?;
    } else if !left.is_empty() && !row.force_remove {
        return Ok(Next::Wait(Duration::from_secs(2)));
    }
    stacks::delete_row(&app.db, row.id).await?;
    let gone = events::event(Topic::Stack, Some(row.environment_id), row.id, Change::Removed);
    app.events.publish(gone).await;
    Ok(Next::End)
}

/// How long a health check may take until it says that a container is not healthy. Defaults are
/// Docker's.
pub(super) fn time_to_health(check: &Healthcheck) -> Duration {
    let round = check.interval_ms.unwrap_or(30_000) + check.timeout_ms.unwrap_or(30_000);
    let rounds = round.saturating_mul(check.retries.unwrap_or(3));
    Duration::from_millis(check.start_period_ms.unwrap_or(0).saturating_add(rounds))
}

/// Whether an update of this service that fails is to be rolled back.
pub(super) fn rolls_back(wanted: &Wanted, service: &str) -> bool {
    wanted
        .project
        .services
        .get(service)
        .is_some_and(|service| service.deploy.update.failure_action == FailureAction::Rollback)
}

pub(super) fn operation_error(code: &str, message: &str) -> OperationError {
    OperationError { code: code.into(), message: message.into(), service: None, host: None }
}
