//! What the server put into the page for the app: see `server/templates/shell.html`.

use serde::Deserialize;
use std::sync::OnceLock;

/// The JSON of the `#boot` element.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// What this installation is called.
    pub instance_name: String,
    /// The server's version.
    pub version: String,
    /// The language that the browser asked for: `en` or `zh-CN`.
    pub language: String,
    /// The page's CSP nonce, for modules that make `<style>` elements.
    pub nonce: String,
    /// Where the lazily loaded modules lie.
    pub modules: Modules,
}

/// Addresses of the modules that are loaded when they are first needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Modules {
    /// xterm.js, wrapped.
    pub terminal: String,
    /// CodeMirror, wrapped.
    pub editor: String,
}

/// The page's boot data; defaults where the page has none.
pub fn boot() -> &'static Boot {
    static BOOT: OnceLock<Boot> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = leptos::prelude::document()
            .get_element_by_id("boot")
            .and_then(|element| element.text_content())
            .unwrap_or_default();
        let mut boot: Boot = crate::api::read(&text).unwrap_or_default();
        if boot.instance_name.is_empty() {
            boot.instance_name = "Drover".into();
        }
        boot
    })
}
