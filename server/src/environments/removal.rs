//! The end of environments that are being removed: when the engine has removed the last stack of
//! one, the environment goes.

use std::time::Duration;

use drover_api::{Change, Topic};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::store;
use crate::{app::App, clusters::cattle, error::Result, events, operations};

/// How often to look though nothing seems to have changed.
const LOOK: Duration = Duration::from_secs(10);

/// Removes environments as they become empty. Every replica may do it: the rows say what is left.
pub async fn run(app: App) {
    let mut changes = app.events.subscribe();
    loop {
        if let Err(error) = finish(&app).await {
            tracing::warn!(%error, "cannot finish the removal of environments; trying again");
        }
        let removed = async {
            loop {
                match changes.recv().await {
                    Ok(event)
                        if event.event.topic == Topic::Stack
                            && event.event.change == Change::Removed =>
                    {
                        return;
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = removed => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn finish(app: &App) -> Result<()> {
    for (id, left) in store::removing(&app.db).await? {
        if left > 0 {
            if let Some(open) = operations::open_for(&app.db, id).await? {
                let all = open.input["stacks"].as_i64().unwrap_or(left).max(left);
                let fraction = (all - left) as f64 / all as f64;
                let message = format!("{left} of {all} stacks are still being removed.");
                operations::progress(app, open.id, fraction, &message).await?;
            }
            continue;
        }
        if store::delete_removed(&app.db, id).await? {
            is_gone(app, id).await;
        }
    }
    Ok(())
}

/// Tells everyone that an environment is no more.
pub(super) async fn is_gone(app: &App, id: Uuid) {
    for host in app.hosts.in_environment(id) {
        cattle::let_go(app, &host);
    }
    app.hosts.rows_changed();
    app.access_changed(Topic::Environment, Some(id), id).await;
    app.events.publish(events::event(Topic::Environment, Some(id), id, Change::Removed)).await;
}
