//! What the API server has said of APIs that go away, in the `Warning` headers of its answers, with
//! who asked for them.

use std::sync::{Mutex, PoisonError};

use crate::health::deprecation;

/// So many different warnings are kept.
const MOST: usize = 50;
/// So many users of each.
const MOST_USERS: usize = 10;
/// Longer ones are none of an API server's.
const LONGEST: usize = 400;

/// A warning, with who was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warned {
    /// In the API server's words.
    pub text: String,
    /// Users as the cluster knows them; empty for Drover itself.
    pub users: Vec<String>,
}

/// The warnings of a cluster; those that were given last are kept.
#[derive(Default)]
pub(super) struct Warnings(Mutex<Vec<Warned>>);

impl Warnings {
    /// Notes what an answer to a user warns of; `None` is Drover itself.
    pub fn hear(&self, user: Option<&str>, texts: Vec<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in texts {
            if text.len() > LONGEST || deprecation(&text).is_none() {
                continue;
            }
            let known = all.iter().position(|one| one.text == text);
            let mut one = match known {
                Some(at) => all.remove(at),
                None => Warned { text, users: Vec::new() },
            };
            if let Some(user) = user
                && one.users.len() < MOST_USERS
                && !one.users.iter().any(|other| other == user)
            {
                one.users.push(user.to_owned());
            }
            all.push(one);
        }
        let surplus = all.len().saturating_sub(MOST);
        all.drain(..surplus);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Warned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_once_with_their_users() {
        let warnings = Warnings::default();
        let old = "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+";
        for user in [Some("mia"), None, Some("ci"), Some("mia")] {
            warnings.hear(user, vec![old.to_owned(), "would violate PodSecurity".to_owned()]);
        }
        let users = vec!["mia".to_owned(), "ci".to_owned()];
        assert_eq!(warnings.all(), [Warned { text: old.to_owned(), users }]);
        for n in 0..200 {
            warnings.hear(None, vec![format!("{n} is deprecated in v1.2"), "x".repeat(5000)]);
        }
        assert_eq!(warnings.all().len(), MOST);
        assert_eq!(warnings.all()[MOST - 1].text, "199 is deprecated in v1.2");
    }
}
