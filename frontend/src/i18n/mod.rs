//! Every string of the app, in English and 简体中文.
//!
//! Each area has a file with a [`texts!`] block that holds both languages side by side, so that
//! neither can lack one: `t().hosts.title`. To add an area: a file beside this one, a `mod` line, a
//! field in [`Texts`].
//!
//! Placeholders are `{name}`, filled by [`fill`]. A text for a count is `one|many` in English and
//! one form in Chinese, chosen and filled (`{n}`) by [`plural`].
//!
//! A change of language mounts the pages anew, so `t()` need not be called in closures.

use std::cell::Cell;

use gloo_storage::{LocalStorage, Storage};
use leptos::prelude::*;

use crate::{boot::boot, format::count};

/// Makes a struct of texts with its two languages. `key: "English", "中文";`
macro_rules! texts {
    ($(#[$meta:meta])* $name:ident { $($key:ident: $en:literal, $zh:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name { $(#[allow(missing_docs)] pub $key: &'static str,)* }
        impl $name {
            pub(super) const EN: Self = Self { $($key: $en,)* };
            pub(super) const ZH: Self = Self { $($key: $zh,)* };
            #[cfg(test)]
            pub(super) const PAIRS: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($key), $en, $zh),)*];
        }
    };
}

mod account;
mod admin;
mod apps;
mod clusters;
mod common;
mod containers;
mod engine;
mod environment;
mod frame;
mod hosts;
mod kubernetes;
mod machines;
mod operations;
mod overview;
mod secrets;
mod sign_in;
mod states;
mod swarm;

/// All texts of one language.
#[derive(Debug)]
pub struct Texts {
    /// Words that every page uses.
    pub common: common::Common,
    /// What goes wrong in the app itself.
    pub error: common::Errors,
    /// Times relative to now.
    pub time: Time,
    /// States of things, roles.
    pub states: states::States,
    /// Navigation, menus, banners.
    pub frame: frame::Frame,
    /// Sign-in, set-up, profile, API keys.
    pub account: account::Account,
    /// Users, environments, audit log, settings.
    pub admin: admin::Admin,
    /// An environment's members and settings.
    pub environment: environment::EnvironmentTexts,
    /// Hosts, containers, stacks and the catalog.
    pub engine: engine::Engine,
    /// A container's and a service's page.
    pub containers: containers::Containers,
    /// Hosts and what is on them.
    pub hosts: hosts::Hosts,
    /// Secrets, certificates and registries.
    pub secrets: secrets::Secrets,
    /// Installs, upgrades and catalogs.
    pub apps: apps::Apps,
    /// An environment's dashboard.
    pub overview: overview::Overview,
    /// Operations.
    pub operations: operations::Operations,
    /// Identity providers.
    pub sign_in: sign_in::SignIn,
}

/// Times relative to now: minutes, hours, days, months, years.
#[derive(Debug)]
pub struct Time {
    /// Less than a minute.
    pub now: &'static str,
    /// In the past.
    pub ago: [&'static str; 5],
    /// In the future.
    pub ahead: [&'static str; 5],
}

static EN: Texts = Texts {
    common: common::Common::EN,
    error: common::Errors::EN,
    time: Time {
        now: "just now",
        ago: [
            "{n} min ago|{n} min ago",
            "{n} h ago|{n} h ago",
            "{n} day ago|{n} days ago",
            "{n} month ago|{n} months ago",
            "{n} year ago|{n} years ago",
        ],
        ahead: [
            "in {n} min|in {n} min",
            "in {n} h|in {n} h",
            "in {n} day|in {n} days",
            "in {n} month|in {n} months",
            "in {n} year|in {n} years",
        ],
    },
    states: states::States::EN,
    frame: frame::Frame::EN,
    account: account::Account::EN,
    admin: admin::Admin::EN,
    environment: environment::EnvironmentTexts::EN,
    engine: engine::Engine::EN,
    containers: containers::Containers::EN,
    hosts: hosts::Hosts::EN,
    secrets: secrets::Secrets::EN,
    apps: apps::Apps::EN,
    overview: overview::Overview::EN,
    operations: operations::Operations::EN,
    sign_in: sign_in::SignIn::EN,
};

static ZH: Texts = Texts {
    common: common::Common::ZH,
    error: common::Errors::ZH,
    time: Time {
        now: "刚刚",
        ago: ["{n} 分钟前", "{n} 小时前", "{n} 天前", "{n} 个月前", "{n} 年前"],
        ahead: ["{n} 分钟后", "{n} 小时后", "{n} 天后", "{n} 个月后", "{n} 年后"],
    },
    states: states::States::ZH,
    frame: frame::Frame::ZH,
    account: account::Account::ZH,
    admin: admin::Admin::ZH,
    environment: environment::EnvironmentTexts::ZH,
    engine: engine::Engine::ZH,
    containers: containers::Containers::ZH,
    hosts: hosts::Hosts::ZH,
    secrets: secrets::Secrets::ZH,
    apps: apps::Apps::ZH,
    overview: overview::Overview::ZH,
    operations: operations::Operations::ZH,
    sign_in: sign_in::SignIn::ZH,
};

/// The texts of a group of pages whose code is fetched later, which bring them along.
macro_rules! of_its_own {
    ($(#[$meta:meta])* $name:ident: $texts:ty) => {
        $(#[$meta])*
        pub fn $name() -> &'static $texts {
            static EN: $texts = <$texts>::EN;
            static ZH: $texts = <$texts>::ZH;
            match language() {
                Language::English => &EN,
                Language::Chinese => &ZH,
            }
        }
    };
}

of_its_own! {
    /// Adding hosts, their agents, what their machines do.
    machines: machines::Machines
}
of_its_own! {
    /// Swarms.
    swarm: swarm::Swarm
}
of_its_own! {
    /// Kubernetes clusters.
    clusters: clusters::Clusters
}
of_its_own! {
    /// Environments on Kubernetes.
    kubernetes: kubernetes::Kubernetes
}
pub use swarm::Swarm as SwarmTexts;

/// A language that the app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// 简体中文.
    Chinese,
}

impl Language {
    /// All of them, as the menu shows them.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Its name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "简体中文",
        }
    }

    /// Its BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

const KEY: &str = "drover.language";

thread_local! {
    static LANGUAGE: Cell<Language> = const { Cell::new(Language::English) };
}

/// The texts in the user's language.
pub fn t() -> &'static Texts {
    match language() {
        Language::English => &EN,
        Language::Chinese => &ZH,
    }
}

/// The user's language.
pub fn language() -> Language {
    LANGUAGE.get()
}

/// Changes the language; see [`LanguageContext::set`].
#[derive(Clone, Copy)]
pub struct LanguageContext(RwSignal<Language>);

impl LanguageContext {
    /// What the user chose last, else what the browser asks for.
    pub fn provide() -> Self {
        let saved = LocalStorage::get::<String>(KEY).unwrap_or_default();
        let tag = if saved.is_empty() { &boot().language } else { &saved };
        let language = if tag.starts_with("zh") { Language::Chinese } else { Language::English };
        let context = Self(RwSignal::new(language));
        context.show(language);
        provide_context(context);
        context
    }

    /// The language; the pages are mounted anew when it changes.
    pub fn get(self) -> Language {
        self.0.get()
    }

    /// Changes and remembers it.
    pub fn set(self, language: Language) {
        // Without storage (private windows) the choice lasts until the page is closed.
        let _ = LocalStorage::set(KEY, language.tag());
        self.show(language);
        self.0.set(language);
    }

    fn show(self, language: Language) {
        LANGUAGE.set(language);
        if let Some(root) = document().document_element() {
            // Setting an attribute with a plain name cannot fail.
            let _ = root.set_attribute("lang", language.tag());
        }
    }
}

/// The language setting.
pub fn use_language() -> LanguageContext {
    expect_context()
}

/// Puts values in the place of `{name}`s.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}') {
            Some((name, tail)) if values.iter().any(|(key, _)| *key == name) => {
                let value = values.iter().find(|(key, _)| *key == name);
                filled.push_str(value.map(|(_, value)| *value).unwrap_or_default());
                rest = tail;
            }
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// The form of `text` for this count, with `{n}` filled.
pub fn plural(n: u64, text: &str) -> String {
    let form = match text.split_once('|') {
        Some((one, many)) => {
            if n == 1 {
                one
            } else {
                many
            }
        }
        None => text,
    };
    fill(form, &[("n", &count(n))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(text: &str) -> Vec<&str> {
        let mut names: Vec<_> =
            text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|p| p.0).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn both_languages_have_the_same_placeholders_and_neither_is_empty() {
        for (area, pairs) in [
            ("common", common::Common::PAIRS),
            ("error", common::Errors::PAIRS),
            ("states", states::States::PAIRS),
            ("frame", frame::Frame::PAIRS),
            ("account", account::Account::PAIRS),
            ("admin", admin::Admin::PAIRS),
            ("environment", environment::EnvironmentTexts::PAIRS),
            ("engine", engine::Engine::PAIRS),
            ("containers", containers::Containers::PAIRS),
            ("hosts", hosts::Hosts::PAIRS),
            ("secrets", secrets::Secrets::PAIRS),
            ("apps", apps::Apps::PAIRS),
            ("overview", overview::Overview::PAIRS),
            ("operations", operations::Operations::PAIRS),
            ("sign_in", sign_in::SignIn::PAIRS),
            ("machines", machines::Machines::PAIRS),
            ("swarm", swarm::Swarm::PAIRS),
            ("clusters", clusters::Clusters::PAIRS),
            ("kubernetes", kubernetes::Kubernetes::PAIRS),
        ] {
            for (key, en, zh) in pairs {
                assert!(!en.is_empty() && !zh.is_empty(), "{area}.{key} is empty");
                assert_eq!(placeholders(en), placeholders(zh), "{area}.{key}");
            }
        }
    }

    #[test]
    fn texts_are_filled() {
        assert_eq!(fill("{a} and {b}, {c}", &[("a", "1"), ("b", "{a}")]), "1 and {a}, {c}");
        assert_eq!(plural(1, "{n} host|{n} hosts"), "1 host");
        assert_eq!(plural(1200, "{n} host|{n} hosts"), "1,200 hosts");
        assert_eq!(plural(1, "{n} 台主机"), "1 台主机");
    }
}
