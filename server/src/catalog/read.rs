//! From a catalog's files to its model. Each problem knows its file and line; what is wrong takes
//! only itself out. Nothing here does I/O.

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use drover_api::QuestionType;
use drover_compose::yaml::{self, Node, Value};
use indexmap::IndexMap;
use regex::Regex;

use super::{
    answers::{compile, parse_size},
    model::{
        About, CatalogFiles, Choice, Generate, Icon, Question, Release, ReleaseFiles, Template,
        TemplateFiles, Text,
    },
    version,
};

/// A catalog's files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The largest icon, bytes.
pub const LARGEST_ICON: usize = 64 << 10;
/// The largest text file, bytes.
pub const LARGEST_TEXT: usize = 1 << 20;
const MOST_TEMPLATES: usize = 2000;
const MOST_VERSIONS: usize = 200;
const MOST_QUESTIONS: usize = 200;

/// Whether a catalog has a use for the file at this path; others are not even fetched.
pub fn wants(path: &str) -> bool {
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or_default();
    let folders: Vec<_> = parts.collect();
    if folders.iter().any(|folder| folder.starts_with('.')) {
        return false;
    }
    let readme = name.starts_with("README.") && name.ends_with("md");
    match folders.len() {
        0 => name == "catalog.yaml",
        1 => readme || matches!(name, "template.yaml" | "icon.svg" | "icon.png"),
        2 => readme || matches!(name, "version.yaml" | "compose.yaml"),
        _ => false,
    }
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is wrong.
    Error,
    /// It works, but should be better.
    Warning,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's path in the catalog.
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// An error.
    pub fn error(file: impl Into<String>, line: u32, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, severity: Severity::Error, message: message.into() }
    }

    /// A warning.
    pub fn warning(file: impl Into<String>, line: u32, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(file, line, message) }
    }
}

/// Reads a whole catalog.
pub fn catalog(files: &Files) -> (CatalogFiles, Vec<Problem>) {
    let mut problems = Vec::new();
    let about = files
        .get("catalog.yaml")
        .and_then(|bytes| Reader::document("catalog.yaml", bytes, &mut problems, about))
        .unwrap_or_default();
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in files.keys() {
        if let Some((folder, rest)) = path.split_once('/')
            && !folder.starts_with('.')
        {
            folders.entry(folder).or_default().push(rest);
        }
    }
    folders.retain(|_, names| names.contains(&"template.yaml"));
    if folders.is_empty() {
        let message = "There is no template here: a template is a folder with a template.yaml.";
        problems.push(Problem::error("", 0, message));
    }
    if folders.len() > MOST_TEMPLATES {
        let message = format!("There are {} templates; at most 2,000 are read.", folders.len());
        problems.push(Problem::error("", 0, message));
    }
    let templates = folders
        .into_iter()
        .take(MOST_TEMPLATES)
        .filter_map(|(name, names)| template(files, name, &names, &mut problems))
        .collect();
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    (CatalogFiles { about, templates }, problems)
}

fn template(
    files: &Files,
    name: &str,
    names: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<TemplateFiles> {
    let path = format!("{name}/template.yaml");
    let fits = name.len() <= 40
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits {
        let message = "A template's folder has 1 to 40 lower-case letters, digits or `-`.";
        problems.push(Problem::error(path, 0, message));
        return None;
    }
    let template = Reader::document(&path, files.get(&path)?, problems, template_yaml)?;
    let readme = readme(files, name, problems);
    let mut versions: Vec<&str> = names
        .iter()
        .filter_map(|rest| rest.split_once('/'))
        .filter(|(_, file)| matches!(*file, "version.yaml" | "compose.yaml"))
        .map(|(version, _)| version)
        .collect();
    versions.dedup();
    if versions.len() > MOST_VERSIONS {
        let message = format!("There are {} versions; at most 200 are read.", versions.len());
        problems.push(Problem::error(&path, 0, message));
        versions.sort_by(|a, b| version::compare(b, a));
        versions.truncate(MOST_VERSIONS);
    }
    let mut releases: Vec<_> = versions
        .into_iter()
        .filter_map(|version| release(files, name, version, &readme, problems))
        .collect();
    releases.sort_by(|a, b| Release::newest_first(&a.release, &b.release));
    if let Some(wanted) = &template.default_version
        && !releases.iter().any(|release| release.release.version == *wanted)
    {
        let message = format!("There is no version {wanted} to be the default.");
        problems.push(Problem::error(&path, 0, message));
    }
    if releases.is_empty() {
        let message = "There is no version of this template that can be used.";
        problems.push(Problem::error(path, 0, message));
        return None;
    }
    let icon = icon(files, name, problems);
    Some(TemplateFiles { name: name.to_owned(), template, icon, releases })
}

fn release(
    files: &Files,
    template: &str,
    name: &str,
    readme_of_template: &Text,
    problems: &mut Vec<Problem>,
) -> Option<ReleaseFiles> {
    let folder = format!("{template}/{name}");
    let path = format!("{folder}/version.yaml");
    if semver::Version::parse(name).is_err() {
        let message = format!("`{name}` is not a semantic version such as 1.2.0.");
        problems.push(Problem::error(path, 0, message));
        return None;
    }
    let Some(bytes) = files.get(&path) else {
        problems.push(Problem::error(path, 0, "This file is missing."));
        return None;
    };
    let mut release = Reader::document(&path, bytes, problems, version_yaml)?;
    release.version = name.to_owned();
    let compose_path = format!("{folder}/compose.yaml");
    let Some(bytes) = files.get(&compose_path) else {
        problems.push(Problem::error(compose_path, 0, "This file is missing."));
        return None;
    };
    let compose = text_file(&compose_path, bytes, problems)?;
    // What is wrong beyond its being YAML depends on the answers: see `lint`.
    if let Err(found) = yaml::parse(&compose) {
        problems.push(Problem::error(compose_path, found.line, found.message));
        return None;
    }
    let own = readme(files, &folder, problems);
    let readme = if own.is_empty() { readme_of_template.clone() } else { own };
    Some(ReleaseFiles { release, compose, readme })
}

/// `README.md` and `README.LANGUAGE.md` of a folder.
fn readme(files: &Files, folder: &str, problems: &mut Vec<Problem>) -> Text {
    let mut all = IndexMap::new();
    let prefix = format!("{folder}/README.");
    for (path, bytes) in files.range(prefix.clone()..) {
        let Some(rest) = path.strip_prefix(&prefix) else { break };
        let language = match rest.strip_suffix("md") {
            Some("") => "en",
            Some(language) => language.trim_end_matches('.'),
            None => continue,
        };
        if let Some(text) = text_file(path, bytes, problems) {
            all.insert(language.to_owned(), text);
        }
    }
    Text(all)
}

fn text_file(path: &str, bytes: &[u8], problems: &mut Vec<Problem>) -> Option<String> {
    if bytes.len() > LARGEST_TEXT {
        problems.push(Problem::error(path, 0, "This file is larger than 1 MiB."));
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
            problems.push(Problem::error(path, line, "This file is not UTF-8."));
            None
        }
    }
}

fn icon(files: &Files, template: &str, problems: &mut Vec<Problem>) -> Option<Icon> {
    for (name, media_type) in [("icon.svg", "image/svg+xml"), ("icon.png", "image/png")] {
        let path = format!("{template}/{name}");
        let Some(bytes) = files.get(&path) else { continue };
        let found = match media_type {
            _ if bytes.len() > LARGEST_ICON => Some("An icon has at most 64 KiB.".to_owned()),
            "image/png" => (!bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
                .then(|| "This is not a PNG picture.".to_owned()),
            _ => svg_problem(bytes),
        };
        match found {
            Some(message) => problems.push(Problem::error(path, 0, message)),
            None => return Some(Icon { media_type, bytes: bytes.clone() }),
        }
    }
    None
}

/// What in an SVG does more than draw.
fn svg_problem(bytes: &[u8]) -> Option<String> {
    static ACTIVE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r#"(?ix)
            <\s*(?:[a-z]+:)?(?:script|foreignobject|iframe|embed|object|image|feimage|a|animate|set|handler|listener)\b
            | \son[a-z]+\s*=
            | javascript\s*: | data\s*:
            | <!\s*(?:doctype|entity) | <\?\s*xml-stylesheet | @import
            | href\s*=\s*["'][^\#"']
            | url\(\s*["']?[^\#"')\s]"#,
        )
        .ok()
    });
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some("This file is not UTF-8.".into());
    };
    if !text.contains("<svg") {
        return Some("This is not an SVG picture.".into());
    }
    let found = ACTIVE.as_ref()?.find(text)?;
    Some(format!("An icon only draws: `{}` is not allowed.", found.as_str().trim()))
}

/// Reads one YAML document and collects what is wrong with it.
struct Reader<'a> {
    file: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn document<T>(
        file: &str,
        bytes: &[u8],
        problems: &mut Vec<Problem>,
        read: impl FnOnce(&mut Reader<'_>, &Node) -> Option<T>,
    ) -> Option<T> {
        let text = text_file(file, bytes, problems)?;
        match yaml::parse(&text) {
            Ok(root) => {
                let mut reader = Reader { file, problems };
                if !matches!(root.value, Value::Map(_)) {
                    reader.error(&root, "This file must be a mapping (`key: value`).");
                    return None;
                }
                read(&mut reader, &root)
            }
            Err(found) => {
                problems.push(Problem::error(file, found.line, found.message));
                None
            }
        }
    }

    fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(Problem::error(self.file, node.line, message));
    }

    fn known(&mut self, node: &Node, known: &[&str]) {
        for (key, _) in node.entries() {
            if !known.contains(&key.text.as_str()) && !key.text.starts_with("x-") {
                let message =
                    format!("There is no `{}` here; there are: {}.", key.text, known.join(", "));
                self.problems.push(Problem::error(self.file, key.line, message));
            }
        }
    }

    /// A key that has a value.
    fn get<'n>(&self, node: &'n Node, key: &str) -> Option<&'n Node> {
        node.get(key).filter(|node| !node.is_null())
    }

    fn string_of(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            self.error(node, format!("`{what}` must be a single value."));
        }
        text
    }

    fn string(&mut self, node: &Node, key: &str) -> Option<String> {
        let found = self.get(node, key)?;
        self.string_of(found, key)
    }

    fn strings(&mut self, node: &Node, key: &str) -> Vec<String> {
        let items = self.list(node, key);
        items.iter().filter_map(|item| self.string_of(item, key)).collect()
    }

    fn list<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        let Some(found) = self.get(node, key) else { return &[] };
        match &found.value {
            Value::List(items) => items,
            _ => {
                self.error(found, format!("`{key}` must be a list (`- item`)."));
                &[]
            }
        }
    }

    fn boolean(&mut self, node: &Node, key: &str) -> bool {
        let Some(found) = self.get(node, key) else { return false };
        match found.text() {
            Some("true" | "True" | "yes" | "on") => true,
            Some("false" | "False" | "no" | "off") => false,
            _ => {
                self.error(found, format!("`{key}` must be `true` or `false`."));
                false
            }
        }
    }

    fn whole(&mut self, node: &Node, key: &str) -> Option<u32> {
        let found = self.get(node, key)?;
        let number = found.text().and_then(|text| text.parse().ok());
        if number.is_none() {
            self.error(found, format!("`{key}` must be a whole number that is not negative."));
        }
        number
    }

    fn text_of(&mut self, node: &Node, what: &str) -> Text {
        match &node.value {
            Value::Scalar(text, _) => text.as_str().into(),
            Value::Map(entries) => {
                let all = entries
                    .iter()
                    .filter_map(|(language, text)| {
                        Some((language.text.clone(), self.string_of(text, what)?))
                    })
                    .collect::<IndexMap<_, _>>();
                if !all.contains_key("en") {
                    self.error(node, format!("`{what}` needs its English text (`en`)."));
                }
                Text(all)
            }
            Value::List(_) => {
                self.error(node, format!("`{what}` must be a text, or one for each language."));
                Text::default()
            }
        }
    }

    fn text(&mut self, node: &Node, key: &str) -> Text {
        match self.get(node, key) {
            Some(found) => self.text_of(found, key),
            None => Text::default(),
        }
    }

    fn required_text(&mut self, node: &Node, key: &str) -> Option<Text> {
        let text = self.text(node, key);
        if text.is_empty() {
            self.error(node, format!("`{key}` is missing."));
            return None;
        }
        Some(text)
    }

    fn address(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.string(node, key)?;
        if !text.starts_with("https://") && !text.starts_with("http://") {
            let at = self.get(node, key).unwrap_or(node);
            self.error(at, format!("`{key}` must begin with https:// or http://."));
            return None;
        }
        Some(text)
    }

    fn version(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.string(node, key)?;
        if version::parse(&text).is_none() {
            let at = self.get(node, key).unwrap_or(node);
            self.error(at, format!("`{text}` is not a version such as 1.2.0."));
            return None;
        }
        Some(text)
    }
}

fn about(r: &mut Reader<'_>, root: &Node) -> Option<About> {
    r.known(root, &["name", "description", "maintainer", "categories"]);
    Some(About {
        name: r.text(root, "name"),
        description: r.text(root, "description"),
        maintainer: r.string(root, "maintainer"),
        categories: r
            .list(root, "categories")
            .iter()
            .map(|item| r.text_of(item, "categories"))
            .collect(),
    })
}

fn template_yaml(r: &mut Reader<'_>, root: &Node) -> Option<Template> {
    let known = [
        "name",
        "description",
        "categories",
        "keywords",
        "home",
        "source",
        "license",
        "maintainer",
        "labels",
        "default_version",
        "deprecated",
    ];
    r.known(root, &known);
    let title = r.required_text(root, "name");
    let description = r.required_text(root, "description");
    let mut labels = IndexMap::new();
    for (key, node) in r.get(root, "labels").map_or(&[][..], Node::entries) {
        if let Some(value) = r.string_of(node, "labels") {
            labels.insert(key.text.clone(), value);
        }
    }
    let mut categories = r.strings(root, "categories");
    if categories.len() > 5 {
        r.error(r_get(root, "categories"), "At most 5 categories.");
        categories.truncate(5);
    }
    Some(Template {
        title: title?,
        description: description?,
        categories,
        keywords: r.strings(root, "keywords"),
        home: r.address(root, "home"),
        source: r.address(root, "source"),
        license: r.string(root, "license"),
        maintainer: r.string(root, "maintainer"),
        labels,
        default_version: r.version(root, "default_version"),
        deprecated: r.boolean(root, "deprecated"),
    })
}

fn r_get<'n>(node: &'n Node, key: &str) -> &'n Node {
    node.get(key).unwrap_or(node)
}

fn version_yaml(r: &mut Reader<'_>, root: &Node) -> Option<Release> {
    let known = [
        "app_version",
        "notes",
        "upgrade_from",
        "minimum_drover_version",
        "maximum_drover_version",
        "revision",
        "questions",
    ];
    r.known(root, &known);
    let before = r.problems.len();
    let upgrade_from = r.string(root, "upgrade_from");
    if let Some(range) = &upgrade_from
        && version::Range::parse(range).is_none()
    {
        let message = format!("`{range}` is not a range such as `>=1.0.0 <2.0.0`.");
        r.error(r_get(root, "upgrade_from"), message);
    }
    let mut questions = Vec::new();
    for node in r.list(root, "questions") {
        question(r, node, None, &mut questions);
    }
    if questions.len() > MOST_QUESTIONS {
        r.error(r_get(root, "questions"), "At most 200 questions.");
    }
    check_together(r, root, &questions);
    // A form that is not what its author meant must not be filled in.
    let broken = r.problems[before..].iter().any(|problem| problem.severity == Severity::Error);
    let release = Release {
        version: String::new(),
        app_version: r.string(root, "app_version").unwrap_or_default(),
        notes: r.text(root, "notes"),
        upgrade_from,
        minimum_drover_version: r.version(root, "minimum_drover_version"),
        maximum_drover_version: r.version(root, "maximum_drover_version"),
        revision: r.whole(root, "revision").unwrap_or(0),
        questions,
    };
    (!broken).then_some(release)
}

const QUESTION_KEYS: [&str; 20] = [
    "variable",
    "label",
    "description",
    "tooltip",
    "type",
    "required",
    "default",
    "generate",
    "group",
    "min",
    "max",
    "min_length",
    "max_length",
    "pattern",
    "valid_chars",
    "invalid_chars",
    "options",
    "show_if",
    "subquestions",
    "show_subquestion_if",
];

/// What a question inside another one takes from it.
struct Parent {
    variable: String,
    group: Text,
    /// What must hold for it and for those inside it.
    show_if: Vec<String>,
}

/// Reads a question and those inside it.
fn question(r: &mut Reader<'_>, node: &Node, parent: Option<&Parent>, all: &mut Vec<Question>) {
    r.known(node, &QUESTION_KEYS);
    let Some(variable) = r.string(node, "variable").filter(|name| is_variable(name)) else {
        r.error(
            r_get(node, "variable"),
            "A question needs a `variable`: letters, digits and `_`, not beginning with a digit.",
        );
        return;
    };
    let kind = match r.string(node, "type").as_deref() {
        Some("multiline" | "text" | "yaml") => QuestionType::Multiline,
        Some("int") => QuestionType::Int,
        Some("float") => QuestionType::Float,
        Some("boolean") => QuestionType::Boolean,
        Some("enum" | "radio") => QuestionType::Enum,
        Some("password") => QuestionType::Password,
        Some("hostname") => QuestionType::Hostname,
        Some("storage_size") => QuestionType::StorageSize,
        Some("service") => QuestionType::Service,
        Some("certificate") => QuestionType::Certificate,
        Some("secret") => QuestionType::Secret,
        None | Some("string") => QuestionType::String,
        Some(other) => {
            let message = format!("There is no type `{other}`: it is asked as `string`.");
            let line = r_get(node, "type").line;
            r.problems.push(Problem::warning(r.file, line, message));
            QuestionType::String
        }
    };
    let mut label = r.text(node, "label");
    if label.is_empty() {
        label = variable.as_str().into();
    }
    let mut show_if: Vec<String> = parent.map(|parent| parent.show_if.clone()).unwrap_or_default();
    show_if.extend(r.string(node, "show_if").filter(|when| !when.trim().is_empty()));
    let mut found = Question {
        variable,
        label,
        description: r.text(node, "description"),
        tooltip: r.text(node, "tooltip"),
        kind,
        required: r.boolean(node, "required"),
        default: None,
        generate: None,
        group: r.text(node, "group"),
        min: bound(r, node, "min", kind),
        max: bound(r, node, "max", kind),
        min_length: r.whole(node, "min_length"),
        max_length: r.whole(node, "max_length"),
        pattern: r.string(node, "pattern"),
        valid_chars: r.string(node, "valid_chars"),
        invalid_chars: r.string(node, "invalid_chars"),
        options: options(r, node),
        show_if,
        parent: parent.map(|parent| parent.variable.clone()),
    };
    if found.group.is_empty()
        && let Some(parent) = parent
    {
        found.group = parent.group.clone();
    }
    if let Some(pattern) = &found.pattern
        && compile(pattern).is_none()
    {
        r.error(r_get(node, "pattern"), "This is not a regular expression.");
    }
    if kind == QuestionType::Enum && found.options.is_empty() {
        r.error(node, "An enum needs `options`.");
    }
    if kind != QuestionType::Enum && !found.options.is_empty() {
        r.error(r_get(node, "options"), "Only an enum has `options`.");
    }
    generate(r, node, &mut found);
    default(r, node, &mut found);
    let inside = r.list(node, "subquestions");
    if parent.is_some() && !inside.is_empty() {
        r.error(r_get(node, "subquestions"), "Questions go one level deep.");
        return;
    }
    let mut show_if = found.show_if.clone();
    let value = r.string(node, "show_subquestion_if");
    show_if.extend(value.map(|value| format!("{}={value}", found.variable)));
    let as_parent =
        Parent { variable: found.variable.clone(), group: found.group.clone(), show_if };
    all.push(found);
    for node in inside {
        question(r, node, Some(&as_parent), all);
    }
}

fn is_variable(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn bound(r: &mut Reader<'_>, node: &Node, key: &str, kind: QuestionType) -> Option<f64> {
    let text = r.string(node, key)?;
    let number = match kind {
        QuestionType::StorageSize => parse_size(&text).map(|bytes| bytes as f64),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    };
    if number.is_none() {
        r.error(r_get(node, key), format!("`{key}` must be a number."));
    }
    number
}

fn options(r: &mut Reader<'_>, node: &Node) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    for item in r.list(node, "options") {
        let choice = match &item.value {
            Value::Map(_) => {
                r.known(item, &["value", "label"]);
                let Some(value) = r.string(item, "value") else {
                    r.error(item, "An option needs a `value`.");
                    continue;
                };
                let label = r.text(item, "label");
                let label = if label.is_empty() { value.as_str().into() } else { label };
                Choice { value, label }
            }
            _ => match r.string_of(item, "options") {
                Some(value) => Choice { label: value.as_str().into(), value },
                None => continue,
            },
        };
        if choices.iter().any(|other| other.value == choice.value) {
            r.error(item, format!("The option `{}` stands here twice.", choice.value));
        } else {
            choices.push(choice);
        }
    }
    choices
}

fn generate(r: &mut Reader<'_>, node: &Node, question: &mut Question) {
    let Some(found) = r.get(node, "generate") else { return };
    if !matches!(question.kind, QuestionType::Password | QuestionType::String) {
        r.error(found, "Only passwords and strings can be made up.");
        return;
    }
    if found.text() == Some("false") {
        return;
    }
    r.known(found, &["length", "characters"]);
    let length = r.whole(found, "length").unwrap_or(24);
    if !(8..=128).contains(&length) {
        r.error(r_get(found, "length"), "8 to 128 characters.");
    }
    let characters = r.string(found, "characters").filter(|set| !set.is_empty());
    let characters = characters.unwrap_or_else(|| Generate::CHARACTERS.to_owned());
    question.generate = Some(Generate { length, characters });
}

fn default(r: &mut Reader<'_>, node: &Node, question: &mut Question) {
    let Some(text) = r.string(node, "default").filter(|text| !text.is_empty()) else { return };
    match super::answers::check(question, &text) {
        Ok(value) => question.default = Some(value),
        Err(message) => {
            let message = format!("The default `{text}` does not fit: {message}");
            r.error(r_get(node, "default"), message);
        }
    }
}

/// What the questions must be beside each other.
fn check_together(r: &mut Reader<'_>, root: &Node, questions: &[Question]) {
    let at = r_get(root, "questions");
    let mut before: HashSet<&str> = HashSet::new();
    for question in questions {
        for name in question.show_if.iter().flat_map(|when| drover_compose::condition::names(when))
        {
            if !before.contains(name) {
                let message = format!(
                    "`{}` is shown by `{name}`, which no question before it asks for.",
                    question.variable
                );
                r.problems.push(Problem::warning(r.file, at.line, message));
            }
        }
        if !before.insert(&question.variable) {
            r.error(at, format!("The variable `{}` is asked for twice.", question.variable));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        entries.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    const TEMPLATE: (&str, &str) = ("app/template.yaml", "name: App\ndescription: An app.\n");
    const COMPOSE: (&str, &str) =
        ("app/1.0.0/compose.yaml", "services:\n  app:\n    image: app:1\n");

    fn with_version(version: &str) -> (CatalogFiles, Vec<(String, u32, String)>) {
        let files = files(&[TEMPLATE, COMPOSE, ("app/1.0.0/version.yaml", version)]);
        let (catalog, problems) = catalog(&files);
        (catalog, problems.into_iter().map(|p| (p.file, p.line, p.message)).collect())
    }

    #[test]
    fn reads_a_whole_catalog() {
        let files = files(&[
            ("catalog.yaml", "name: Ours\ncategories: [{en: Web, zh-CN: 网页}]\n"),
            TEMPLATE,
            ("app/icon.svg", "<svg xmlns='http://www.w3.org/2000/svg'><path fill='#fff'/></svg>"),
            ("app/README.md", "# App"),
            ("app/README.zh-CN.md", "# 应用"),
            ("app/1.10.0/version.yaml", "app_version: 10\n"),
            ("app/1.10.0/compose.yaml", "services: {}"),
            ("app/1.10.0/README.md", "# Ten"),
            ("app/1.9.0/version.yaml", "app_version: 9\nupgrade_from: '>=1.0.0'\n"),
            ("app/1.9.0/compose.yaml", "services: {}"),
            ("docs/notes.md", "not a template"),
            (".git/template.yaml", "name: no"),
        ]);
        let (catalog, problems) = catalog(&files);
        assert_eq!(problems, []);
        assert_eq!(catalog.about.categories[0].get("zh-CN"), "网页");
        assert_eq!(catalog.templates.len(), 1);
        let app = &catalog.templates[0];
        let versions: Vec<_> = app.releases.iter().map(|r| r.release.version.as_str()).collect();
        assert_eq!(versions, ["1.10.0", "1.9.0"]);
        assert_eq!(app.releases[0].readme.get("zh-CN"), "# Ten");
        assert_eq!(app.releases[1].readme.get("zh-CN"), "# 应用");
        assert_eq!(app.icon.as_ref().map(|icon| icon.media_type), Some("image/svg+xml"));
    }

    #[test]
    fn reads_questions_with_those_inside() {
        let (catalog, problems) = with_version(
            "questions:
  - variable: DB
    type: radio
    options: [own, {value: mine, label: {en: Mine, zh-CN: 我的}}]
    default: own
    group: Database
    show_if: X=1
    show_subquestion_if: mine
    subquestions:
      - variable: HOST
        type: hostname
        required: true
        show_if: A=b
  - variable: SIZE
    type: storage_size
    default: 1.5Gi
    min: 64m
  - variable: PASSWORD
    type: password
    generate: {length: 12}
",
        );
        assert_eq!(problems.len(), 3, "{problems:?}: X and A are not asked for");
        let questions = &catalog.templates[0].releases[0].release.questions;
        assert_eq!(questions[0].kind, QuestionType::Enum);
        assert_eq!(questions[0].options[1].label.get("zh-CN"), "我的");
        assert_eq!(questions[1].show_if, ["X=1", "DB=mine", "A=b"]);
        assert_eq!(questions[1].parent.as_deref(), Some("DB"));
        assert_eq!(questions[1].group.get("en"), "Database");
        assert_eq!(questions[2].default.as_deref(), Some("1536m"));
        assert_eq!(questions[2].min, Some((64 << 20) as f64));
        assert_eq!(questions[3].generate.as_ref().map(|g| g.length), Some(12));
    }

    #[test]
    fn names_what_is_wrong_by_line() {
        for (version, line, part) in [
            ("questions:\n  - label: x\n", 2, "needs a `variable`"),
            ("questions:\n  - variable: 1A\n", 2, "needs a `variable`"),
            ("questions:\n  - variable: A\n    type: enum\n", 2, "needs `options`"),
            ("questions:\n  - variable: A\n    type: int\n    default: x\n", 4, "does not fit"),
            ("questions:\n  - variable: A\n    pattern: '['\n", 3, "regular expression"),
            ("questions:\n  - variable: A\n    lable: x\n", 3, "no `lable`"),
            ("questions:\n  - variable: A\n  - variable: A\n", 2, "twice"),
            ("upgrade_from: soon\n", 1, "not a range"),
            ("questions: yes\n", 1, "must be a list"),
            ("notes: {de: neu}\n", 1, "English"),
            ("a: [\n", 2, "not YAML"),
            ("- a\n", 1, "must be a mapping"),
        ] {
            let (_, problems) = with_version(version);
            assert!(
                problems.iter().any(|(file, at, message)| {
                    file == "app/1.0.0/version.yaml" && *at == line && message.contains(part)
                }),
                "{version}: {problems:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_takes_only_itself_out() {
        let files = files(&[
            TEMPLATE,
            COMPOSE,
            ("app/1.0.0/version.yaml", "app_version: 1\n"),
            ("app/1.1.0/version.yaml", "questions: 7\n"),
            ("app/1.1.0/compose.yaml", "services: {}"),
            ("app/next/version.yaml", "app_version: 2\n"),
            ("Bad/template.yaml", "name: Bad\ndescription: x\n"),
            ("empty/template.yaml", "name: Empty\ndescription: x\n"),
        ]);
        let (catalog, problems) = catalog(&files);
        assert_eq!(catalog.templates.len(), 1);
        assert_eq!(catalog.templates[0].releases.len(), 1);
        let named: Vec<_> = problems.iter().map(|problem| problem.file.as_str()).collect();
        for file in [
            "Bad/template.yaml",
            "app/1.1.0/version.yaml",
            "app/next/version.yaml",
            "empty/template.yaml",
        ] {
            assert!(named.contains(&file), "{named:?}");
        }
    }

    #[test]
    fn icons_only_draw() {
        for (svg, fits) in [
            ("<svg><path d='M0 0'/></svg>", true),
            ("<svg><use href='#a'/><rect fill='url(#g)'/></svg>", true),
            ("<svg><script>alert(1)</script></svg>", false),
            ("<svg onload='x()'></svg>", false),
            ("<svg><a href='javascript:x'/></svg>", false),
            ("<svg><image href='https://example.com/x.png'/></svg>", false),
            ("<svg><foreignObject/></svg>", false),
            ("<!DOCTYPE svg [<!ENTITY x 'y'>]><svg/>", false),
            ("<svg><rect fill='url(https://example.com/x)'/></svg>", false),
            ("hello", false),
        ] {
            assert_eq!(svg_problem(svg.as_bytes()).is_none(), fits, "{svg}");
        }
    }
}
