//! The page that loads the app. Every address of the app answers with it; the app's router does
//! the rest.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::json;

use super::{Nonce, assets};
use crate::{
    app::App,
    error::{Error, Result},
    settings,
};

#[derive(Template)]
#[template(path = "shell.html")]
struct Shell<'a> {
    language: &'a str,
    instance_name: &'a str,
    icon: &'a str,
    styles: &'a str,
    script: &'a str,
    wasm: &'a str,
    nonce: &'a str,
    /// JSON with `<` escaped, so that it cannot end its element.
    boot: &'a str,
}

#[derive(Template)]
#[template(path = "unbuilt.html")]
struct Unbuilt;

pub(super) async fn shell(
    State(app): State<App>,
    Extension(Nonce(nonce)): Extension<Nonce>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response> {
    if uri.path().starts_with("/v1/") {
        return Err(Error::not_found("page"));
    }
    let Some(manifest) = assets::manifest() else {
        let page = Unbuilt.render().map_err(Error::internal)?;
        return Ok((StatusCode::SERVICE_UNAVAILABLE, Html(page)).into_response());
    };
    let name = |plain: &str| manifest.name(plain).unwrap_or(plain).to_owned();
    let module = |plain: &str| format!("/assets/{}", name(plain));
    // The page must open while the database is away, to say so.
    let instance_name =
        settings::instance_name(&app.db).await.unwrap_or_else(|_| "Drover".to_owned());
    let language = language(&headers);
    let boot = json!({
        "nonce": &*nonce,
        "version": env!("CARGO_PKG_VERSION"),
        "language": language,
        "instance_name": instance_name,
        "modules": { "terminal": module("terminal.js"), "editor": module("editor.js") },
    });
    let page = Shell {
        language,
        instance_name: &instance_name,
        icon: &name("icon.svg"),
        styles: &name("app.css"),
        script: &name("drover.js"),
        wasm: &name("drover_bg.wasm"),
        nonce: &nonce,
        boot: &boot.to_string().replace('<', "\\u003c"),
    };
    let page = page.render().map_err(Error::internal)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response())
}

/// The first language that the browser asks for and Drover speaks.
fn language(headers: &HeaderMap) -> &'static str {
    let accepted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = accepted
        .split(',')
        .map(str::trim)
        .find(|language| language.starts_with("zh") || language.starts_with("en"));
    if first.is_some_and(|language| language.starts_with("zh")) { "zh-CN" } else { "en" }
}
