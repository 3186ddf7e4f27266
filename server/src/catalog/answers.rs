//! From answers to variables: defaults, made-up passwords, checks, and what is shown.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use drover_api::{FieldError, QuestionType};
use drover_compose::condition;
use indexmap::IndexMap;
use rand::Rng;
use regex::RegexBuilder;
use serde_json::Value;

use super::model::Question;

/// The longest answer, bytes.
const LONGEST: usize = 256 << 10;

/// Answers, checked and completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The value of each variable.
    pub values: IndexMap<String, String>,
    /// The names of those that are secret.
    pub secret: BTreeSet<String>,
}

/// Checks answers and completes them: what is left out keeps its value of `previous`, else gets
/// its default, else is made up where the question says how. Variables of `previous` that no
/// question asks for stay: they are a person's own. `field` of an error is `answers.VARIABLE`.
pub fn check_answers(
    questions: &[Question],
    given: &IndexMap<String, Value>,
    previous: Option<&IndexMap<String, String>>,
) -> Result<Answers, Vec<FieldError>> {
    let filled = fill(questions, given, previous, &mut rand::rng());
    if filled.errors.is_empty() { Ok(filled.answers) } else { Err(filled.errors) }
}

/// As many answers as can be had beside the errors.
#[derive(Default)]
pub struct Filled {
    /// What could be completed.
    pub answers: Answers,
    /// The variables of the questions that are shown.
    pub shown: Vec<String>,
    /// What is wrong with the others.
    pub errors: Vec<FieldError>,
}

/// Like [`check_answers`], for a preview.
pub fn fill(
    questions: &[Question],
    given: &IndexMap<String, Value>,
    previous: Option<&IndexMap<String, String>>,
    rng: &mut impl Rng,
) -> Filled {
    let mut filled = Filled::default();
    let field = |variable: &str| format!("answers.{variable}");
    let asked = |variable: &str| questions.iter().any(|question| question.variable == *variable);
    for variable in given.keys().filter(|variable| !asked(variable)) {
        filled.errors.push(FieldError::new(field(variable), "There is no such question."));
    }
    // The parts of a service go with its answer: they are nobody's own.
    let given_by_questions: HashSet<String> =
        questions.iter().flat_map(Question::variables).collect();
    let own = |name: &str| !given_by_questions.contains(name);
    for (variable, value) in previous.into_iter().flatten().filter(|(name, _)| own(name)) {
        filled.answers.values.insert(variable.clone(), value.clone());
    }
    for question in questions {
        let values = &filled.answers.values;
        if !question
            .show_if
            .iter()
            .all(|when| condition::holds(when, |name| values.get(name).cloned()))
        {
            continue;
        }
        filled.shown.push(question.variable.clone());
        let before = previous.and_then(|previous| previous.get(&question.variable));
        match answer(question, given.get(&question.variable), before, rng) {
            Ok(Some(value)) => insert(&mut filled.answers, question, value),
            Ok(None) => {}
            Err(message) => {
                filled.errors.push(FieldError::new(field(&question.variable), message));
            }
        }
    }
    filled
}

fn insert(answers: &mut Answers, question: &Question, value: String) {
    let variable = &question.variable;
    if let (QuestionType::Service, Some((stack, service))) = (question.kind, value.split_once('/'))
    {
        answers.values.insert(format!("{variable}_STACK"), stack.to_owned());
        answers.values.insert(format!("{variable}_SERVICE"), service.to_owned());
    }
    if question.kind == QuestionType::Password {
        answers.secret.insert(variable.clone());
    }
    answers.values.insert(variable.clone(), value);
}

fn answer(
    question: &Question,
    given: Option<&Value>,
    before: Option<&String>,
    rng: &mut impl Rng,
) -> Result<Option<String>, String> {
    let text = match given {
        None | Some(Value::Null) => before.or(question.default.as_ref()).cloned(),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Bool(value)) => Some(value.to_string()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err("Give one value, not a list or an object.".into());
        }
    };
    let emptied = text.is_some();
    match text.filter(|text| !text.trim().is_empty()).or_else(|| generated(question, rng)) {
        Some(text) => check(question, &text).map(Some),
        None if question.required => Err("Answer this.".into()),
        // Remembered, so that an upgrade does not bring the default back.
        None if emptied && question.default.is_some() => Ok(Some(String::new())),
        None => Ok(None),
    }
}

fn generated(question: &Question, rng: &mut impl Rng) -> Option<String> {
    let generate = question.generate.as_ref()?;
    let characters: Vec<char> = generate.characters.chars().collect();
    let pick = |_| characters.get(rng.random_range(0..characters.len().max(1))).copied();
    Some((0..generate.length).filter_map(pick).collect())
}

/// Checks one answer that is not empty, and brings it into its normal form.
pub fn check(question: &Question, text: &str) -> Result<String, String> {
    if text.len() > LONGEST {
        return Err("At most 256 KiB.".into());
    }
    let text = match question.kind {
        QuestionType::Multiline => text.to_owned(),
        QuestionType::Int => {
            let number: i64 = text.trim().parse().map_err(|_| "A whole number.")?;
            within(question, number as f64, |bound| format!("{bound}"))?;
            number.to_string()
        }
        QuestionType::Float => {
            let number: f64 = text.trim().parse().map_err(|_| "A number.")?;
            if !number.is_finite() {
                return Err("A number.".into());
            }
            within(question, number, |bound| format!("{bound}"))?;
            number.to_string()
        }
        QuestionType::Boolean => parse_bool(text).ok_or("`true` or `false`.")?.to_string(),
        QuestionType::Enum => {
            if !question.options.iter().any(|choice| choice.value == text) {
                let known: Vec<_> =
                    question.options.iter().map(|choice| choice.value.as_str()).collect();
                return Err(format!("One of: {}.", known.join(", ")));
            }
            text.to_owned()
        }
        QuestionType::StorageSize => {
            let bytes = parse_size(text).ok_or("A size such as `512m` or `10g`.")?;
            within(question, bytes as f64, |bound| format_size(bound as u64))?;
            format_size(bytes)
        }
        QuestionType::Hostname => {
            let text = text.trim();
            if !is_hostname(text) {
                return Err("A host name such as `db.example.com`, or an IP address.".into());
            }
            text.to_owned()
        }
        QuestionType::Service => {
            let text = text.trim();
            let fits = text
                .split_once('/')
                .is_some_and(|(stack, service)| is_name(stack) && is_name(service));
            if !fits {
                return Err("A service as `STACK/SERVICE`.".into());
            }
            text.to_owned()
        }
        QuestionType::Certificate | QuestionType::Secret => {
            let text = text.trim();
            if !is_name(text) {
                return Err("The name of one of the environment's.".into());
            }
            text.to_owned()
        }
        QuestionType::String | QuestionType::Password => {
            if text.chars().any(char::is_control) {
                return Err("One line, without control characters.".into());
            }
            text.to_owned()
        }
    };
    check_characters(question, &text)?;
    Ok(text)
}

fn within(question: &Question, value: f64, show: impl Fn(f64) -> String) -> Result<(), String> {
    match (question.min, question.max) {
        (Some(min), _) if value < min => Err(format!("At least {}.", show(min))),
        (_, Some(max)) if value > max => Err(format!("At most {}.", show(max))),
        _ => Ok(()),
    }
}

fn check_characters(question: &Question, text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if let Some(least) = question.min_length.filter(|least| length < *least as usize) {
        return Err(format!("At least {least} characters."));
    }
    if let Some(most) = question.max_length.filter(|most| length > *most as usize) {
        return Err(format!("At most {most} characters."));
    }
    if let Some(valid) = &question.valid_chars
        && let Some(other) = text.chars().find(|c| !in_set(valid, *c))
    {
        return Err(format!("`{other}` is not allowed here; allowed are: {valid}"));
    }
    if let Some(invalid) = &question.invalid_chars
        && let Some(found) = text.chars().find(|c| in_set(invalid, *c))
    {
        return Err(format!("`{found}` is not allowed here."));
    }
    // A pattern that is none was named when the catalog was read, and holds nothing back.
    if let Some(pattern) = &question.pattern
        && let Some(regex) = compile(pattern)
        && !regex.is_match(text)
    {
        return Err(format!("It must match the pattern {pattern}"));
    }
    Ok(())
}

/// A pattern that the whole text must match. `None` when it is none.
pub fn compile(pattern: &str) -> Option<regex::Regex> {
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(256 << 10).build().ok()
}

/// Whether a set such as `a-z0-9_` has a character; `-` first or last stands for itself.
fn in_set(set: &str, c: char) -> bool {
    let set: Vec<char> = set.chars().collect();
    let mut at = 0;
    while let Some(&from) = set.get(at) {
        if let (Some('-'), Some(&to)) = (set.get(at + 1), set.get(at + 2)) {
            if (from..=to).contains(&c) {
                return true;
            }
            at += 3;
        } else {
            if from == c {
                return true;
            }
            at += 1;
        }
    }
    false
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A size such as `512m`, `10Gi`, `1.5GB` or `1024`, in bytes; units are powers of 1,024.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes < 9e18).then_some(bytes as u64)
}

/// The shortest whole number with a unit that PHP, Java, Redis and Compose all read.
fn format_size(bytes: u64) -> String {
    [(1_u64 << 40, "t"), (1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::model::{Choice, Generate};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};
    use serde_json::json;

    fn question(variable: &str, kind: QuestionType) -> Question {
        Question { variable: variable.into(), kind, ..Question::default() }
    }

    fn run(
        questions: &[Question],
        given: Value,
    ) -> Result<IndexMap<String, String>, Vec<(String, String)>> {
        let given = serde_json::from_value(given).unwrap();
        check_answers(questions, &given, None)
            .map(|answers| answers.values)
            .map_err(|errors| errors.into_iter().map(|e| (e.field, e.message)).collect())
    }

    #[test]
    fn answers_are_checked_by_type() {
        use QuestionType::{
            Boolean, Certificate, Enum, Float, Hostname, Int, Multiline, Service, StorageSize,
            String,
        };
        let options =
            ["a", "b"].map(|value| Choice { value: value.to_owned(), label: value.into() });
        for (kind, given, expected) in [
            (Int, json!("8080"), Some("8080")),
            (Int, json!(8080), Some("8080")),
            (Int, json!("8080.5"), None),
            (Int, json!("eighty"), None),
            (Float, json!(0.5), Some("0.5")),
            (Float, json!("NaN"), None),
            (Boolean, json!(true), Some("true")),
            (Boolean, json!("no"), Some("false")),
            (Boolean, json!("perhaps"), None),
            (Enum, json!("a"), Some("a")),
            (Enum, json!("c"), None),
            (String, json!("two words"), Some("two words")),
            (String, json!("two\nlines"), None),
            (Multiline, json!("two\nlines"), Some("two\nlines")),
            (String, json!(["a"]), None),
            (Hostname, json!("db.example.com"), Some("db.example.com")),
            (Hostname, json!("::1"), Some("::1")),
            (Hostname, json!("a b"), None),
            (Hostname, json!("-a.example"), None),
            (StorageSize, json!("1.5Gi"), Some("1536m")),
            (StorageSize, json!("10GB"), Some("10g")),
            (StorageSize, json!(1000), Some("1000")),
            (StorageSize, json!("lots"), None),
            (Service, json!("blog/db"), Some("blog/db")),
            (Service, json!("db"), None),
            (Certificate, json!("example.com"), Some("example.com")),
            (Certificate, json!("../etc"), None),
        ] {
            let asked = Question { options: options.to_vec(), ..question("A", kind) };
            let found = run(&[asked], json!({ "A": given })).ok();
            assert_eq!(
                found.and_then(|mut values| values.shift_remove("A")).as_deref(),
                expected,
                "{kind:?} {given}"
            );
        }
    }

    #[test]
    fn bounds_and_characters_hold() {
        let port =
            Question { min: Some(1.0), max: Some(65535.0), ..question("A", QuestionType::Int) };
        let name = Question {
            min_length: Some(2),
            max_length: Some(4),
            pattern: Some("[a-z]+|x1".into()),
            valid_chars: Some("a-z0-9".into()),
            invalid_chars: Some("q".into()),
            ..question("A", QuestionType::String)
        };
        for (asked, given, fits) in [
            (&port, "0", false),
            (&port, "1", true),
            (&port, "65536", false),
            (&name, "ab", true),
            (&name, "a", false),
            (&name, "abcde", false),
            (&name, "a_b", false),
            (&name, "abq", false),
            (&name, "x1", true),
            (&name, "x1a", false),
        ] {
            assert_eq!(
                run(std::slice::from_ref(asked), json!({ "A": given })).is_ok(),
                fits,
                "{given}"
            );
        }
    }

    #[test]
    fn what_is_left_out_gets_its_default_or_is_made_up() {
        let asked = [
            Question { default: Some("80".into()), ..question("PORT", QuestionType::Int) },
            Question {
                required: true,
                generate: Some(Generate { length: 20, characters: Generate::CHARACTERS.into() }),
                ..question("PASSWORD", QuestionType::Password)
            },
            Question { default: Some("x".into()), ..question("OPTIONAL", QuestionType::String) },
            Question { required: true, ..question("NEEDED", QuestionType::String) },
        ];
        let given = serde_json::from_value(json!({ "OPTIONAL": "" })).unwrap();
        let Filled { answers, errors, .. } =
            fill(&asked, &given, None, &mut StdRng::seed_from_u64(7));
        assert_eq!(answers.values.get("PORT").map(String::as_str), Some("80"));
        assert_eq!(answers.values.get("PASSWORD").map(String::len), Some(20));
        assert_eq!(answers.secret.iter().collect::<Vec<_>>(), ["PASSWORD"]);
        assert_eq!(answers.values.get("OPTIONAL").map(String::as_str), Some(""));
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].field, "answers.NEEDED");
    }

    #[test]
    fn hidden_questions_have_no_answer() {
        let asked = [
            Question { default: Some("included".into()), ..question("DB", QuestionType::String) },
            Question {
                show_if: vec!["DB=external".into()],
                required: true,
                ..question("HOST", QuestionType::Hostname)
            },
            Question {
                show_if: vec!["DB=external".into(), "HOST!=".into()],
                default: Some("5432".into()),
                parent: Some("HOST".into()),
                ..question("PORT", QuestionType::Int)
            },
        ];
        let hidden = run(&asked, json!({ "HOST": "left.over" })).unwrap();
        assert_eq!(hidden.keys().collect::<Vec<_>>(), ["DB"]);
        let shown = run(&asked, json!({ "DB": "external", "HOST": "db.example.com" })).unwrap();
        assert_eq!(shown.get("PORT").map(String::as_str), Some("5432"));
        assert!(run(&asked, json!({ "DB": "external" })).is_err());
    }

    #[test]
    fn a_service_gives_its_parts_and_unknown_answers_are_named() {
        let asked = [question("DB", QuestionType::Service)];
        let values = run(&asked, json!({ "DB": "blog/db" })).unwrap();
        assert_eq!(values.get("DB_STACK").map(String::as_str), Some("blog"));
        assert_eq!(values.get("DB_SERVICE").map(String::as_str), Some("db"));
        // Emptied in an upgrade, its parts go with it.
        let emptied = IndexMap::from([("DB".to_owned(), json!(""))]);
        let later = check_answers(&asked, &emptied, Some(&values)).unwrap();
        assert!(later.values.is_empty(), "{later:?}");
        let errors = run(&asked, json!({ "PROT": "1" })).unwrap_err();
        assert_eq!(errors[0].0, "answers.PROT");
    }

    #[test]
    fn an_upgrade_keeps_answers_and_variables_of_ones_own() {
        let generate = Generate { length: 20, characters: Generate::CHARACTERS.into() };
        let asked = [
            Question { default: Some("80".into()), ..question("PORT", QuestionType::Int) },
            Question { generate: Some(generate), ..question("PASSWORD", QuestionType::Password) },
            Question { default: Some("x".into()), ..question("EMPTIED", QuestionType::String) },
            Question { default: Some("new".into()), ..question("NEW", QuestionType::String) },
            Question { show_if: vec!["PORT=1".into()], ..question("HIDDEN", QuestionType::String) },
        ];
        let previous = [
            ("PORT", "8080"),
            ("PASSWORD", "old"),
            ("EMPTIED", ""),
            ("HIDDEN", "gone"),
            ("OWN", "mine"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let answers = check_answers(&asked, &IndexMap::new(), Some(&previous)).unwrap();
        let expected = [
            ("OWN", "mine"),
            ("PORT", "8080"),
            ("PASSWORD", "old"),
            ("EMPTIED", ""),
            ("NEW", "new"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(answers.values, IndexMap::from(expected));
        let given = IndexMap::from([("PORT".to_owned(), json!(81))]);
        let answers = check_answers(&asked, &given, Some(&previous)).unwrap();
        assert_eq!(answers.values.get("PORT").map(String::as_str), Some("81"));
    }

    proptest! {
        #[test]
        fn sizes_come_back(bytes in 0_u64..(1 << 50)) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_answer_panics(text in ".{0,40}", set in ".{0,8}") {
            for kind in [QuestionType::Int, QuestionType::Float, QuestionType::StorageSize,
                QuestionType::Hostname, QuestionType::Service, QuestionType::String] {
                let asked = Question { valid_chars: Some(set.clone()), pattern: Some(set.clone()),
                    ..question("A", kind) };
                let _ = check(&asked, &text);
            }
        }
    }
}
