//! What a user may be called.

use drover_api::{CreateUser, FieldError, GlobalRole, Principal, PrincipalKind};
use uuid::Uuid;

use crate::{
    auth,
    error::{Error, Result},
};

/// A user to make, checked, with the password hashed.
pub struct NewUser {
    pub(super) login: String,
    pub(super) display_name: String,
    pub(super) email: Option<String>,
    pub(super) password_hash: String,
    pub(super) global_role: GlobalRole,
}

/// A principal as the tables have it.
pub struct PrincipalRow {
    pub id: String,
    pub kind: String,
    pub provider: String,
    pub provider_id: Option<Uuid>,
    pub provider_name: Option<String>,
    pub name: String,
    pub login: Option<String>,
    pub detail: Option<String>,
}

impl From<PrincipalRow> for Principal {
    fn from(row: PrincipalRow) -> Self {
        Self {
            id: row.id,
            kind: if row.kind == "group" { PrincipalKind::Group } else { PrincipalKind::User },
            provider: row.provider,
            provider_id: row.provider_id,
            provider_name: row.provider_name,
            name: row.name,
            login: row.login,
            detail: row.detail,
        }
    }
}

/// Checks what was typed, and hashes the password.
pub async fn validate(input: CreateUser) -> Result<NewUser> {
    let login = input.login.trim().to_owned();
    let display_name = input
        .display_name
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| login.clone());
    let email = input.email.map(|email| email.trim().to_owned()).filter(|email| !email.is_empty());
    let errors: Vec<_> = [
        check_login(&login),
        check_display_name(&display_name),
        email.as_deref().and_then(check_email),
        auth::check_new_password("password", &input.password),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    Ok(NewUser {
        login,
        display_name,
        email,
        password_hash: auth::hash_password(input.password.into()).await?,
        global_role: input.global_role.unwrap_or(GlobalRole::User),
    })
}

fn check_login(login: &str) -> Option<FieldError> {
    let fits = (1..=64).contains(&login.len())
        && login.chars().all(|c| c.is_ascii_alphanumeric() || ".-_@".contains(c));
    (!fits).then(|| {
        FieldError::new("login", "A login has 1 to 64 letters, digits, `.`, `_`, `-` or `@`.")
    })
}

pub(super) fn check_display_name(name: &str) -> Option<FieldError> {
    let fits = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| FieldError::new("display_name", "A display name has 1 to 100 characters."))
}

pub(super) fn check_email(email: &str) -> Option<FieldError> {
    let fits = email.len() <= 254
        && !email.contains(char::is_whitespace)
        && email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    (!fits).then(|| FieldError::new("email", "This is not a mail address."))
}
