//! Light and dark: the system's, until the user says otherwise.

use gloo_storage::{LocalStorage, Storage};
use leptos::prelude::*;

const KEY: &str = "drover.theme";

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// As the system is.
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// All of them, as the menu shows them.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The app's theme.
#[derive(Clone, Copy)]
pub struct ThemeContext {
    wanted: RwSignal<Theme>,
    system_dark: RwSignal<bool>,
}

impl ThemeContext {
    /// Reads what the user chose last, and follows the system's changes.
    pub fn provide() -> Self {
        let saved = LocalStorage::get::<String>(KEY).unwrap_or_default();
        let wanted = Theme::ALL.into_iter().find(|theme| theme.name() == saved);
        let query = window().match_media("(prefers-color-scheme: dark)").ok().flatten();
        let context = Self {
            wanted: RwSignal::new(wanted.unwrap_or(Theme::System)),
            system_dark: RwSignal::new(query.as_ref().is_some_and(|query| query.matches())),
        };
        if let Some(query) = query {
            use wasm_bindgen::{JsCast, prelude::Closure};
            let watched = query.clone();
            let follow =
                Closure::<dyn Fn()>::new(move || context.system_dark.set(watched.matches()));
            // Kept for as long as the page lives.
            let _ =
                query.add_event_listener_with_callback("change", follow.as_ref().unchecked_ref());
            follow.forget();
        }
        provide_context(context);
        context.show();
        context
    }

    /// What the user wants.
    pub fn wanted(self) -> Theme {
        self.wanted.get()
    }

    /// Whether the page is dark now.
    pub fn dark(self) -> bool {
        match self.wanted.get() {
            Theme::System => self.system_dark.get(),
            theme => theme == Theme::Dark,
        }
    }

    /// Changes and remembers it.
    pub fn set(self, theme: Theme) {
        self.wanted.set(theme);
        // Without storage (private windows) the choice lasts until the page is closed.
        let _ = LocalStorage::set(KEY, theme.name());
        self.show();
    }

    fn show(self) {
        if let Some(root) = document().document_element() {
            // Setting an attribute with a plain name cannot fail.
            let _ = root.set_attribute("data-theme", self.wanted.get_untracked().name());
        }
    }
}

/// The app's theme.
pub fn use_theme() -> ThemeContext {
    expect_context()
}
