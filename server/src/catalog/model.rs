//! Templates, versions and questions: a superset of what Drover's own catalogs, Rancher 1.6 and 2
//! catalogs and Portainer's app templates can say. Nothing here does I/O.

use drover_api::QuestionType;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::version;

/// A text in one or more languages; `en` stands for the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub IndexMap<String, String>);

impl Text {
    /// The text in `language`, else in English, else nothing.
    pub fn get(&self, language: &str) -> &str {
        self.0.get(language).or_else(|| self.0.get("en")).map_or("", String::as_str)
    }

    /// Whether there is none in any language.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|text| text.trim().is_empty())
    }

    /// All languages' texts.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self([("en".to_owned(), text.to_owned())].into())
    }
}

/// What a catalog says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// What people call it.
    pub name: Text,
    /// What is in it.
    pub description: Text,
    /// Who keeps it.
    pub maintainer: Option<String>,
    /// The categories, in the order to show them.
    pub categories: Vec<Text>,
}

/// An app in a catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// What people call it.
    pub title: Text,
    /// What it is, in a sentence.
    pub description: Text,
    /// By their English names.
    pub categories: Vec<String>,
    /// More words to find it by.
    pub keywords: Vec<String>,
    /// The app's page.
    pub home: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// The app's licence.
    pub license: Option<String>,
    /// Who keeps the template.
    pub maintainer: Option<String>,
    /// Free labels.
    pub labels: IndexMap<String, String>,
    /// The version to offer; the newest when absent.
    pub default_version: Option<String>,
    /// Not to be installed any more.
    pub deprecated: bool,
}

/// One release of a template, without its texts (Compose, README).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Its folder's name.
    pub version: String,
    /// The app's own version.
    pub app_version: String,
    /// What is new, Markdown.
    pub notes: Text,
    /// From which versions it can be upgraded to.
    pub upgrade_from: Option<String>,
    /// The oldest Drover that can install it.
    pub minimum_drover_version: Option<String>,
    /// The newest Drover that can.
    pub maximum_drover_version: Option<String>,
    /// Orders releases of the same version.
    pub revision: u32,
    /// The questions, those inside others right after them.
    pub questions: Vec<Question>,
}

impl Release {
    /// Why this Drover cannot install it, if it cannot.
    pub fn incompatible(&self) -> Option<String> {
        let drover = version::parse(version::DROVER)?;
        let older = |bound: &String| version::parse(bound).is_some_and(|bound| drover < bound);
        let newer = |bound: &String| version::parse(bound).is_some_and(|bound| drover > bound);
        if let Some(bound) = self.minimum_drover_version.as_ref().filter(|bound| older(bound)) {
            return Some(format!("It needs Drover {bound} or later; this is {drover}."));
        }
        let bound = self.maximum_drover_version.as_ref().filter(|bound| newer(bound))?;
        Some(format!("It works with Drover up to {bound}; this is {drover}."))
    }

    /// Sorts releases, the newest first.
    pub fn newest_first(a: &Self, b: &Self) -> std::cmp::Ordering {
        version::compare(&b.version, &a.version).then(b.revision.cmp(&a.revision))
    }
}

/// A question before an install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// The variable that the answer is the value of.
    pub variable: String,
    /// What is asked for.
    pub label: Text,
    /// More, below the field.
    pub description: Text,
    /// More, on demand.
    pub tooltip: Text,
    /// How it is asked and checked.
    pub kind: QuestionType,
    /// Must be answered when it is shown.
    pub required: bool,
    /// The answer when none is given.
    pub default: Option<String>,
    /// How to make one up.
    pub generate: Option<Generate>,
    /// The heading that it stands under.
    pub group: Text,
    /// Bounds of numbers; of sizes, in bytes.
    pub min: Option<f64>,
    /// See `min`.
    pub max: Option<f64>,
    /// Bounds of the number of characters.
    pub min_length: Option<u32>,
    /// See `min_length`.
    pub max_length: Option<u32>,
    /// A regular expression that all of it matches.
    pub pattern: Option<String>,
    /// The only characters allowed.
    pub valid_chars: Option<String>,
    /// Characters that are not.
    pub invalid_chars: Option<String>,
    /// The choices of an enum.
    pub options: Vec<Choice>,
    /// Conditions that must all hold for it to be shown.
    pub show_if: Vec<String>,
    /// The question that it belongs to.
    pub parent: Option<String>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            variable: String::new(),
            label: Text::default(),
            description: Text::default(),
            tooltip: Text::default(),
            kind: QuestionType::String,
            required: false,
            default: None,
            generate: None,
            group: Text::default(),
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            pattern: None,
            valid_chars: None,
            invalid_chars: None,
            options: Vec::new(),
            show_if: Vec::new(),
            parent: None,
        }
    }
}

impl Question {
    /// The variables that its answer gives: its own, and of a service its two parts.
    pub fn variables(&self) -> Vec<String> {
        let parts: &[&str] =
            if self.kind == QuestionType::Service { &["", "_STACK", "_SERVICE"] } else { &[""] };
        parts.iter().map(|part| format!("{}{part}", self.variable)).collect()
    }

    /// As the API shows it.
    pub fn to_api(&self, language: &str) -> drover_api::Question {
        drover_api::Question {
            variable: self.variable.clone(),
            label: self.label.get(language).to_owned(),
            description: self.description.get(language).to_owned(),
            tooltip: self.tooltip.get(language).to_owned(),
            type_: self.kind,
            required: self.required,
            default: self.default.clone(),
            generated: self.generate.is_some(),
            group: self.group.get(language).to_owned(),
            min: self.min,
            max: self.max,
            min_length: self.min_length,
            max_length: self.max_length,
            pattern: self.pattern.clone(),
            valid_chars: self.valid_chars.clone(),
            invalid_chars: self.invalid_chars.clone(),
            options: self
                .options
                .iter()
                .map(|choice| drover_api::QuestionOption {
                    value: choice.value.clone(),
                    label: choice.label.get(language).to_owned(),
                })
                .collect(),
            show_if: self.show_if.clone(),
            parent: self.parent.clone(),
        }
    }
}

/// How to make an answer up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generate {
    /// How many characters.
    pub length: u32,
    /// Out of these.
    pub characters: String,
}

impl Generate {
    /// Letters and digits without those that look alike.
    pub const CHARACTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
}

/// One choice of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The answer.
    pub value: String,
    /// What people read.
    pub label: Text,
}

/// A release with its texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReleaseFiles {
    /// What `version.yaml` says.
    pub release: Release,
    /// The Compose text.
    pub compose: String,
    /// The README by language, Markdown.
    pub readme: Text,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// `image/svg+xml` or `image/png`.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A template with its releases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateFiles {
    /// Its folder's name.
    pub name: String,
    /// What `template.yaml` says.
    pub template: Template,
    /// Its picture.
    pub icon: Option<Icon>,
    /// The newest first; never empty.
    pub releases: Vec<ReleaseFiles>,
}

/// All that is in a catalog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CatalogFiles {
    /// What `catalog.yaml` says.
    pub about: About,
    /// By name.
    pub templates: Vec<TemplateFiles>,
}

/// The release to offer out of those of a template (the newest first): the template's own choice,
/// else the newest that this Drover can install and that is no pre-release, else the newest.
pub fn default_release<'a>(
    template: &Template,
    releases: impl Iterator<Item = &'a Release> + Clone,
) -> Option<&'a Release> {
    let stable = |release: &&Release| {
        release.incompatible().is_none()
            && version::parse(&release.version).is_some_and(|version| version.pre.is_empty())
    };
    template
        .default_version
        .as_ref()
        .and_then(|wanted| releases.clone().find(|release| release.version == *wanted))
        .or_else(|| releases.clone().find(stable))
        .or_else(|| releases.clone().next())
}

/// The newest release that a stack with `installed` can be upgraded to in one step.
pub fn upgrade<'a>(
    installed: &str,
    releases: impl Iterator<Item = &'a Release>,
) -> Option<&'a Release> {
    let pre = |text: &str| version::parse(text).is_some_and(|version| !version.pre.is_empty());
    releases
        .filter(|release| {
            version::can_upgrade(installed, &release.version, release.upgrade_from.as_deref())
        })
        .filter(|release| release.incompatible().is_none())
        // Who runs a stable version is not offered a pre-release.
        .filter(|release| pre(installed) || !pre(&release.version))
        .max_by(|a, b| Release::newest_first(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str, upgrade_from: Option<&str>) -> Release {
        Release {
            version: version.into(),
            upgrade_from: upgrade_from.map(Into::into),
            ..Release::default()
        }
    }

    #[test]
    fn a_text_falls_back_to_english() {
        let text =
            Text([("en", "Port"), ("zh-CN", "端口")].map(|(k, v)| (k.into(), v.into())).into());
        assert_eq!((text.get("zh-CN"), text.get("de")), ("端口", "Port"));
        assert_eq!(Text::default().get("en"), "");
    }

    #[test]
    fn offers_the_newest_stable_release_and_reachable_upgrades() {
        let releases = [
            release("3.0.0", Some(">=2.0.0")),
            release("2.1.0-rc.1", None),
            release("2.0.0", None),
            release("1.10.0", None),
            release("1.9.0", None),
        ];
        let offered = |template: &Template| {
            default_release(template, releases.iter()).map(|release| release.version.as_str())
        };
        assert_eq!(offered(&Template::default()), Some("3.0.0"));
        let pinned = Template { default_version: Some("1.10.0".into()), ..Template::default() };
        assert_eq!(offered(&pinned), Some("1.10.0"));
        for (installed, expected) in
            [("1.9.0", Some("2.0.0")), ("2.0.0", Some("3.0.0")), ("3.0.0", None), ("odd", None)]
        {
            let found = upgrade(installed, releases.iter()).map(|release| release.version.as_str());
            assert_eq!(found, expected, "{installed}");
        }
    }

    #[test]
    fn says_which_drover_it_needs() {
        let mut needy = release("1.0.0", None);
        assert_eq!(needy.incompatible(), None);
        needy.minimum_drover_version = Some("99.0.0".into());
        assert!(needy.incompatible().is_some_and(|why| why.contains("99.0.0")));
        needy.minimum_drover_version = None;
        needy.maximum_drover_version = Some("0.0.1".into());
        assert!(needy.incompatible().is_some_and(|why| why.contains("0.0.1")));
    }
}
