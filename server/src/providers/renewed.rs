//! Tokens that were renewed by a refresh which then failed: the provider takes the old ones no
//! more, and the account still has them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// More than can be of use at once.
const LIMIT: usize = 10_000;

/// The new tokens, by the refresh token that was used up. They end with the server, as a person
/// can always sign in again.
pub(super) struct Renewed<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Renewed<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Renewed<T> {
    /// Takes out what came in place of this refresh token.
    pub fn take(&self, used_up: Option<&str>) -> Option<T> {
        self.lock().remove(used_up?)
    }

    /// Keeps what came in place of this refresh token.
    pub fn keep(&self, used_up: Option<&str>, tokens: T) {
        let mut all = self.lock();
        if let Some(used_up) = used_up
            && all.len() < LIMIT
        {
            all.insert(used_up.to_owned(), tokens);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
