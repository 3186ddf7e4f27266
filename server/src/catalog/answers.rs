//! Checks the answers to a template's questions and completes them.

use std::collections::BTreeSet;

use drover_api::{FieldError, QuestionType};
use drover_compose::condition;
use indexmap::IndexMap;
use rand::{Rng, seq::IndexedRandom};
use serde_json::Value;

use super::model::{Generate, Question, scalar};

/// The longest answer, bytes.
const LONGEST_ANSWER: usize = 256 << 10;

/// Answers, checked and completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The value of each variable.
    pub values: IndexMap<String, String>,
    /// The names of those that are secret.
    pub secret: BTreeSet<String>,
}

/// Checks answers and completes them: what is not answered keeps its `previous` value, gets its
/// default, or is made up. Questions that are not shown have no value.
pub fn check_answers(
    questions: &[Question],
    answers: &IndexMap<String, Value>,
    previous: Option<&IndexMap<String, String>>,
) -> Result<Answers, Vec<FieldError>> {
    let (checked, errors) = check(questions, answers, previous, &mut rand::rng());
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

/// [`check_answers`] with the randomness given, answering what is right beside what is wrong.
pub(super) fn check(
    questions: &[Question],
    answers: &IndexMap<String, Value>,
    previous: Option<&IndexMap<String, String>>,
    random: &mut impl Rng,
) -> (Answers, Vec<FieldError>) {
    let (mut checked, mut errors) = (Answers::default(), Vec::new());
    let asked: BTreeSet<&str> = questions.iter().map(|q| q.variable.as_str()).collect();
    for variable in answers.keys().filter(|variable| !asked.contains(variable.as_str())) {
        errors.push(error(variable, "The template does not ask this."));
    }
    for question in questions {
        if !is_shown(question, &checked.values) {
            continue;
        }
        let variable = &question.variable;
        let value = match given(question, answers.get(variable), previous) {
            Ok(value) => value,
            Err(message) => {
                errors.push(error(variable, message));
                continue;
            }
        };
        let value = match value {
            Some(value) => value,
            None => match &question.generate {
                Some(generate) => make_up(generate, random),
                None if question.required => {
                    errors.push(error(variable, "This must be answered."));
                    continue;
                }
                None => String::new(),
            },
        };
        match coerce(question, value) {
            Ok(value) => {
                checked.values.insert(variable.clone(), value);
            }
            Err(message) => errors.push(error(variable, message)),
        }
        if question.type_ == QuestionType::Password {
            checked.secret.insert(variable.clone());
        }
    }
    // Variables of a person's own edits. Which of them were secret is not known here.
    for (variable, value) in previous.into_iter().flatten() {
        if !asked.contains(variable.as_str()) {
            checked.values.insert(variable.clone(), value.clone());
            checked.secret.insert(variable.clone());
        }
    }
    (checked, errors)
}

fn error(variable: &str, message: impl Into<String>) -> FieldError {
    FieldError::new(format!("answers.{variable}"), message)
}

fn is_shown(question: &Question, values: &IndexMap<String, String>) -> bool {
    question.show_if.iter().all(|one| condition::holds(one, |name| values.get(name).cloned()))
}

/// The variables of the questions that are shown with these values.
pub(super) fn shown(questions: &[Question], values: &IndexMap<String, String>) -> Vec<String> {
    questions.iter().filter(|q| is_shown(q, values)).map(|q| q.variable.clone()).collect()
}

/// The answer, the previous one, or the default. An empty answer to a required or generated
/// question counts as none.
fn given(
    question: &Question,
    answer: Option<&Value>,
    previous: Option<&IndexMap<String, String>>,
) -> Result<Option<String>, &'static str> {
    let answered = match answer {
        None | Some(Value::Null) => None,
        Some(value) => Some(scalar(value).ok_or("This must be a text, a number or a boolean.")?),
    };
    let empty_is_none = question.required || question.generate.is_some();
    let usable = |value: &String| !(empty_is_none && value.is_empty());
    let before = || previous.and_then(|previous| previous.get(&question.variable).cloned());
    Ok(match answered {
        Some(value) if usable(&value) => Some(value),
        // A required field that somebody emptied is not filled in behind their back.
        Some(_) if question.generate.is_none() => None,
        _ => before().filter(usable).or_else(|| question.default.clone().filter(usable)),
    })
}

fn make_up(generate: &Generate, random: &mut impl Rng) -> String {
    let characters: Vec<char> = generate.characters.chars().collect();
    (0..generate.length).filter_map(|_| characters.choose(random)).collect()
}

/// Checks a value by its question's type and limits, and writes it the way Compose texts want it.
pub(super) fn coerce(question: &Question, value: String) -> Result<String, String> {
    if value.is_empty() && !question.required {
        return Ok(value);
    }
    if value.len() > LONGEST_ANSWER {
        return Err("This is too long.".into());
    }
    if value.contains('\0') || (question.type_ != QuestionType::Multiline && value.contains('\n')) {
        return Err("This must be one line without control characters.".into());
    }
    match question.type_ {
        QuestionType::Int => {
            let number: i64 =
                value.trim().parse().map_err(|_| "This must be a whole number.".to_owned())?;
            check_range(question, number as f64)?;
            Ok(number.to_string())
        }
        QuestionType::Float => {
            let number: f64 = value
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .ok_or("This must be a number.")?;
            check_range(question, number)?;
            Ok(number.to_string())
        }
        QuestionType::Boolean => match value.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok("true".into()),
            "false" | "no" | "off" | "0" => Ok("false".into()),
            _ => Err("This must be true or false.".into()),
        },
        QuestionType::Enum => {
            if question.options.iter().any(|choice| choice.value == value) {
                return Ok(value);
            }
            let known: Vec<_> = question.options.iter().map(|c| c.value.as_str()).collect();
            Err(format!("This must be one of: {}.", known.join(", ")))
        }
        QuestionType::Hostname => {
            let value = value.trim().to_owned();
            if !is_hostname(&value) {
                return Err("This must be a DNS name, e.g. app.example.com.".into());
            }
            check_text(question, value)
        }
        QuestionType::StorageSize => {
            let value = value.trim().to_owned();
            match drover_compose::parse_bytes(&value) {
                Some(bytes) => check_range(question, bytes as f64).map(|()| value),
                None => Err("This must be a size such as 512m or 10g.".into()),
            }
        }
        QuestionType::Service => match value.split_once('/') {
            Some((stack, service)) if is_name(stack) && is_name(service) => Ok(value),
            _ => Err("This must be a service, as STACK/SERVICE.".into()),
        },
        QuestionType::Certificate | QuestionType::Secret if !is_name(&value) => {
            Err("This must be the name of one of the environment.".into())
        }
        _ => check_text(question, value),
    }
}

fn check_range(question: &Question, number: f64) -> Result<(), String> {
    match (question.min, question.max) {
        (Some(min), _) if number < min => Err(format!("This must be {min} or more.")),
        (_, Some(max)) if number > max => Err(format!("This must be {max} or less.")),
        _ => Ok(()),
    }
}

fn check_text(question: &Question, value: String) -> Result<String, String> {
    let length = value.chars().count();
    if let Some(min) = question.min_length.filter(|min| length < *min as usize) {
        return Err(format!("This must have {min} characters or more."));
    }
    if let Some(max) = question.max_length.filter(|max| length > *max as usize) {
        return Err(format!("This must have {max} characters or fewer."));
    }
    if let Some(valid) = &question.valid_chars
        && let Some(other) = value.chars().find(|c| !valid.contains(*c))
    {
        return Err(format!("`{other}` is not allowed here."));
    }
    if let Some(invalid) = &question.invalid_chars
        && let Some(other) = value.chars().find(|c| invalid.contains(*c))
    {
        return Err(format!("`{other}` is not allowed here."));
    }
    if let Some(pattern) = &question.pattern
        && whole_match(pattern).is_ok_and(|pattern| !pattern.is_match(&value))
    {
        return Err(format!("This must match {pattern}."));
    }
    Ok(value)
}

/// A pattern that all of a text must match. Its size is limited: catalogs come from others.
pub(super) fn whole_match(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 18).build()
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use serde_json::json;

    use super::*;

    fn questions(yaml: &str) -> Vec<Question> {
        let mut problems = Vec::new();
        let version = super::super::read::version("version.yaml", yaml, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        version.map(|version| version.questions).unwrap_or_default()
    }

    fn answer(questions: &[Question], answers: Value) -> (Answers, Vec<FieldError>) {
        let answers = serde_json::from_value(answers).unwrap_or_default();
        check(questions, &answers, None, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn each_type_takes_what_it_should() {
        for (kind, more, good, bad) in [
            ("string", "max_length: 3", json!("abc"), json!("abcd")),
            ("string", "pattern: '[a-z]+'", json!("abc"), json!("abc1")),
            ("string", "valid_chars: ab", json!("ba"), json!("bc")),
            ("string", "invalid_chars: ' '", json!("ab"), json!("a b")),
            ("text", "required: true", json!("a"), json!("")),
            ("multiline", "min_length: 2", json!("a\nb"), json!("a")),
            ("int", "max: 5", json!("5"), json!(6)),
            ("int", "min: 1", json!(1), json!(0.5)),
            ("float", "min: 0.5", json!(0.5), json!("x")),
            ("boolean", "", json!("yes"), json!("maybe")),
            ("radio", "options: [a, {value: b, label: B}]", json!("b"), json!("c")),
            ("hostname", "", json!("a.example.com"), json!("-a.example.com")),
            ("storage_size", "max: 20g", json!("10g"), json!("30g")),
            ("storage_size", "", json!("10g"), json!("many")),
            ("service", "", json!("web/db"), json!("db")),
            ("certificate", "", json!("site"), json!("a b")),
            ("password", "min_length: 4", json!("hunter2"), json!("abc")),
        ] {
            let asked = questions(&format!("questions: [{{variable: A, type: {kind}, {more}}}]"));
            assert_eq!(answer(&asked, json!({ "A": good })).1, [], "{kind} {more}");
            assert_eq!(answer(&asked, json!({ "A": bad })).1.len(), 1, "{kind} {more}");
        }
    }

    #[test]
    fn defaults_are_coerced_and_passwords_made_up() {
        let asked = questions(
            "questions:
  - {variable: PORT, type: int, default: '80'}
  - {variable: ON, type: boolean, default: yes}
  - {variable: SECRET, type: password, required: true, generate: {length: 7, characters: xy}}",
        );
        let (answers, errors) = answer(&asked, json!({ "SECRET": "" }));
        assert_eq!(errors, []);
        assert_eq!(answers.values["PORT"], "80");
        assert_eq!(answers.values["ON"], "true");
        assert_eq!(answers.values["SECRET"].len(), 7);
        assert!(answers.values["SECRET"].chars().all(|c| "xy".contains(c)));
        assert_eq!(answers.secret, BTreeSet::from(["SECRET".to_owned()]));
    }

    #[test]
    fn what_is_not_shown_is_not_asked() {
        let asked = questions(
            "questions:
  - {variable: DB, type: boolean, default: false, show_subquestion_if: true, subquestions: [
      {variable: HOST, required: true}]}
  - {variable: MODE, type: enum, options: [a, b], default: a}
  - {variable: ONLY_B, required: true, show_if: MODE=b}",
        );
        let (answers, errors) = answer(&asked, json!({}));
        assert_eq!(errors, []);
        assert_eq!(answers.values.keys().collect::<Vec<_>>(), ["DB", "MODE"]);
        let (_, errors) = answer(&asked, json!({ "DB": true, "MODE": "b" }));
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["answers.HOST", "answers.ONLY_B"]);
    }

    #[test]
    fn upgrades_keep_what_was_answered() {
        let asked = questions(
            "questions:
  - {variable: PORT, type: int, default: 80}
  - {variable: SECRET, type: password, generate: {}}
  - {variable: NEW, default: fresh}",
        );
        let previous = IndexMap::from(
            [("PORT", "8080"), ("SECRET", "kept"), ("OWN", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let checked = check_answers(&asked, &IndexMap::new(), Some(&previous));
        let values = checked.map(|checked| checked.values).unwrap_or_default();
        let expected = [("PORT", "8080"), ("SECRET", "kept"), ("NEW", "fresh"), ("OWN", "x")];
        assert_eq!(
            values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn an_unasked_answer_is_an_error() {
        assert_eq!(answer(&[], json!({ "X": 1 })).1.len(), 1);
    }
}
