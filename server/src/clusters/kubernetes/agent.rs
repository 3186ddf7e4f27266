//! The agent of a cluster that is reached by one: it is brought to the server's own version through
//! the Deployment that the manifest made.

use drover_api::{AgentFit, ClusterSource};
use drover_kubernetes::client::{Identity, full};
use http::{Method, Request, header};
use serde_json::{Value, json};

use super::{live::Live, manifest, store};
use crate::{
    agents::version,
    app::App,
    error::{Error, Result},
    settings,
};

/// As the manifest names it.
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/drover-system/deployments/drover-agent";
const CONTAINER: &str = "agent";

/// Has an outdated agent replaced, if its image is one that this server gives out and agents may be
/// upgraded without being asked. What runs another image is whoever's who put it there.
pub(super) async fn keep_current(app: &App, live: &Live) -> Result<()> {
    if live.row().source != ClusterSource::Agent
        || !settings::agents_upgrade_themselves(&app.db).await?
    {
        return Ok(());
    }
    let row = store::clusters(&app.db, Some(live.id)).await?.pop();
    let Some(running) = row.and_then(|row| row.agent).map(|agent| agent.version) else {
        return Ok(());
    };
    if version::fit(&running, false) != AgentFit::Outdated {
        return Ok(());
    }
    let found = live.cluster.get_json::<Value>(DEPLOYMENT, Identity::Drover).await;
    let deployment = match found {
        Err(failure) if failure.is_not_found() => return Ok(()),
        found => found.map_err(super::failed)?,
    };
    let wanted = manifest::own_image(&app.settings.public_url());
    if !is_older_of(&wanted, &image(&deployment)) {
        return Ok(());
    }
    let containers = json!([{ "name": CONTAINER, "image": wanted }]);
    let patch = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("{DEPLOYMENT}?fieldManager=drover"))
        .header(header::CONTENT_TYPE, "application/strategic-merge-patch+json")
        .body(full(patch.to_string()))
        .map_err(Error::internal)?;
    live.cluster.request(request, Identity::Drover).await.map(drop).map_err(super::failed)?;
    tracing::info!(cluster = %live.name(), from = running, to = version::VERSION, "upgrading a cluster's agent");
    Ok(())
}

fn image(deployment: &Value) -> String {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
    let agent = containers.into_iter().flatten().find(|one| one["name"] == CONTAINER);
    agent.and_then(|one| one["image"].as_str()).unwrap_or_default().to_owned()
}

/// Whether an image is another version of the one that is wanted.
fn is_older_of(wanted: &str, image: &str) -> bool {
    let repository = |image: &str| image.rsplit_once(':').map(|(name, _)| name.to_owned());
    image != wanted && repository(image).is_some_and(|name| Some(name) == repository(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_of_this_server_is_replaced() {
        let wanted = "drover.example.com:8443/drover/agent:0.2.0";
        assert!(is_older_of(wanted, "drover.example.com:8443/drover/agent:0.1.0"));
        assert!(!is_older_of(wanted, wanted));
        assert!(!is_older_of(wanted, "registry.example.com/drover/agent:0.1.0"));
        assert!(!is_older_of(wanted, "drover.example.com:8443/drover/agent@sha256:00"));
        assert!(!is_older_of(wanted, ""));
    }
}
