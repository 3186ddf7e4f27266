//! What must be asked of the engine, or of the environment, before a call goes on: what its names
//! stand for, and which credentials go with it. What was looked up by a name is sent on by its id,
//! so that it stays what was checked.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use drover_api::Permission;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Call, Sent,
    forward::Taken,
    policy::{
        Address, Refusal, Row, Special,
        body::{self, References, Rule},
        table::{BUILD_TAKEOVERS, Body},
    },
    refuse,
};
use crate::{
    app::App,
    error::{Error, Result},
    hosts::{
        LiveHost, belongs_to_others, check_takeover,
        driver::{Docker, registry_header, stream::PLAIN_EVENTS},
        labels, registry_auth,
    },
};

/// Docker's clients pad or do not, and use either alphabet.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");
/// What `ps` can be asked to show without showing environments.
const HARMLESS_PS: [&str; 3] = ["", "-ef", "aux"];

/// What a limited caller's request must be, whatever the route. Parameters that are not known go no
/// further: old clients send some that say nothing, or that no engine has read for years.
pub(super) fn plain_request(
    call: &Call,
    row: &Row,
    address: &mut Address,
    headers: &HeaderMap,
) -> Result<()> {
    let known = |name: &str| row.query.contains(&name);
    let unknown = address.query.iter().find(|(name, value)| !known(name) && !value.is_empty());
    if let Some((name, _)) = unknown.filter(|_| row.action.is_some()) {
        let what = BUILD_TAKEOVERS
            .iter()
            .find(|(known, _)| known == name)
            .map_or("an option that this version of Drover does not know", |(_, what)| what);
        return Err(refuse::takeover(call, &format!("`{name}` ({what})")));
    }
    address.query.retain(|(name, _)| known(name));
    // Engines take a form for parameters of the query.
    let kinds = headers.get_all(header::CONTENT_TYPE);
    let form = kinds.iter().any(|kind| {
        kind.to_str().map_or(true, |kind| kind.to_ascii_lowercase().contains("form-urlencoded"))
    });
    if form || kinds.iter().count() > 1 {
        let why =
            "A body of this type is not taken: use `application/json` or `application/x-tar`.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "malformed_request", why));
    }
    Ok(())
}

/// Looks at all that the route asks to look at.
pub(super) async fn prepare(
    call: &Call,
    docker: &Docker,
    row: &Row,
    address: &mut Address,
    headers: &HeaderMap,
    body: Taken,
) -> Result<Sent> {
    let mut sent = Sent { body, headers: Vec::new() };
    let looks = Looks { call, docker };
    match row.special {
        Special::Plain => {}
        Special::Container => looks.container_of(row, address).await?,
        Special::Exec => looks.exec(row, address).await?,
        Special::CreateContainer => {
            let body = looks.body(&mut sent, &body::CONTAINER, true)?;
            if let Some(image) = body["Image"].as_str() {
                call.note.detail("image", image);
            }
            looks.references(&body).await?;
        }
        Special::UpdateContainer => {
            looks.body(&mut sent, &body::UPDATE, false)?;
            looks.container_of(row, address).await?;
        }
        Special::CreateExec => {
            let body = looks.body(&mut sent, &body::EXEC, false)?;
            // The command's arguments can hold secrets: only what runs is noted.
            if let Some(command) = body["Cmd"][0].as_str() {
                call.note.detail("command", command);
            }
            looks.container_of(row, address).await?;
        }
        Special::Rename => looks.rename(row, address)?,
        Special::Processes => looks.processes(address)?,
        Special::Events if call.access.may(Permission::Deploy) => {}
        Special::Events => without_commands(address).map_err(malformed)?,
        Special::Build => looks.build(address).await?,
        Special::Commit => {
            looks.committed(address).await?;
            if sent.body.is_json() {
                let body = looks.read(&sent, &body::IMAGE, false)?;
                body::check_labels(&body).map_err(|refusal| refuse::refused(call, refusal))?;
            }
        }
        Special::CreateImage => looks.create_image(address, headers, &mut sent).await?,
        Special::Registry => {
            let image = row.name(address).unwrap_or_default();
            looks.credentials(&image, headers, &mut sent).await?;
        }
        Special::CreateVolume => {
            let body = looks.body(&mut sent, &body::VOLUME, true)?;
            looks.name(&body["Name"]);
        }
        Special::CreateNetwork => {
            let body = looks.body(&mut sent, &body::NETWORK, true)?;
            looks.name(&body["Name"]);
        }
        Special::Network => {
            let body = looks.body(&mut sent, &body::CONNECT, false)?;
            if let Some(container) = body["Container"].as_str() {
                call.note.detail("container", container);
            }
            looks.references(&body).await?;
            if call.limited()
                && let Some(name) = row.name(address)
                && let Some(id) = looks.network(&name).await?
            {
                row.rename(address, &id);
            }
        }
        Special::CreateService | Special::UpdateService => {
            let new = row.special == Special::CreateService;
            let body = looks.body(&mut sent, &body::SERVICE, new)?;
            if new {
                looks.name(&body["Name"]);
            }
            looks.references(&body).await?;
            if !new {
                looks.rollback(row, address).await?;
            }
            if let Some(image) = body["TaskTemplate"]["ContainerSpec"]["Image"].as_str() {
                call.note.detail("image", image);
                looks.credentials(image, headers, &mut sent).await?;
            }
        }
        Special::CreateSecret => {
            let body = looks.body(&mut sent, &body::SECRET, true)?;
            looks.name(&body["Name"]);
        }
        Special::Prune => spare_stacks(address).map_err(malformed)?,
    }
    debug_assert!(row.body != Body::None || sent.body.is_empty());
    Ok(sent)
}

fn malformed(why: String) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "malformed_request", why)
}

struct Looks<'a> {
    call: &'a Call,
    docker: &'a Docker,
}

impl Looks<'_> {
    fn read(&self, sent: &Sent, rule: &Rule, judge: bool) -> Result<Value> {
        let bytes = sent.body.json();
        body::read(bytes, rule, judge).map_err(|refusal| refuse::refused(self.call, refusal))
    }

    /// Reads a body, judges it for limited callers, and has what was read sent on. `new`: the thing
    /// is being made, and cannot have labels of Drover's.
    fn body(&self, sent: &mut Sent, rule: &Rule, new: bool) -> Result<Value> {
        let value = self.read(sent, rule, self.call.limited())?;
        if new {
            body::check_labels(&value).map_err(|refusal| refuse::refused(self.call, refusal))?;
        }
        sent.body = Taken::Json(serde_json::to_vec(&value).map_err(Error::internal)?.into());
        Ok(value)
    }

    /// Notes the name of what is made.
    fn name(&self, name: &Value) {
        if let Some(name) = name.as_str() {
            self.call.note.target(name, name);
        }
    }

    /// For limited callers: the container must not be one that could take over its host. Answers
    /// its id.
    async fn container(&self, name: &str) -> Result<Option<String>> {
        if !self.call.limited() {
            return Ok(None);
        }
        let id = self.docker.inspect_container(name).await?.id.unwrap_or_default();
        check_takeover(self.call.access, self.docker, &id).await?;
        Ok(Some(id))
    }

    async fn container_of(&self, row: &Row, address: &mut Address) -> Result<()> {
        let name = row.name(address).unwrap_or_default();
        if let Some(id) = self.container(&name).await? {
            row.rename(address, &id);
        }
        Ok(())
    }

    async fn exec(&self, row: &Row, address: &Address) -> Result<()> {
        if !self.call.limited() {
            return Ok(());
        }
        let id = row.name(address).unwrap_or_default();
        let (container, privileged) = self.docker.exec_container(&id).await?;
        if privileged {
            return Err(refuse::takeover(self.call, "A privileged command"));
        }
        self.container(&container).await.map(drop)
    }

    fn rename(&self, row: &Row, address: &Address) -> Result<()> {
        let name = row.name(address).unwrap_or_default();
        let Call { app, access, host, .. } = self.call;
        let entry = app.hosts.index().find(access.id, host.id, &name);
        if entry.is_some_and(|entry| entry.owner.is_some()) {
            return Err(Error::conflict(
                "managed_container",
                "Drover names the containers of stacks itself.",
            ));
        }
        Ok(())
    }

    fn processes(&self, address: &Address) -> Result<()> {
        let shows_all = self.call.access.may(Permission::Deploy);
        if shows_all || address.values("ps_args").all(|asked| HARMLESS_PS.contains(&asked)) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "Your role here, {}, may not ask `ps` for more than `-ef` or `aux`: it can show environment variables.",
            self.call.access.role.as_str()
        )))
    }

    async fn build(&self, address: &Address) -> Result<()> {
        if !self.call.limited() {
            return Ok(());
        }
        if address.values("remote").any(|remote| !matches!(remote, "" | "client-session")) {
            let what = "`remote` (a context that the engine itself downloads)";
            return Err(refuse::takeover(self.call, what));
        }
        for mode in address.values("networkmode") {
            if let Some(what) = body::build_network(mode) {
                return Err(refuse::takeover(self.call, &format!("`networkmode` ({what})")));
            }
            self.network(mode).await?;
        }
        Ok(())
    }

    /// The container of a commit stands in the query.
    async fn committed(&self, address: &mut Address) -> Result<()> {
        let Some(name) = address.value("container").map(str::to_owned) else { return Ok(()) };
        if let Some(id) = self.container(&name).await? {
            address.query.retain(|(key, _)| key != "container");
            address.query.push(("container".into(), id));
        }
        Ok(())
    }

    async fn create_image(
        &self,
        address: &Address,
        headers: &HeaderMap,
        sent: &mut Sent,
    ) -> Result<()> {
        let import = address.values("fromSrc").any(|source| !source.is_empty());
        if import {
            self.call.note.action("docker.image.import", "image", self.call.access.id);
            if self.call.limited() && address.values("fromSrc").any(|source| source != "-") {
                let what = "`fromSrc` (an address that the engine itself downloads from)";
                return Err(refuse::takeover(self.call, what));
            }
        }
        match address.value("fromImage") {
            Some(image) if !image.is_empty() => self.credentials(image, headers, sent).await,
            _ => Ok(()),
        }
    }

    /// Adds the credentials that the environment has for an image's registry, when the caller has
    /// given none.
    async fn credentials(&self, image: &str, headers: &HeaderMap, sent: &mut Sent) -> Result<()> {
        if headers.get(&REGISTRY_AUTH).is_some_and(|given| has_credentials(given.as_bytes())) {
            return Ok(());
        }
        let stored = registry_auth(&self.call.app, self.call.access.id, image).await?;
        // A push wants the header in any case; `e30=` is `{}`.
        let text = stored.as_ref().map_or_else(|| "e30=".to_owned(), registry_header);
        let mut value = HeaderValue::try_from(text).map_err(Error::internal)?;
        value.set_sensitive(true);
        sent.headers.push((REGISTRY_AUTH, value));
        Ok(())
    }

    /// For limited callers: looks up the volumes and networks that a body names.
    async fn references(&self, body: &Value) -> Result<()> {
        if !self.call.limited() {
            return Ok(());
        }
        let References { volumes, networks } = References::of(body);
        for name in volumes {
            self.volume(&name).await?;
        }
        for name in networks {
            self.network(&name).await?;
        }
        Ok(())
    }

    /// A volume can be a path of the host by its own options.
    async fn volume(&self, name: &str) -> Result<()> {
        let Some(volume) = self.docker.find_volume(name).await? else { return Ok(()) };
        if belongs_to_others(self.call.access.id, &volume.labels) {
            return Err(self.others("volume", name));
        }
        let options = volume.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        if crate::hosts::detail::volume_reaches_host(options) {
            let what = format!("The volume `{name}` (a path of the host)");
            return Err(refuse::takeover(self.call, &what));
        }
        Ok(())
    }

    /// A network must be one among containers. Answers its id.
    async fn network(&self, name: &str) -> Result<Option<String>> {
        if matches!(name, "" | "default" | "bridge" | "none" | "nat") {
            return Ok(None);
        }
        let Some(network) = self.docker.find_network(name).await? else { return Ok(None) };
        if belongs_to_others(self.call.access.id, &network.labels.unwrap_or_default()) {
            return Err(self.others("network", name));
        }
        let driver = network.driver.unwrap_or_default();
        if !matches!(driver.as_str(), "bridge" | "overlay" | "null") {
            let what = format!("The network `{name}` (by the driver `{driver}`)");
            return Err(refuse::takeover(self.call, &what));
        }
        Ok(network.id)
    }

    fn others(&self, kind: &str, name: &str) -> Error {
        Error::forbidden(format!(
            "The {kind} `{name}` belongs to another environment: your role here, {}, may not use it.",
            self.call.access.role.as_str()
        ))
    }

    /// A rollback brings back what a member may have set.
    async fn rollback(&self, row: &Row, address: &Address) -> Result<()> {
        if !self.call.limited() || address.values("rollback").all(str::is_empty) {
            return Ok(());
        }
        let id = row.name(address).unwrap_or_default();
        let Some(previous) = self.docker.previous_service(&id).await? else { return Ok(()) };
        let bytes = serde_json::to_vec(&previous).map_err(Error::internal)?;
        let previous = body::read(&bytes, &body::SERVICE, true)
            .map_err(|refusal: Refusal| refuse::refused(self.call, refusal))?;
        self.references(&previous).await
    }
}

/// Whether the header holds any credential: Docker's command line sends one without, too.
fn has_credentials(given: &[u8]) -> bool {
    let standard: Vec<u8> = given
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    let Ok(bytes) = LENIENT.decode(standard) else { return !given.is_empty() };
    let Ok(Value::Object(auth)) = serde_json::from_slice(&bytes) else { return false };
    ["username", "password", "auth", "identitytoken", "registrytoken"]
        .iter()
        .any(|name| auth.get(*name).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
}

/// Adds to a prune's filters that what Drover made stays: a stack that is stopped wants its volumes
/// back.
fn spare_stacks(address: &mut Address) -> Result<(), String> {
    let mut filters = filters(address)?;
    if filters.contains_key("label!") {
        return Err(
            "Drover keeps what belongs to stacks by a `label!` filter of its own: leave yours out."
                .into(),
        );
    }
    add_filter(&mut filters, "label!", &[labels::ENVIRONMENT]);
    set_filters(address, filters);
    Ok(())
}

/// Leaves out the events that tell of commands in containers, whose arguments can hold secrets.
fn without_commands(address: &mut Address) -> Result<(), String> {
    let mut filters = filters(address)?;
    match filters.get_mut("event") {
        Some(Value::Object(asked)) => asked.retain(|event, _| !event.starts_with("exec")),
        Some(Value::Array(asked)) => {
            asked.retain(|event| event.as_str().is_some_and(|event| !event.starts_with("exec")))
        }
        Some(_) => return Err("`filters` must hold lists.".into()),
        None => {}
    }
    let some = |asked: &Value| match asked {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    match filters.get("event") {
        Some(asked) if some(asked) => {}
        // Nothing is left of what was asked for; no filter would mean all.
        Some(_) => add_filter(&mut filters, "event", &["none"]),
        None => add_filter(&mut filters, "event", &PLAIN_EVENTS),
    }
    set_filters(address, filters);
    Ok(())
}

fn filters(address: &Address) -> Result<Map<String, Value>, String> {
    match address.value("filters").unwrap_or_default() {
        "" => Ok(Map::new()),
        text => serde_json::from_str(text).map_err(|_| "`filters` must be a JSON object.".into()),
    }
}

/// Engines read filters in one of two ways, all of them alike.
fn add_filter(filters: &mut Map<String, Value>, name: &str, values: &[&str]) {
    let as_lists = filters.values().any(Value::is_array);
    let values = match as_lists {
        true => json!(values),
        false => values.iter().map(|value| ((*value).to_owned(), true)).collect(),
    };
    filters.insert(name.to_owned(), values);
}

fn set_filters(address: &mut Address, filters: Map<String, Value>) {
    address.query.retain(|(name, _)| name != "filters");
    address.query.push(("filters".into(), Value::Object(filters).to_string()));
}

/// A host of an environment that is a manager of its swarm and answers.
pub(super) async fn manager(app: &App, environment: Uuid) -> Result<Arc<LiveHost>> {
    let mut why = None;
    for host in app.hosts.in_environment(environment) {
        let asked = async { host.docker()?.is_manager().await };
        match asked.await {
            Ok(true) => return Ok(host),
            Ok(false) => {}
            Err(error) => why = Some(error),
        }
    }
    Err(match why {
        Some(error) => error.into(),
        None => Error::conflict(
            "no_manager",
            "No host of this environment is a manager of a swarm. Use the address of a host.",
        ),
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn credentials_are_seen_in_any_encoding() {
        let full = br#"{"username":"a?>~","password":"b"}"#;
        let none = br#"{"serveraddress":"localhost:5000","username":""}"#;
        for encoded in [STANDARD.encode(full), URL_SAFE.encode(full), URL_SAFE_NO_PAD.encode(full)]
        {
            assert!(has_credentials(encoded.as_bytes()), "{encoded}");
        }
        for none in [URL_SAFE.encode(none), "e30=".into(), "e30".into(), String::new()] {
            assert!(!has_credentials(none.as_bytes()), "{none}");
        }
        assert!(has_credentials(b"not base64!"), "the engine says what is wrong with it");
    }

    #[test]
    fn prunes_leave_stacks_alone() {
        let filters = |text: &str| {
            let query = format!("filters={text}");
            let mut address = Address::parse("volumes/prune", Some(&query)).unwrap();
            spare_stacks(&mut address)?;
            let filters: Value = serde_json::from_str(address.value("filters").unwrap()).unwrap();
            Ok::<_, String>(filters)
        };
        let ours = json!({"io.drover.environment": true});
        assert_eq!(filters("").unwrap(), json!({"label!": ours}));
        assert_eq!(
            filters(r#"{"all":{"1":true}}"#).unwrap(),
            json!({"all": {"1": true}, "label!": ours})
        );
        assert_eq!(
            filters(r#"{"until":["1h"]}"#).unwrap(),
            json!({"until": ["1h"], "label!": ["io.drover.environment"]})
        );
        for bad in ["x", "[]", r#"{"label!":{"a":true}}"#] {
            assert!(filters(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_of_commands_are_left_out() {
        let events = |text: &str| {
            let query = format!("filters={text}");
            let mut address = Address::parse("events", Some(&query)).unwrap();
            without_commands(&mut address).unwrap();
            let filters: Value = serde_json::from_str(address.value("filters").unwrap()).unwrap();
            filters["event"].clone()
        };
        assert!(events("")["start"].as_bool().unwrap());
        assert!(events(r#"{"type":["container"]}"#).as_array().unwrap().contains(&json!("die")));
        assert_eq!(events(r#"{"event":["exec_start","die"]}"#), json!(["die"]));
        assert_eq!(events(r#"{"event":{"exec_create":true,"die":true}}"#), json!({"die": true}));
        assert_eq!(events(r#"{"event":{"exec_create: sh":true}}"#), json!({"none": true}));
        assert!(PLAIN_EVENTS.iter().all(|event| !event.starts_with("exec")));
    }
}
