//! Directories that speak LDAP: OpenLDAP, FreeIPA, 389 Directory Server and others.
//!
//! [`connection`] reaches the servers, [`search`] asks them, [`filter`] writes filters and names,
//! [`groups`] climbs groups in groups, [`trouble`] says what is wrong and what to do, [`check`]
//! checks settings. All of these serve Active Directory too. What is LDAP's own is here: the
//! attributes are settings, and groups name their members by DN, by login or by number.

mod check;
pub(super) mod connection;
pub(super) mod filter;
pub(super) mod groups;
pub(super) mod search;
pub(super) mod trouble;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use drover_api::{LdapConfig, TestStepKind};
use futures_util::future::{try_join, try_join_all};
use ldap3::Scope as Depth;
use secrecy::{ExposeSecret, SecretString};

pub use check::check;
pub(super) use check::{check_base, check_connection, check_filter_field, check_name};

use super::{
    Door, IdentityProvider, Known, Named, PasswordDoor, Person, ProviderError, Refusal, Scheme,
    Steps,
};
use connection::Directory;
use filter::{escape, is_under, normal_dn};
use groups::{Above, Group, MOST_GROUPS, ReadAbove, groups_note, too_many};
use search::{Entry, Found, Query};
use trouble::{Trouble, bind_refused};

/// Logins and passwords that are longer are not sent to a directory.
const LONGEST_LOGIN: usize = 256;
const LONGEST_PASSWORD: usize = 1024;
/// How much of a name is shown.
const LONGEST_NAME: usize = 256;
/// Ids that are longer are not taken for ids.
const LONGEST_ID: usize = 512;
/// Entries that `memberOf` names are read this many at a time.
const READS_AT_ONCE: usize = 32;
/// Marks ids that are not text.
const BINARY_ID: &str = "hex:";

/// An LDAP directory.
pub struct Ldap {
    config: LdapConfig,
    directory: Directory,
    user_attributes: Vec<String>,
    group_attributes: Vec<String>,
    /// What people and groups match, whoever they are.
    is_user: String,
    is_group: String,
    /// By [`normal_dn`].
    group_base: String,
    above: Above,
}

impl Ldap {
    /// A directory with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when they cannot be used.
    pub fn new(config: &LdapConfig, secret: Option<SecretString>) -> Result<Self, ProviderError> {
        if let Some(error) = check(config).into_iter().next() {
            return Err(ProviderError::Misconfigured(error.message));
        }
        let directory = Directory::new(&config.connection, connection::LDAP_PORTS, secret)?;
        let classes: String = config
            .group_object_classes
            .iter()
            .map(|class| format!("(objectClass={class})"))
            .collect();
        Ok(Self {
            directory,
            user_attributes: attributes(&[
                &config.user_login_attribute,
                &config.user_name_attribute,
                &config.user_mail_attribute,
                &config.id_attribute,
                &config.user_member_of_attribute,
                "cn",
                "gidNumber",
                "nsAccountLock",
                "pwdAccountLockedTime",
                "pwdReset",
            ]),
            group_attributes: attributes(&[
                &config.group_name_attribute,
                &config.id_attribute,
                &config.user_member_of_attribute,
            ]),
            is_user: format!("(objectClass={}){}", config.user_object_class, config.user_filter),
            is_group: format!("(|{classes}){}", config.group_filter),
            group_base: normal_dn(&config.group_base),
            above: Above::default(),
            config: config.clone(),
        })
    }

    fn users<'a>(&'a self, what: &str, limit: usize) -> Query<'a> {
        Query {
            step: TestStepKind::UserSearch,
            base: &self.config.user_base,
            scope: Depth::Subtree,
            filter: format!("(&{}{what})", self.is_user),
            attributes: &self.user_attributes,
            limit,
            all: false,
        }
    }

    fn groups<'a>(&'a self, what: &str, limit: usize) -> Query<'a> {
        Query {
            step: TestStepKind::Groups,
            base: &self.config.group_base,
            scope: Depth::Subtree,
            filter: format!("(&{}{what})", self.is_group),
            attributes: &self.group_attributes,
            limit,
            all: false,
        }
    }

    async fn enter(
        &self,
        login: &str,
        password: &SecretString,
        steps: &mut Steps,
    ) -> Result<Person, Trouble> {
        check_input(login, password)?;
        self.directory.ready(steps).await?;
        let login = login.trim();
        let query =
            self.users(&format!("({}={})", self.config.user_login_attribute, escape(login)), 2);
        let found = self.directory.search(&query).await?;
        let entry = only_one(found, login, &query)?;
        steps.ok(TestStepKind::UserSearch, format!("Found {}.", entry.dn));
        let (server, result) = self.directory.bind(&entry.dn, password).await?;
        if result.rc != 0 {
            return Err(bind_refused(&server, &result));
        }
        check_state(&entry, TestStepKind::UserBind)?;
        steps.ok(TestStepKind::UserBind, "The password is right.");
        let (groups, direct) = self.groups_of(&entry).await?;
        steps.ok(TestStepKind::Groups, groups_note(groups.len(), direct));
        self.person(&entry, &groups)
    }

    fn person(&self, entry: &Entry, groups: &[Arc<Group>]) -> Result<Person, Trouble> {
        let config = &self.config;
        let Some(id) = entry_id(entry, &config.id_attribute) else {
            return Err(no_attribute(entry, &config.id_attribute));
        };
        let Some(login) = entry.text(&config.user_login_attribute) else {
            return Err(no_attribute(entry, &config.user_login_attribute));
        };
        Ok(Person {
            id,
            login: cut(login),
            display_name: display_name(entry, &config.user_name_attribute, login),
            email: mail(entry, &config.user_mail_attribute),
            detail: Some(entry.dn.clone()),
            groups: groups.iter().map(|group| group.named.clone()).collect(),
            credential: None,
            session: None,
        })
    }

    fn named_user(&self, entry: &Entry) -> Option<Named> {
        let login = entry.text(&self.config.user_login_attribute)?;
        Some(Named {
            scheme: Scheme::User,
            id: entry_id(entry, &self.config.id_attribute)?,
            name: display_name(entry, &self.config.user_name_attribute, login),
            login: Some(cut(login)),
            detail: Some(entry.dn.clone()),
        })
    }

    fn group(&self, entry: &Entry) -> Arc<Group> {
        let key = normal_dn(&entry.dn);
        let name = entry.text(&self.config.group_name_attribute).unwrap_or(&entry.dn);
        let named = Named {
            scheme: Scheme::Group,
            id: entry_id(entry, &self.config.id_attribute).unwrap_or_else(|| key.clone()),
            name: cut(name),
            login: None,
            detail: Some(entry.dn.clone()),
        };
        let member_of = self.member_of(entry);
        Arc::new(Group { named, dn: entry.dn.clone(), key, member_of })
    }

    fn member_of(&self, entry: &Entry) -> Vec<String> {
        match self.config.user_member_of_attribute.as_str() {
            "" => Vec::new(),
            attribute => entry.texts(attribute).take(MOST_GROUPS).map(str::to_owned).collect(),
        }
    }

    /// A person's groups, and how many of them are not through others.
    async fn groups_of(&self, person: &Entry) -> Result<(Vec<Arc<Group>>, usize), Trouble> {
        if self.config.group_base.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let direct = self.groups_with(&self.names_person(person), &self.member_of(person)).await?;
        let count = direct.len();
        if !self.config.nested_groups {
            return Ok((direct, count));
        }
        let all = self.above.climb(direct, self).await?;
        Ok((all, count))
    }

    /// What groups name a person by, as parts of a filter.
    fn names_person(&self, person: &Entry) -> String {
        let config = &self.config;
        let mut names = self.names_member(&person.dn);
        if !config.group_member_uid_attribute.is_empty() {
            if let Some(login) = person.text(&config.user_login_attribute) {
                let attribute = &config.group_member_uid_attribute;
                names.push_str(&format!("({attribute}={})", escape(login)));
            }
            if let Some(number) = person.number("gidNumber") {
                names.push_str(&format!("(gidNumber={number})"));
            }
        }
        names
    }

    fn names_member(&self, dn: &str) -> String {
        match self.config.group_member_attribute.as_str() {
            "" => String::new(),
            attribute => format!("({attribute}={})", escape(dn)),
        }
    }

    /// Groups that match one of `names`, and those that an entry says itself that it is in.
    async fn groups_with(
        &self,
        names: &str,
        member_of: &[String],
    ) -> Result<Vec<Arc<Group>>, Trouble> {
        let mut groups = Vec::new();
        if !names.is_empty() {
            let mut query = self.groups(&format!("(|{names})"), MOST_GROUPS);
            query.all = true;
            let found = self.directory.search(&query).await?;
            if found.more {
                return Err(too_many());
            }
            groups.extend(found.entries.iter().map(|entry| self.group(entry)));
        }
        let known: HashSet<&str> = groups.iter().map(|group| group.key.as_str()).collect();
        let others: Vec<&String> = member_of
            .iter()
            .filter(|dn| {
                let key = normal_dn(dn);
                !known.contains(key.as_str()) && is_under(&key, &self.group_base)
            })
            .collect();
        let mut read = Vec::new();
        for some in others.chunks(READS_AT_ONCE) {
            let entries = try_join_all(some.iter().map(|dn| self.group_at(dn))).await?;
            read.extend(entries.into_iter().flatten());
        }
        groups.extend(read);
        Ok(groups)
    }

    /// The group with this DN, if it is there, and is a group by the settings.
    async fn group_at(&self, dn: &str) -> Result<Option<Arc<Group>>, Trouble> {
        let mut query = self.groups("", 1);
        query.base = dn;
        query.scope = Depth::Base;
        match self.directory.search_if_there(&query).await? {
            Some(found) => Ok(found.entries.first().map(|entry| self.group(entry))),
            None => Ok(None),
        }
    }

    async fn user_with_id(&self, id: &str) -> Result<Option<Entry>, Trouble> {
        let what = format!("({}={})", self.config.id_attribute, escape_id(id));
        let query = self.users(&what, 2);
        let found = self.directory.search(&query).await?;
        if found.entries.len() > 1 {
            let error = ProviderError::Misconfigured(format!(
                "Several entries have the same {}: choose another attribute as the id.",
                self.config.id_attribute
            ));
            return Err(Trouble::new(query.step, error, None));
        }
        Ok(found.entries.into_iter().next())
    }

    async fn group_with_id(&self, id: &str) -> Result<Option<Arc<Group>>, Trouble> {
        if self.config.group_base.is_empty() {
            return Ok(None);
        }
        let what = format!("({}={})", self.config.id_attribute, escape_id(id));
        let found = self.directory.search(&self.groups(&what, 2)).await?;
        match found.entries.as_slice() {
            [entry] => Ok(Some(self.group(entry))),
            [] if filter::is_dn(id) && is_under(&normal_dn(id), &self.group_base) => {
                // The id of a group without the attribute.
                let group = self.group_at(id).await?;
                Ok(group.filter(|group| group.named.id == normal_dn(id)))
            }
            _ => Ok(None),
        }
    }

    async fn try_steps(&self, steps: &mut Steps) -> Result<(), Trouble> {
        self.directory.try_anew(steps).await?;
        let found = self.directory.search(&self.users("", SAMPLE)).await?;
        steps.ok(TestStepKind::UserSearch, sample_note("people", &found, &self.config.user_base)?);
        if self.config.group_base.is_empty() {
            steps.ok(TestStepKind::Groups, "No search base for groups is entered: there are none.");
            return Ok(());
        }
        let found = self.directory.search(&self.groups("", SAMPLE)).await?;
        let note = sample_note("groups", &found, &self.config.group_base);
        steps.ok(TestStepKind::Groups, note.unwrap_or_else(|trouble| trouble.message));
        Ok(())
    }
}

#[async_trait]
impl ReadAbove for Ldap {
    async fn read(&self, group: &Group) -> Result<Vec<Arc<Group>>, Trouble> {
        self.groups_with(&self.names_member(&group.dn), &group.member_of).await
    }
}

#[async_trait]
impl IdentityProvider for Ldap {
    fn door(&self) -> Door<'_> {
        Door::Password(self)
    }

    async fn refresh(&self, known: &Known) -> Result<Person, ProviderError> {
        let Some(entry) = self.user_with_id(&known.id).await? else {
            return Err(ProviderError::Gone);
        };
        check_state(&entry, TestStepKind::UserSearch)?;
        let (groups, _) = self.groups_of(&entry).await?;
        Ok(self.person(&entry, &groups)?)
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Option<Vec<Named>>, ProviderError> {
        let Some(text) = search_text(text) else { return Ok(Some(Vec::new())) };
        let config = &self.config;
        let has = |attribute: &str| format!("({attribute}=*{text}*)");
        let users = format!(
            "(|{}{}({}={text}*))",
            has(&config.user_login_attribute),
            has(&config.user_name_attribute),
            config.user_mail_attribute,
        );
        let groups = has(&config.group_name_attribute);
        let (users, groups) = (self.users(&users, limit), self.groups(&groups, limit));
        let groups = async {
            match config.group_base.is_empty() {
                true => Ok(Found::default()),
                false => self.directory.search(&groups).await,
            }
        };
        let (users, groups) = try_join(self.directory.search(&users), groups).await?;
        let groups = groups.entries.iter().map(|entry| self.group(entry).named.clone());
        let users = users.entries.iter().filter_map(|entry| self.named_user(entry));
        Ok(Some(users.chain(groups).collect()))
    }

    async fn find(&self, scheme: Scheme, id: &str) -> Result<Option<Named>, ProviderError> {
        if id.is_empty() || id.len() > LONGEST_ID {
            return Ok(None);
        }
        match scheme {
            Scheme::User => {
                let entry = self.user_with_id(id).await?;
                Ok(entry.and_then(|entry| self.named_user(&entry)))
            }
            Scheme::Group => Ok(self.group_with_id(id).await?.map(|group| group.named.clone())),
            Scheme::Organisation | Scheme::Team => Ok(None),
        }
    }

    async fn probe(&self, steps: &mut Steps) -> Result<(), ProviderError> {
        self.try_steps(steps).await.map_err(|trouble| trouble.noted(steps))
    }
}

#[async_trait]
impl PasswordDoor for Ldap {
    async fn sign_in(
        &self,
        login: &str,
        password: &SecretString,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError> {
        self.enter(login, password, steps).await.map_err(|trouble| trouble.noted(steps))
    }
}

/// How many entries a test of the settings looks at.
pub(super) const SAMPLE: usize = 20;

/// What a test says of the entries under a search base; trouble when there are none.
pub(super) fn sample_note(what: &str, found: &Found, base: &str) -> Result<String, Trouble> {
    let count = found.entries.len();
    let referred = match found.referrals {
        0 => String::new(),
        referrals => format!(" {referrals} referrals to other servers are not followed."),
    };
    if count == 0 {
        let error = ProviderError::Misconfigured(format!(
            "There are no {what} under {base}. Check the search base, the object class and the \
             filter, and what the service account may see.{referred}"
        ));
        return Err(Trouble::new(TestStepKind::UserSearch, error, None));
    }
    let more = if found.more { "more than " } else { "" };
    Ok(format!("Found {more}{count} {what} under {base}.{referred}"))
}

/// Refuses what no directory is asked.
pub(super) fn check_input(login: &str, password: &SecretString) -> Result<(), Trouble> {
    let wrong = |step, message: &str| Err(Trouble::wrong_credentials(step, message, None));
    let password = password.expose_secret();
    if password.is_empty() {
        return wrong(
            TestStepKind::UserBind,
            "The password is empty. That is refused before it reaches the directory.",
        );
    }
    if password.len() > LONGEST_PASSWORD {
        return wrong(TestStepKind::UserBind, "The password is too long.");
    }
    let login = login.trim();
    if login.is_empty() || login.len() > LONGEST_LOGIN || login.contains(char::is_control) {
        return wrong(TestStepKind::UserSearch, "This cannot be a login.");
    }
    Ok(())
}

/// The one entry of a person who signs in.
pub(super) fn only_one(found: Found, login: &str, query: &Query<'_>) -> Result<Entry, Trouble> {
    let mut entries = found.entries.into_iter();
    let (first, second) = (entries.next(), entries.next());
    let Query { step, base, filter, .. } = query;
    match (first, second) {
        (Some(entry), None) => Ok(entry),
        (None, _) => {
            let message = format!("Nobody under {base} matches {filter}.");
            Err(Trouble::wrong_credentials(*step, message, None))
        }
        (Some(first), Some(second)) => {
            let error = ProviderError::Misconfigured(format!(
                "Several people have the login {login}. Narrow the search base or the filter."
            ));
            let detail = format!("{}; {}", first.dn, second.dn);
            Err(Trouble::new(*step, error, Some(detail)))
        }
    }
}

/// What directories other than Active Directory say of an account: 389 Directory Server and
/// FreeIPA by `nsAccountLock`, OpenLDAP by its password policy (slapo-ppolicy(5)).
fn check_state(entry: &Entry, step: TestStepKind) -> Result<(), Trouble> {
    let is_true =
        |name: &str| entry.text(name).is_some_and(|value| value.eq_ignore_ascii_case("TRUE"));
    // A time is a lock that ends by itself; this one an administrator has set.
    let locked = entry.text("pwdAccountLockedTime") == Some("000001010000Z");
    let refusal = if is_true("nsAccountLock") || locked {
        Refusal::Disabled
    } else if is_true("pwdReset") {
        Refusal::PasswordExpired
    } else {
        return Ok(());
    };
    Err(Trouble::refused(step, refusal, None))
}

pub(super) fn no_attribute(entry: &Entry, attribute: &str) -> Trouble {
    let error = ProviderError::Misconfigured(format!(
        "{} has no attribute {attribute}, or the service account may not read it.",
        entry.dn
    ));
    Trouble::new(TestStepKind::UserSearch, error, None)
}

/// The names that are not empty, each once.
pub(super) fn attributes(names: &[&str]) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = names.iter().filter(|name| !name.is_empty());
    names
        .filter(|name| seen.insert(name.to_ascii_lowercase()))
        .map(|name| (*name).to_owned())
        .collect()
}

/// At most as much of a name as is shown.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}

pub(super) fn display_name(entry: &Entry, attribute: &str, login: &str) -> String {
    cut(entry.text(attribute).or_else(|| entry.text("cn")).unwrap_or(login))
}

/// The mail address, as long as they may be (RFC 5321, 4.5.3.1).
pub(super) fn mail(entry: &Entry, attribute: &str) -> Option<String> {
    let mail = entry.text(attribute)?;
    (mail.len() <= 254 && !mail.contains(char::is_control)).then(|| mail.to_owned())
}

/// What is searched for, escaped; `None` when it finds nothing anyway.
pub(super) fn search_text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= LONGEST_LOGIN).then(|| escape(text))
}

/// The value that names an entry for good; in hexadecimal where it is not text.
fn entry_id(entry: &Entry, attribute: &str) -> Option<String> {
    let bytes = entry.bytes(attribute)?;
    let id = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) && !text.starts_with(BINARY_ID) => {
            text.to_owned()
        }
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{BINARY_ID}{hex}")
        }
    };
    (!id.is_empty() && id.len() <= LONGEST_ID).then_some(id)
}

/// An id as it stands in a filter.
fn escape_id(id: &str) -> String {
    match id.strip_prefix(BINARY_ID).and_then(unhex) {
        Some(bytes) => escape(bytes),
        None => escape(id),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_ids_come_back() {
        assert_eq!(escape_id("hex:00ff2a"), "\\00\\ff\\2a");
        assert_eq!(escape_id("hex:0"), "hex:0");
        assert_eq!(escape_id("a*b"), "a\\2ab");
    }
}
