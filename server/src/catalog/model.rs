//! What a catalog's files mean, once read. Without I/O.

use drover_api::{QuestionOption, QuestionType};
use indexmap::IndexMap;
use semver::{Version, VersionReq};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The language of a text that names none.
pub(super) const ENGLISH: &str = "en";

/// A text in one or more languages. In a file: a plain scalar, or `{en: …, zh-CN: …}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(IndexMap<String, String>);

impl Text {
    /// The text in a language; without a translation, the English one.
    pub fn get(&self, language: &str) -> &str {
        self.0
            .get(language)
            .or_else(|| self.0.get(ENGLISH))
            .or_else(|| self.0.values().next())
            .map_or("", String::as_str)
    }

    /// Whether there is nothing in any language.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(String::is_empty)
    }

    pub(super) fn translate(&mut self, language: &str, text: String) {
        self.0.insert(language.to_owned(), text);
    }

    /// All of it, for a search.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(IndexMap::from([(ENGLISH.to_owned(), text.to_owned())]))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Languages(IndexMap<String, String>),
            One(Scalar),
        }
        Ok(match Form::deserialize(deserializer) {
            Ok(Form::Languages(texts)) => Self(texts),
            Ok(Form::One(text)) => Self::from(text.0.as_str()),
            Err(_) => return Err(D::Error::custom("must be a text or {en: …, zh-CN: …}")),
        })
    }
}

/// Any scalar, as the text that a Compose variable gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        scalar(&value)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be a text, number or boolean"))
    }
}

/// A scalar as text; nothing for lists and maps.
pub(super) fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => Some(String::new()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

/// How a password is made up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generate {
    /// How many characters.
    #[serde(default = "Generate::default_length")]
    pub length: u16,
    /// Which ones.
    #[serde(default = "Generate::default_characters")]
    pub characters: String,
}

impl Generate {
    fn default_length() -> u16 {
        24
    }

    /// Letters and digits: they need no quoting anywhere.
    fn default_characters() -> String {
        ('a'..='z').chain('A'..='Z').chain('0'..='9').collect()
    }
}

/// A choice of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The answer.
    pub value: String,
    /// What people read.
    pub label: Text,
}

/// A question before an install; those inside others stand right after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is that of the same name in drover_api::Question")]
pub struct Question {
    pub variable: String,
    pub label: Text,
    pub description: Text,
    pub tooltip: Text,
    #[serde(rename = "type")]
    pub type_: QuestionType,
    pub required: bool,
    pub default: Option<String>,
    pub generate: Option<Generate>,
    pub group: Text,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub min_length: Option<u32>,
    pub max_length: Option<u32>,
    pub pattern: Option<String>,
    pub valid_chars: Option<String>,
    pub invalid_chars: Option<String>,
    pub options: Vec<Choice>,
    pub show_if: Vec<String>,
    pub parent: Option<String>,
}

impl Question {
    /// As the API shows it, in a language.
    pub fn wire(&self, language: &str) -> drover_api::Question {
        let label = self.label.get(language);
        drover_api::Question {
            variable: self.variable.clone(),
            label: if label.is_empty() { &self.variable } else { label }.to_owned(),
            description: self.description.get(language).to_owned(),
            tooltip: self.tooltip.get(language).to_owned(),
            type_: self.type_,
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
                .map(|choice| QuestionOption {
                    value: choice.value.clone(),
                    label: choice.label.get(language).to_owned(),
                })
                .collect(),
            show_if: self.show_if.clone(),
            parent: self.parent.clone(),
        }
    }
}

/// What `template.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is that of the same name in drover_api::TemplateDetail")]
pub struct Template {
    #[serde(alias = "name")]
    pub title: Text,
    pub description: Text,
    pub categories: Vec<String>,
    pub home: Option<String>,
    pub source: Option<String>,
    pub maintainer: Option<String>,
    pub license: Option<String>,
    pub labels: IndexMap<String, String>,
    pub keywords: Vec<String>,
    pub deprecated: bool,
    #[serde(skip_serializing)]
    i18n: IndexMap<String, TemplateTexts>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct TemplateTexts {
    #[serde(alias = "name")]
    title: Option<String>,
    description: Option<String>,
}

impl Template {
    /// Moves the translations of `i18n` to their texts.
    pub(super) fn translated(mut self) -> Self {
        for (language, texts) in std::mem::take(&mut self.i18n) {
            if let Some(title) = texts.title {
                self.title.translate(&language, title);
            }
            if let Some(description) = texts.description {
                self.description.translate(&language, description);
            }
        }
        self
    }
}

/// What `version.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateVersion {
    /// The version of the app in it.
    pub app_version: String,
    /// What is new, Markdown.
    pub notes: Text,
    /// From which versions it can be upgraded to; absent: from all older ones.
    pub upgrade_from: Option<String>,
    /// The oldest Drover that can install it.
    pub minimum_drover_version: Option<String>,
    /// The form.
    pub questions: Vec<Question>,
}

impl TemplateVersion {
    /// Why this Drover cannot install it.
    pub fn incompatible(&self) -> Option<String> {
        let minimum = self.minimum_drover_version.as_deref()?;
        let ours = Version::parse(env!("CARGO_PKG_VERSION")).ok()?;
        let older = Version::parse(minimum).is_ok_and(|minimum| ours < minimum);
        older.then(|| format!("It needs Drover {minimum} or newer; this is {ours}."))
    }

    /// Whether `installed` can be upgraded to this, which is `version`.
    pub fn upgrades(&self, version: &Version, installed: &Version) -> bool {
        version > installed
            && self.incompatible().is_none()
            && self.upgrade_from.as_deref().is_none_or(|range| in_range(range, installed))
    }
}

/// What `catalog.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// What it is called.
    pub name: Text,
    /// What is in it.
    pub description: Text,
    /// Who keeps it.
    pub maintainer: Option<String>,
    /// The categories with their translations.
    pub categories: Vec<Text>,
}

/// Reads a range of versions: comparators separated by spaces or commas, alternatives by `||`.
pub(super) fn parse_range(range: &str) -> Result<Vec<VersionReq>, semver::Error> {
    range
        .split("||")
        .map(|part| {
            // `>= 1.0` with a space inside is one comparator.
            let mut joined = String::new();
            for piece in part.split([' ', ',']).filter(|piece| !piece.is_empty()) {
                if !joined.is_empty() && !joined.ends_with(['<', '>', '=', '~', '^']) {
                    joined.push_str(", ");
                }
                joined.push_str(piece);
            }
            VersionReq::parse(if joined.is_empty() { "*" } else { &joined })
        })
        .collect()
}

fn in_range(range: &str, version: &Version) -> bool {
    parse_range(range).is_ok_and(|ranges| ranges.iter().any(|range| range.matches(version)))
}

/// The newest of `versions` that `installed` can be upgraded to.
pub(super) fn newest_upgrade(
    versions: &IndexMap<String, TemplateVersion>,
    installed: &str,
) -> Option<String> {
    let installed = Version::parse(installed).ok()?;
    versions
        .iter()
        .filter_map(|(name, version)| Some((Version::parse(name).ok()?, version)))
        // People who run a release are not offered a pre-release.
        .filter(|(name, _)| name.pre.is_empty() || !installed.pre.is_empty())
        .filter(|(name, version)| version.upgrades(name, &installed))
        .map(|(name, _)| name)
        .max()
        .map(|name| name.to_string())
}

/// Orders versions, the newest first; the default one is the first release that can be installed.
pub(super) fn sort_versions(versions: &mut IndexMap<String, TemplateVersion>) {
    let key = |name: &str| Version::parse(name).ok();
    versions.sort_by(|a, _, b, _| key(b).cmp(&key(a)));
}

/// The version that is installed unless another is chosen, out of sorted ones.
pub(super) fn default_version(
    versions: &IndexMap<String, TemplateVersion>,
) -> Option<(&String, &TemplateVersion)> {
    let release = |name: &str| Version::parse(name).is_ok_and(|name| name.pre.is_empty());
    versions
        .iter()
        .find(|(name, version)| release(name) && version.incompatible().is_none())
        .or_else(|| versions.iter().find(|(_, version)| version.incompatible().is_none()))
        .or_else(|| versions.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(upgrade_from: Option<&str>, minimum: Option<&str>) -> TemplateVersion {
        TemplateVersion {
            upgrade_from: upgrade_from.map(str::to_owned),
            minimum_drover_version: minimum.map(str::to_owned),
            ..TemplateVersion::default()
        }
    }

    #[test]
    fn upgrades_go_to_the_newest_that_may_follow() {
        let mut versions = IndexMap::from([
            ("1.9.0".to_owned(), version(None, None)),
            ("1.10.0".to_owned(), version(None, None)),
            ("2.0.0".to_owned(), version(Some(">=1.10.0 <2.0.0"), None)),
            ("2.1.0-rc.1".to_owned(), version(None, None)),
            ("9.0.0".to_owned(), version(None, Some("999.0.0"))),
        ]);
        sort_versions(&mut versions);
        assert_eq!(versions.keys().next().map(String::as_str), Some("9.0.0"));
        assert_eq!(default_version(&versions).map(|(name, _)| name.as_str()), Some("2.0.0"));
        for (installed, expected) in [
            ("1.9.0", Some("1.10.0")),
            ("1.10.0", Some("2.0.0")),
            ("2.0.0", None),
            ("2.1.0-alpha", Some("2.1.0-rc.1")),
            ("not a version", None),
        ] {
            assert_eq!(newest_upgrade(&versions, installed).as_deref(), expected, "{installed}");
        }
    }

    #[test]
    fn ranges_take_spaces_commas_and_alternatives() {
        for (range, inside, outside) in [
            (">=1.0.0 <2.0.0", "1.5.0", "2.0.0"),
            (">= 1.0.0, < 2.0.0", "1.5.0", "2.0.0"),
            ("~1.2 || ^3.1", "3.4.0", "2.0.0"),
        ] {
            for (version, expected) in [(inside, true), (outside, false)] {
                let parsed = Version::parse(version);
                assert_eq!(parsed.map(|v| in_range(range, &v)).ok(), Some(expected), "{range}");
            }
        }
    }

    #[test]
    fn texts_fall_back_to_english() -> Result<(), serde_json::Error> {
        let text: Text = serde_json::from_str(r#"{"en": "Port", "zh-CN": "端口"}"#)?;
        assert_eq!((text.get("zh-CN"), text.get("fr")), ("端口", "Port"));
        let plain: Text = serde_json::from_str("5")?;
        assert_eq!(plain.get("zh-CN"), "5");
        Ok(())
    }
}
