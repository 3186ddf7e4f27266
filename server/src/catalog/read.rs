//! Reads a catalog's files. What is wrong with one leaves out what it belongs to, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use drover_api::{CatalogProblem, QuestionType};
use drover_compose::{Severity, condition};
use indexmap::IndexMap;
use semver::Version;
use serde::{Deserialize, de::DeserializeOwned};
use serde_norway::Value;

use super::{
    answers::{coerce, whole_match},
    model::{
        Choice, Generate, Info, Question, Scalar, Template, TemplateVersion, Text, parse_range,
        sort_versions,
    },
};

/// A catalog's files: their text by their path.
pub(super) type Files = BTreeMap<String, String>;

/// A template with its versions, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub template: Template,
    pub icon: Option<String>,
    pub readme: String,
    pub versions: IndexMap<String, TemplateVersion>,
    /// The Compose text of each version.
    pub compose: IndexMap<String, String>,
}

/// A catalog, read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub info: Info,
    pub templates: BTreeMap<String, Entry>,
    /// What is wrong, by file.
    pub problems: Vec<CatalogProblem>,
}

fn problem(file: &str, line: usize, message: impl Into<String>) -> CatalogProblem {
    CatalogProblem {
        file: file.to_owned(),
        line: line.try_into().unwrap_or(u32::MAX),
        message: message.into(),
    }
}

/// The line of the first mention of `needle`, from 1; 0 when there is none.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(0, |at| at + 1)
}

/// Reads all of a catalog.
pub(super) fn catalog(files: &Files) -> Contents {
    let mut contents = Contents::default();
    let problems = &mut contents.problems;
    match files.get("catalog.yaml") {
        Some(text) => contents.info = parse("catalog.yaml", text, problems).unwrap_or_default(),
        None => problems.push(problem("catalog.yaml", 0, "There is no such file.")),
    }
    let folders: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    for folder in folders {
        if let Some(entry) = entry(folder, files, problems) {
            contents.templates.insert(folder.to_owned(), entry);
        }
    }
    contents
}

fn entry(folder: &str, files: &Files, problems: &mut Vec<CatalogProblem>) -> Option<Entry> {
    let path = format!("{folder}/template.yaml");
    // A folder without one holds something else.
    let text = files.get(&path)?;
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if folder.len() > 64 || !folder.chars().all(named) {
        let message = "A template's folder is named with small letters, digits and `-`.";
        problems.push(problem(&path, 0, message));
        return None;
    }
    let template = parse::<Template>(&path, text, problems)?.translated();
    if template.title.is_empty() {
        problems.push(problem(&path, 0, "`name` is missing: what people call it."));
        return None;
    }
    let icon = files.get(&format!("{folder}/icon.svg")).cloned();
    if icon.as_ref().is_some_and(|icon| !icon.contains("<svg")) {
        problems.push(problem(&format!("{folder}/icon.svg"), 0, "This is not an SVG picture."));
    }
    let prefix = format!("{folder}/");
    let names: BTreeSet<&str> = files
        .range(prefix.clone()..)
        .map_while(|(path, _)| path.strip_prefix(&prefix))
        .filter_map(|rest| rest.split_once('/'))
        .map(|(version, _)| version)
        .collect();
    let (mut versions, mut compose) = (IndexMap::new(), IndexMap::new());
    for name in names {
        let at = format!("{folder}/{name}");
        if Version::parse(name).is_err() {
            let message = "A version's folder is named by a semantic version, e.g. 1.0.0.";
            problems.push(problem(&at, 0, message));
            continue;
        }
        if let Some((version, text)) = version_folder(&at, files, problems) {
            versions.insert(name.to_owned(), version);
            compose.insert(name.to_owned(), text);
        }
    }
    if versions.is_empty() {
        problems.push(problem(&path, 0, "The template has no version."));
        return None;
    }
    sort_versions(&mut versions);
    let readme = files.get(&format!("{folder}/README.md")).cloned().unwrap_or_default();
    Some(Entry { template, icon: icon.filter(|i| i.contains("<svg")), readme, versions, compose })
}

fn version_folder(
    at: &str,
    files: &Files,
    problems: &mut Vec<CatalogProblem>,
) -> Option<(TemplateVersion, String)> {
    let (path, compose_path) = (format!("{at}/version.yaml"), format!("{at}/compose.yaml"));
    let (Some(text), Some(compose)) = (files.get(&path), files.get(&compose_path)) else {
        problems.push(problem(at, 0, "A version needs version.yaml and compose.yaml."));
        return None;
    };
    let before = problems.len();
    let version = version(&path, text, problems)?;
    check_compose(&compose_path, compose, &path, text, &version.questions, problems);
    (problems.len() == before).then(|| (version, compose.clone()))
}

/// Checks the Compose text with the default answers.
fn check_compose(
    path: &str,
    compose: &str,
    version_path: &str,
    version_text: &str,
    questions: &[Question],
    problems: &mut Vec<CatalogProblem>,
) {
    let values: IndexMap<String, String> =
        questions.iter().map(|question| (question.variable.clone(), sample(question))).collect();
    let loaded = drover_compose::load(compose, &values);
    for found in loaded.diagnostics {
        if found.severity != Severity::Warning {
            problems.push(problem(path, found.line as usize, found.message));
        }
    }
    let used = drover_compose::variables_used(compose);
    for one in &used {
        if one.default.is_none() && !values.contains_key(&one.name) {
            let message = format!("No question asks for the variable `{}`.", one.name);
            problems.push(problem(path, one.line as usize, message));
        }
    }
    for question in questions {
        let name = &question.variable;
        let in_compose = used.iter().any(|one| one.name == *name) || compose.contains(name);
        let in_condition = questions
            .iter()
            .flat_map(|question| &question.show_if)
            .any(|one| condition::names(one).contains(&name.as_str()));
        if !in_compose && !in_condition {
            let line = line_of(version_text, &format!("variable: {name}"));
            let message = format!("The Compose text does not use `{name}`.");
            problems.push(problem(version_path, line, message));
        }
    }
}

/// A plausible answer, to check a Compose text with.
fn sample(question: &Question) -> String {
    if let Some(default) = question.default.clone().filter(|default| !default.is_empty()) {
        return default;
    }
    match question.type_ {
        QuestionType::Int | QuestionType::Float => question.min.unwrap_or(1.0).to_string(),
        QuestionType::Boolean => "false".into(),
        QuestionType::Enum => {
            question.options.first().map(|choice| choice.value.clone()).unwrap_or_default()
        }
        QuestionType::StorageSize => "1g".into(),
        QuestionType::Hostname => "app.example.com".into(),
        QuestionType::Service => "stack/service".into(),
        _ => "sample".into(),
    }
}

fn parse<T: DeserializeOwned>(
    path: &str,
    text: &str,
    problems: &mut Vec<CatalogProblem>,
) -> Option<T> {
    match serde_norway::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let line = error.location().map_or(0, |at| at.line());
            problems.push(problem(path, line, error.to_string()));
            None
        }
    }
}

/// `version.yaml` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVersion {
    #[serde(default)]
    app_version: Option<Scalar>,
    #[serde(default)]
    notes: Text,
    #[serde(default)]
    upgrade_from: Option<String>,
    #[serde(default)]
    minimum_drover_version: Option<String>,
    #[serde(default)]
    questions: Vec<Value>,
}

/// A question as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    variable: String,
    #[serde(default)]
    label: Text,
    #[serde(default)]
    description: Text,
    #[serde(default)]
    tooltip: Text,
    #[serde(default, rename = "type")]
    type_: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: Option<Scalar>,
    #[serde(default)]
    generate: Option<Generate>,
    #[serde(default)]
    group: Text,
    #[serde(default)]
    min: Option<Scalar>,
    #[serde(default)]
    max: Option<Scalar>,
    #[serde(default)]
    min_length: Option<u32>,
    #[serde(default)]
    max_length: Option<u32>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    valid_chars: Option<String>,
    #[serde(default)]
    invalid_chars: Option<String>,
    #[serde(default)]
    options: Vec<RawOption>,
    #[serde(default)]
    show_if: Option<String>,
    #[serde(default)]
    subquestions: Vec<RawQuestion>,
    #[serde(default)]
    show_subquestion_if: Option<Scalar>,
    #[serde(default)]
    i18n: IndexMap<String, QuestionTexts>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum RawOption {
    Labelled { value: Scalar, label: Text },
    Plain(Scalar),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct QuestionTexts {
    label: Option<String>,
    description: Option<String>,
    tooltip: Option<String>,
    group: Option<String>,
    /// The labels of options by their values.
    options: IndexMap<String, String>,
}

/// Reads `version.yaml`.
pub(super) fn version(
    path: &str,
    text: &str,
    problems: &mut Vec<CatalogProblem>,
) -> Option<TemplateVersion> {
    let raw: RawVersion = parse(path, text, problems)?;
    let line = |needle: &str| line_of(text, needle);
    if let Some(range) = &raw.upgrade_from
        && let Err(error) = parse_range(range)
    {
        problems.push(problem(path, line("upgrade_from"), format!("`upgrade_from`: {error}.")));
    }
    if let Some(minimum) = &raw.minimum_drover_version
        && let Err(error) = Version::parse(minimum)
    {
        let message = format!("`minimum_drover_version`: {error}.");
        problems.push(problem(path, line("minimum_drover_version"), message));
    }
    let mut questions = Vec::new();
    for value in raw.questions {
        let name = value.get("variable").and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = line(&format!("variable: {name}"));
        match serde_norway::from_value::<RawQuestion>(value) {
            Ok(raw) => flatten(raw, None, &mut questions, &mut |message| {
                problems.push(problem(path, at, message));
            }),
            Err(error) => problems.push(problem(path, at, format!("`{name}`: {error}"))),
        }
    }
    let mut seen = BTreeSet::new();
    for question in &questions {
        let at = line(&format!("variable: {}", question.variable));
        for message in faults(question, &seen) {
            problems.push(problem(path, at, format!("`{}`: {message}", question.variable)));
        }
        if !seen.insert(question.variable.as_str()) {
            let message = format!("`{}` is asked twice.", question.variable);
            problems.push(problem(path, at, message));
        }
    }
    Some(TemplateVersion {
        app_version: raw.app_version.map(|version| version.0).unwrap_or_default(),
        notes: raw.notes,
        upgrade_from: raw.upgrade_from,
        minimum_drover_version: raw.minimum_drover_version,
        questions,
    })
}

/// Puts a question and, right after it, those inside it into `out`.
fn flatten(
    mut raw: RawQuestion,
    parent: Option<(&str, Vec<String>)>,
    out: &mut Vec<Question>,
    fault: &mut dyn FnMut(String),
) {
    for (language, texts) in std::mem::take(&mut raw.i18n) {
        let fields = [
            (&mut raw.label, texts.label),
            (&mut raw.description, texts.description),
            (&mut raw.tooltip, texts.tooltip),
            (&mut raw.group, texts.group),
        ];
        for (field, text) in fields {
            if let Some(text) = text {
                field.translate(&language, text);
            }
        }
        for option in &mut raw.options {
            if let RawOption::Plain(value) = option {
                let label = Text::from(value.0.as_str());
                *option = RawOption::Labelled { value: value.clone(), label };
            }
            if let RawOption::Labelled { value, label } = option
                && let Some(text) = texts.options.get(&value.0)
            {
                label.translate(&language, text.clone());
            }
        }
    }
    let (parent, mut show_if) =
        parent.map_or((None, Vec::new()), |(name, conditions)| (Some(name.to_owned()), conditions));
    show_if.extend(raw.show_if.filter(|one| !one.trim().is_empty()));
    let subquestions = std::mem::take(&mut raw.subquestions);
    if parent.is_some() && !subquestions.is_empty() {
        fault(format!("`{}`: questions stand one level deep only.", raw.variable));
        return;
    }
    let [min, max] = [("min", &raw.min), ("max", &raw.max)].map(|(key, bound)| {
        let text = bound.as_ref().map(|bound| bound.0.as_str())?;
        let number = limit(text);
        if number.is_none() {
            fault(format!("`{}`: `{key}` must be a number or a size.", raw.variable));
        }
        number
    });
    let mut below = show_if.clone();
    if let Some(value) = &raw.show_subquestion_if {
        below.push(format!("{}={}", raw.variable, value.0));
    }
    out.push(Question {
        variable: raw.variable.clone(),
        label: raw.label,
        description: raw.description,
        tooltip: raw.tooltip,
        type_: question_type(&raw.type_),
        required: raw.required,
        default: raw.default.map(|default| default.0),
        generate: raw.generate,
        group: raw.group,
        min,
        max,
        min_length: raw.min_length,
        max_length: raw.max_length,
        pattern: raw.pattern,
        valid_chars: raw.valid_chars,
        invalid_chars: raw.invalid_chars,
        options: raw
            .options
            .into_iter()
            .map(|option| match option {
                RawOption::Labelled { value, label } => Choice { value: value.0, label },
                RawOption::Plain(value) => {
                    Choice { label: Text::from(value.0.as_str()), value: value.0 }
                }
            })
            .collect(),
        show_if,
        parent,
    });
    for sub in subquestions {
        flatten(sub, Some((&raw.variable, below.clone())), out, fault);
    }
}

/// A number, or a size such as `512m` in bytes.
fn limit(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| drover_compose::parse_bytes(text).map(|bytes| bytes as f64))
}

/// The type by its name or one of the names in other catalogs; an unknown one is a string.
fn question_type(name: &str) -> QuestionType {
    match name {
        "multiline" | "yaml" => QuestionType::Multiline,
        "int" => QuestionType::Int,
        "float" => QuestionType::Float,
        "boolean" => QuestionType::Boolean,
        "enum" | "radio" => QuestionType::Enum,
        "password" => QuestionType::Password,
        "hostname" => QuestionType::Hostname,
        "storage_size" => QuestionType::StorageSize,
        "service" => QuestionType::Service,
        "certificate" => QuestionType::Certificate,
        "secret" => QuestionType::Secret,
        _ => QuestionType::String,
    }
}

/// What is wrong with a question; `before` are those before it.
fn faults(question: &Question, before: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &question.variable;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        faults.push("a variable is named with letters, digits and `_`.".into());
    }
    if question.type_ == QuestionType::Enum && question.options.is_empty() {
        faults.push("it needs `options`.".into());
    }
    if question.min.zip(question.max).is_some_and(|(min, max)| min > max)
        || question.min_length.zip(question.max_length).is_some_and(|(min, max)| min > max)
    {
        faults.push("its smallest is above its largest.".into());
    }
    if let Some(Err(error)) = question.pattern.as_deref().map(whole_match) {
        faults.push(format!("`pattern`: {error}"));
    }
    if let Some(generate) = &question.generate {
        if question.type_ != QuestionType::Password {
            faults.push("only a password has `generate`.".into());
        }
        if generate.characters.is_empty() || !(1..=512).contains(&generate.length) {
            faults.push("`generate` needs characters, and a length of 1 to 512.".into());
        }
    }
    for condition in &question.show_if {
        for name in condition::names(condition) {
            if !before.contains(name) {
                faults.push(format!("`show_if` names `{name}`, which is not asked before."));
            }
        }
    }
    if let Some(default) = question.default.clone().filter(|default| !default.is_empty())
        && let Err(message) = coerce(question, default)
    {
        faults.push(format!("its default is wrong: {message}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(version: &str, compose: &str) -> Files {
        [
            ("catalog.yaml", "name: Test"),
            ("app/template.yaml", "title: App"),
            ("app/README.md", "# App"),
            ("app/1.0.0/version.yaml", version),
            ("app/1.0.0/compose.yaml", compose),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into()
    }

    const COMPOSE: &str = "services:\n  web:\n    image: nginx:${TAG}\n";

    #[test]
    fn reads_a_template() {
        let contents = catalog(&files(
            "app_version: 1.5\nquestions:\n  - {variable: TAG, label: Tag, default: 1.27, i18n: {zh-CN: {label: 标签}}}\n",
            COMPOSE,
        ));
        assert_eq!(contents.problems, []);
        let version = &contents.templates["app"].versions["1.0.0"];
        assert_eq!(version.app_version, "1.5");
        let question = version.questions[0].wire("zh-CN");
        assert_eq!((question.label.as_str(), question.default.as_deref()), ("标签", Some("1.27")));
    }

    #[test]
    fn names_file_and_line_of_what_is_wrong() {
        for (version, compose, file, line, part) in [
            ("questions: []", COMPOSE, "app/1.0.0/compose.yaml", 3, "No question"),
            (
                "questions:\n  - variable: TAG\n  - variable: X",
                COMPOSE,
                "app/1.0.0/version.yaml",
                3,
                "does not use",
            ),
            (
                "questions:\n  - variable: TAG\n    lable: x",
                COMPOSE,
                "app/1.0.0/version.yaml",
                2,
                "lable",
            ),
            (
                "questions:\n  - {variable: TAG, type: int, default: x}",
                COMPOSE,
                "app/1.0.0/version.yaml",
                2,
                "default",
            ),
            (
                "questions:\n  - {variable: TAG, pattern: '('}",
                COMPOSE,
                "app/1.0.0/version.yaml",
                2,
                "pattern",
            ),
            ("upgrade_from: x.y", "services: {}", "app/1.0.0/version.yaml", 1, "upgrade_from"),
        ] {
            let contents = catalog(&files(version, compose));
            let found = contents.problems.iter().any(|found| {
                found.file == file && found.line == line && found.message.contains(part)
            });
            assert!(found, "{version}: {:?}", contents.problems);
            assert!(contents.templates.is_empty(), "{version}");
        }
    }

    #[test]
    fn the_builtin_catalog_has_no_problems() {
        let contents = catalog(&super::super::source::builtin());
        assert_eq!(contents.problems, []);
        assert!(contents.templates.len() >= 18);
    }
}
