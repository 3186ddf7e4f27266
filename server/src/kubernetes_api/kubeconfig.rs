//! The file for kubectl, with an API key that was made for it.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use drover_api::{CreateApiKey, NewKubeconfig, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    auth,
    clusters::kubernetes::of_environment,
    error::{Error, Result},
    extract::Json,
};

/// How long a key is good, when nothing else is asked for, and at most; days.
const USUAL: u32 = 30;
const LONGEST: u32 = 365;

/// Make a kubeconfig
///
/// A file for kubectl, helm and client libraries, with a new API key of the caller's in it: for
/// this environment only, with the caller's role or a weaker one, and with an end. It is shown
/// once. The key stands among the caller's API keys, where it can be revoked.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/kubernetes/kubeconfig",
    tag = "kubernetes",
    request_body(content = NewKubeconfig, example = json!({ "role": "readonly", "days": 30 })),
    params(("environment_id" = Uuid, Path)),
    responses((status = 201, description = "The file", body = String, content_type = "application/yaml")))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<NewKubeconfig>,
) -> Result<(StatusCode, HeaderMap, String)> {
    if caller.scope.is_limited() {
        return Err(Error::denied(
            "scoped_api_key",
            "An API key with a scope makes no other keys. Sign in, or use a key without a scope.",
        ));
    }
    let role = input.role.unwrap_or(access.role);
    if role > access.role {
        let why = format!("Your role here is {}: a key cannot have more.", access.role.as_str());
        return Err(Error::invalid_field("role", why));
    }
    let days = input.days.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&days) {
        return Err(Error::invalid_field("days", "1 to 365 days."));
    }
    let share = of_environment(&app, access.id).await?;
    let live = app.kubernetes.live(share.cluster_id).ok_or_else(|| {
        Error::unavailable("cluster_unreachable", "The cluster is not connected yet.")
    })?;
    let (cluster, environment) = (live.name(), share.environment.as_str());
    let name: String = format!("kubeconfig {environment}").chars().take(64).collect();
    let key = CreateApiKey {
        name,
        environment_id: Some(access.id),
        role: Some(role),
        expires_at: Some(Timestamp(OffsetDateTime::now_utc() + Duration::days(days.into()))),
    };
    let made = auth::issue_api_key(&app, caller.user_id, &key).await?;
    note.target(made.key.id, &made.key.name);
    note.detail("role", role.as_str());
    note.detail("days", days);
    let file = File {
        server: format!("{}/k8s/clusters/{}", app.settings.public_url(), share.cluster_id),
        context: format!("{}-{}", slug(&cluster), slug(environment)),
        user: format!("{}@drover", slug(&caller.login)),
        namespace: share.namespaces.first().map_or("default", String::as_str).to_owned(),
        token: made.token.into(),
    };
    let disposition = format!("attachment; filename=\"{}.kubeconfig.yaml\"", file.context);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/yaml")),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).map_err(Error::internal)?),
        (
            HeaderName::from_static("x-api-key-id"),
            HeaderValue::try_from(made.key.id.to_string()).map_err(Error::internal)?,
        ),
    ];
    Ok((StatusCode::CREATED, headers.into_iter().collect(), file.write()?))
}

/// What the file says.
struct File {
    server: String,
    context: String,
    user: String,
    namespace: String,
    token: SecretString,
}

impl File {
    fn write(&self) -> Result<String> {
        let yaml = serde_norway::to_string(&self.content()).map_err(Error::internal)?;
        let warning = if self.server.starts_with("https://") {
            ""
        } else {
            "# kubectl sends no credentials without TLS: Drover must be reached by https for this\n# file to work. See DROVER_PUBLIC_URL.\n"
        };
        Ok(format!("{warning}{yaml}"))
    }

    fn content(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": self.context, "cluster": { "server": self.server } }],
            "users": [{ "name": self.user, "user": { "token": self.token.expose_secret() } }],
            "contexts": [{
                "name": self.context,
                "context": {
                    "cluster": self.context,
                    "user": self.user,
                    "namespace": self.namespace,
                },
            }],
            "current-context": self.context,
        })
    }
}

/// A name as a part of a context's and a file's name.
fn slug(name: &str) -> String {
    let slug: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(40)
        .collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "kubernetes".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use drover_kubernetes::client::kubeconfig::Kubeconfig;

    use super::*;

    #[test]
    fn the_file_is_one_that_clients_read() {
        let file = File {
            server: "https://drover.test/k8s/clusters/1".into(),
            context: format!("{}-{}", slug("Köln: 1"), slug("Shop \"a\"\n")),
            user: "ada@drover".into(),
            namespace: "shop".into(),
            token: "drv_x".to_owned().into(),
        };
        let text = file.write().unwrap();
        assert!(!text.contains('#'), "{text}");
        let access = Kubeconfig::read(&text).unwrap().choose(None).unwrap();
        assert_eq!(access.server, file.server);
        assert_eq!(access.namespace.as_deref(), Some("shop"));
        assert_eq!(access.credentials.token.unwrap().expose_secret(), "drv_x");
        assert!(text.contains("current-context: k-ln--1-shop--a"), "{text}");
        let plain = File { server: "http://drover.test".into(), ..file };
        assert!(plain.write().unwrap().starts_with("# kubectl sends no credentials"));
    }
}
