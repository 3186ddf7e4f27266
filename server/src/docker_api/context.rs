//! What to paste to use a host with Docker's own command line.

use axum::extract::State;
use drover_api::DockerContext;
use uuid::Uuid;

use crate::{
    app::App,
    error::{Error, Result},
    extract::{Json, Path},
};

/// Stands for the API key, which only its owner knows.
const KEY: &str = "drv_YOUR_API_KEY";
/// The authorities of most Linux systems.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Show how to use a host with Docker's command line
///
/// `docker` and `docker-compose` work with a host through Drover, under the role of the API key
/// that is sent. They take the header from the `config.json` of the folder that `DOCKER_CONFIG`
/// names; the key goes to every engine that is used with that folder, so it has one of its own.
#[utoipa::path(get, tag = "hosts",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/docker-context",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    responses((status = 200, body = DockerContext)))]
pub(super) async fn get(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
) -> Result<Json<DockerContext>> {
    let host = app.hosts.live(environment_id, host_id).ok_or_else(|| Error::not_found("host"))?;
    Ok(Json(of(&app.settings.public_url(), &host.row().name, host_id)))
}

fn of(public_url: &str, host_name: &str, host_id: Uuid) -> DockerContext {
    let (scheme, rest) = public_url.split_once("://").unwrap_or(("http", public_url));
    let tls = scheme == "https";
    let (authority, base) = rest.split_once('/').map_or((rest, ""), |(host, base)| (host, base));
    let authority = match (has_port(authority), tls) {
        (true, _) => authority.to_owned(),
        (false, true) => format!("{authority}:443"),
        (false, false) => format!("{authority}:80"),
    };
    let base = base.trim_matches('/');
    let base = if base.is_empty() { String::new() } else { format!("/{base}") };
    let place = format!("{authority}{base}/docker/hosts/{host_id}");
    let address = format!("tcp://{place}");
    let config = format!("{{\"HttpHeaders\": {{\"Authorization\": \"Bearer {KEY}\"}}}}");
    let name = format!("drover-{}", slug(host_name));
    let folder = format!("$HOME/.docker/{name}");
    let endpoint = match tls {
        true => format!("host={address},ca={AUTHORITIES}"),
        false => format!("host={address}"),
    };
    let set_up = format!(
        "(umask 077; mkdir -p \"{folder}\"; cat > \"{folder}/config.json\" <<'END'\n{config}\nEND\n)\nexport DOCKER_CONFIG=\"{folder}\"\ndocker context create {name} --docker \"{endpoint}\"\ndocker context use {name}\n"
    );
    let compose_host = if tls { format!("https://{place}") } else { address.clone() };
    DockerContext {
        compose: format!(
            "export DOCKER_CONFIG=\"{folder}\"\ndocker-compose --host {compose_host} up -d\n"
        ),
        address,
        tls,
        config,
        set_up,
        use_it: format!("export DOCKER_CONFIG=\"{folder}\"\ndocker ps\n"),
        key_placeholder: KEY.into(),
    }
}

/// Whether an authority, `HOST`, `HOST:PORT` or `[IPV6]:PORT`, has a port.
fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// A host's name as a part of a shell word and of a context's name.
fn slug(name: &str) -> String {
    let slug: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(40)
        .collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "host".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_and_a_path() {
        let id = Uuid::nil();
        let at = |url: &str| of(url, "Node 1 (Köln)", id).address;
        assert_eq!(at("http://localhost:8080"), format!("tcp://localhost:8080/docker/hosts/{id}"));
        assert_eq!(at("https://d.test"), format!("tcp://d.test:443/docker/hosts/{id}"));
        assert_eq!(at("http://d.test/x"), format!("tcp://d.test:80/x/docker/hosts/{id}"));
        assert_eq!(at("http://[::1]:80"), format!("tcp://[::1]:80/docker/hosts/{id}"));
    }

    #[test]
    fn what_is_pasted_holds_no_odd_name() {
        let context = of("https://d.test", "a\"; rm -rf /; $(x)", Uuid::nil());
        let all = format!("{}{}{}", context.set_up, context.use_it, context.compose);
        for odd in ["rm -rf /;", "$(x)", "a\";"] {
            assert!(!all.contains(odd), "{all}");
        }
        assert!(context.set_up.contains(",ca=/etc/ssl/"));
        assert!(context.compose.contains("https://d.test:443/"));
        assert!(context.config.contains(&context.key_placeholder));
    }
}
