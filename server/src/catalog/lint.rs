//! `drover catalog lint`: everything that can be said of a catalog before people install from it.

use std::collections::HashSet;

use drover_api::QuestionType;
use drover_compose::{Diagnostic, condition};
use indexmap::IndexMap;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    answers,
    model::{CatalogFiles, Question, ReleaseFiles},
    read::{self, Files, Problem},
};

/// Checks a catalog.
pub fn lint(files: &Files) -> Vec<Problem> {
    let (catalog, mut problems) = read::catalog(files);
    for template in &catalog.templates {
        let folder = &template.name;
        if template.icon.is_none()
            && !problems.iter().any(|problem| problem.file.starts_with(&format!("{folder}/icon.")))
        {
            let message = "There is no icon: add an icon.svg.";
            problems.push(Problem::error(format!("{folder}/icon.svg"), 0, message));
        }
        let path = format!("{folder}/template.yaml");
        if template.template.categories.is_empty() {
            problems.push(Problem::warning(&path, 0, "It has no categories."));
        }
        if template.template.description.all().any(|text| text.chars().count() > 200) {
            let message = "The description is longer than 200 characters.";
            problems.push(Problem::warning(&path, 0, message));
        }
        check_categories(&catalog, &template.template.categories, &path, &mut problems);
        for release in &template.releases {
            check_release(folder, release, &mut problems);
        }
    }
    problems.sort_by(|a, b| (&a.file, a.line, a.severity).cmp(&(&b.file, b.line, b.severity)));
    problems.dedup();
    problems
}

fn check_categories(
    catalog: &CatalogFiles,
    categories: &[String],
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let known = &catalog.about.categories;
    for name in categories {
        if !known.is_empty() && !known.iter().any(|category| category.get("en") == name) {
            let message = format!("The category `{name}` is not one of catalog.yaml's.");
            problems.push(Problem::error(path, 0, message));
        }
    }
}

fn check_release(folder: &str, files: &ReleaseFiles, problems: &mut Vec<Problem>) {
    let version = &files.release.version;
    let path = format!("{folder}/{version}/version.yaml");
    let compose_path = format!("{folder}/{version}/compose.yaml");
    let questions = &files.release.questions;
    if files.readme.is_empty() {
        problems.push(Problem::error(format!("{folder}/README.md"), 0, "There is no README."));
    }
    if files.release.app_version.is_empty() {
        problems.push(Problem::warning(&path, 0, "`app_version` is missing."));
    }
    check_variables(questions, files, &path, &compose_path, problems);
    for values in variants(questions) {
        for found in drover_compose::load(&files.compose, &values).diagnostics {
            // A question that is hidden or left empty leaves its variable without a value.
            problems.push(diagnostic(&compose_path, found));
        }
    }
    let mut rng = StdRng::seed_from_u64(0);
    for error in answers::fill(questions, &IndexMap::new(), None, &mut rng).errors {
        let message = format!(
            "It cannot be installed without answers: {}: {}",
            error.field.trim_start_matches("answers."),
            error.message
        );
        problems.push(Problem::warning(&path, 0, message));
    }
}

fn diagnostic(path: &str, found: Diagnostic) -> Problem {
    let (line, message) = (found.line, found.message);
    match found.severity {
        drover_compose::Severity::Warning => Problem::warning(path, line, message),
        _ => Problem::error(path, line, message),
    }
}

/// Variables that nobody asks for, and questions that nothing uses.
fn check_variables(
    questions: &[Question],
    files: &ReleaseFiles,
    path: &str,
    compose_path: &str,
    problems: &mut Vec<Problem>,
) {
    let asked: HashSet<String> = questions.iter().flat_map(Question::variables).collect();
    let mut used: HashSet<String> = HashSet::new();
    for variable in drover_compose::variables_used(&files.compose) {
        if !asked.contains(&variable.name) && variable.default.is_none() {
            let message = format!("No question asks for the variable `{}`.", variable.name);
            problems.push(Problem::error(compose_path, variable.line, message));
        }
        used.insert(variable.name);
    }
    let Ok(root) = drover_compose::yaml::parse(&files.compose) else { return };
    for (section, node) in root.entries() {
        for (_, entry) in node.entries() {
            if let Some(when) = entry.get("x-drover-when") {
                for name in condition::names(when.text().unwrap_or_default()) {
                    if !asked.contains(name) {
                        let message = format!("No question asks for `{name}`.");
                        problems.push(Problem::error(compose_path, when.line, message));
                    }
                    used.insert(name.to_owned());
                }
            }
            // `environment` entries and file contents that take a variable by its bare name.
            if section.text == "services" {
                let environment = entry.get("environment");
                for (key, value) in environment.map_or(&[][..], |node| node.entries()) {
                    if value.is_null() {
                        used.insert(key.text.clone());
                    }
                }
                if let Some(drover_compose::yaml::Value::List(items)) =
                    environment.map(|node| &node.value)
                {
                    used.extend(items.iter().filter_map(|item| item.text()).map(str::to_owned));
                }
            }
            used.extend(entry.get("environment").and_then(|node| node.text()).map(str::to_owned));
        }
    }
    for question in questions {
        used.extend(
            question.show_if.iter().flat_map(|when| condition::names(when)).map(str::to_owned),
        );
    }
    for question in questions {
        if !question.variables().iter().any(|name| used.contains(name)) {
            let message = format!("Nothing uses the variable `{}`.", question.variable);
            problems.push(Problem::warning(path, 0, message));
        }
    }
}

/// Values to try the text with: the defaults, and each choice of each enum and boolean beside
/// them. What has no default gets a sample.
fn variants(questions: &[Question]) -> Vec<IndexMap<String, String>> {
    let mut all = vec![values(questions, None)];
    for question in questions {
        let choices: Vec<String> = match question.kind {
            QuestionType::Enum => {
                question.options.iter().map(|choice| choice.value.clone()).collect()
            }
            QuestionType::Boolean => vec!["true".into(), "false".into()],
            // Left empty or answered: both must do.
            _ if !question.required && question.default.is_none() => vec![sample(question)],
            _ => Vec::new(),
        };
        for choice in choices {
            all.push(values(questions, Some((&question.variable, choice))));
        }
    }
    all
}

fn values(questions: &[Question], chosen: Option<(&str, String)>) -> IndexMap<String, String> {
    let mut values: IndexMap<String, String> = IndexMap::new();
    for question in questions {
        let lookup = |name: &str| values.get(name).cloned();
        if !question.show_if.iter().all(|when| condition::holds(when, lookup)) {
            continue;
        }
        let value = match &chosen {
            Some((variable, value)) if **variable == question.variable => Some(value.clone()),
            _ => question.default.clone().or_else(|| question.required.then(|| sample(question))),
        };
        let Some(value) = value else { continue };
        if let (QuestionType::Service, Some((stack, service))) =
            (question.kind, value.split_once('/'))
        {
            values.insert(format!("{}_STACK", question.variable), stack.to_owned());
            values.insert(format!("{}_SERVICE", question.variable), service.to_owned());
        }
        values.insert(question.variable.clone(), value);
    }
    values
}

fn sample(question: &Question) -> String {
    let least = question.min.unwrap_or(1.0);
    match question.kind {
        QuestionType::Int | QuestionType::StorageSize => format!("{least:.0}"),
        QuestionType::Float => least.to_string(),
        QuestionType::Boolean => "true".into(),
        QuestionType::Enum => {
            question.options.first().map_or(String::new(), |choice| choice.value.clone())
        }
        QuestionType::Hostname => "host.example.com".into(),
        QuestionType::Service => "stack/service".into(),
        _ => "sample".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{read::Severity, source};

    fn catalog(version: &str, compose: &str) -> Vec<String> {
        let files: Files = [
            ("app/template.yaml", "name: App\ndescription: An app.\ncategories: [Web]\n"),
            ("app/icon.svg", "<svg/>"),
            ("app/README.md", "# App"),
            ("app/1.0.0/version.yaml", version),
            ("app/1.0.0/compose.yaml", compose),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into();
        lint(&files)
            .into_iter()
            .map(|p| {
                format!("{}:{}: {}", p.file.rsplit('/').next().unwrap_or(""), p.line, p.message)
            })
            .collect()
    }

    #[test]
    fn the_built_in_catalog_is_right() {
        let problems = lint(&source::builtin());
        let shown: Vec<_> =
            problems.iter().map(|p| format!("{}:{}: {}", p.file, p.line, p.message)).collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }

    #[test]
    fn finds_variables_that_do_not_fit_the_questions() {
        let problems = catalog(
            "app_version: 1\nquestions:\n  - {variable: TAG, default: 1}\n  - {variable: UNUSED, default: 1}\n",
            "services:\n  app:\n    image: app:${TAG}\n    user: ${WHO}\n    x-drover-when: ON=true\n",
        );
        for part in [
            "compose.yaml:4: No question asks for the variable `WHO`",
            "compose.yaml:5: No question asks for `ON`",
            "version.yaml:0: Nothing uses the variable `UNUSED`",
        ] {
            assert!(problems.iter().any(|found| found.starts_with(part)), "{part}: {problems:#?}");
        }
    }

    #[test]
    fn tries_every_choice() {
        let problems = catalog(
            "app_version: 1\nquestions:\n  - {variable: DB, type: boolean, default: true}\n",
            "services:\n  app:\n    image: app:1\n    network_mode: service:db\n  db:\n    x-drover-when: DB=true\n    image: db:1\n",
        );
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains("There is no service `db`"));
    }

    #[test]
    fn warns_when_defaults_are_not_enough() {
        let problems = catalog(
            "app_version: 1\nquestions:\n  - {variable: NAME, required: true}\n",
            "services:\n  app:\n    image: app:1\n    user: ${NAME}\n",
        );
        assert_eq!(
            problems,
            ["version.yaml:0: It cannot be installed without answers: NAME: Answer this."]
        );
    }

    #[test]
    fn an_icon_and_a_readme_must_be_there() {
        let files: Files = [
            ("app/template.yaml", "name: App\ndescription: An app.\n"),
            ("app/1.0.0/version.yaml", "app_version: 1\n"),
            ("app/1.0.0/compose.yaml", "services:\n  app:\n    image: app:1\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into();
        let errors: Vec<_> = lint(&files)
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| problem.file)
            .collect();
        assert_eq!(errors, ["app/README.md", "app/icon.svg"]);
    }
}
