//! Microsoft Active Directory, and Samba in its place.
//!
//! It speaks LDAP, so connections, searches and filters are those of [`super::ldap`]. Its own are
//! the ways to write a [`login`], the binary [`identifiers`], the state of an [`account`], groups
//! in groups by a rule of the server's, and the primary group, which no group names as a member.

mod account;
mod check;
mod identifiers;
mod login;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use drover_api::{ActiveDirectoryConfig, TestStepKind};
use futures_util::future::try_join;
use ldap3::Scope as Depth;
use secrecy::SecretString;
use time::OffsetDateTime;

pub use check::check;

use super::{
    Door, IdentityProvider, Known, Named, PasswordDoor, Person, ProviderError, Scheme, Steps,
    ldap::{
        self,
        connection::{self, Directory},
        filter::{domain_of, escape, normal_dn},
        groups::{Above, Group, MOST_GROUPS, ReadAbove, groups_note, too_many},
        search::{Entry, Query},
        trouble::Trouble,
    },
};
use identifiers::{guid_filter, guid_text, relative_sid};
use login::{Login, domain_dn};

/// `LDAP_MATCHING_RULE_IN_CHAIN` (MS-ADTS, 3.1.1.3.4.4.3): through groups in groups.
const IN_CHAIN: &str = ":1.2.840.113556.1.4.1941:";

/// Domains whose place is remembered.
const MOST_DOMAINS: usize = 64;

/// An Active Directory.
pub struct ActiveDirectory {
    config: ActiveDirectoryConfig,
    directory: Directory,
    user_attributes: Vec<String>,
    group_attributes: Vec<String>,
    is_user: String,
    is_group: String,
    above: Above,
    /// NetBIOS names of domains in lower case, and where they are by [`normal_dn`].
    domains: Mutex<Vec<(String, String)>>,
}

impl ActiveDirectory {
    /// A directory with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when they cannot be used.
    pub fn new(
        config: &ActiveDirectoryConfig,
        secret: Option<SecretString>,
    ) -> Result<Self, ProviderError> {
        if let Some(error) = check(config).into_iter().next() {
            return Err(ProviderError::Misconfigured(error.message));
        }
        let ports =
            if config.global_catalog { connection::CATALOG_PORTS } else { connection::LDAP_PORTS };
        let mut user_attributes = vec![
            config.user_name_attribute.as_str(),
            &config.user_mail_attribute,
            "sAMAccountName",
            "userPrincipalName",
            "objectGUID",
            "objectSid",
            "primaryGroupID",
            "cn",
            "memberOf",
        ];
        user_attributes.extend(account::ATTRIBUTES);
        Ok(Self {
            directory: Directory::new(&config.connection, ports, secret)?,
            user_attributes: ldap::attributes(&user_attributes),
            group_attributes: ldap::attributes(&["sAMAccountName", "cn", "objectGUID"]),
            is_user: format!("(objectCategory=person)(objectClass=user){}", config.user_filter),
            is_group: format!("(objectCategory=group){}", config.group_filter),
            above: Above::default(),
            domains: Mutex::default(),
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
            base: self.group_base(),
            scope: Depth::Subtree,
            filter: format!("(&{}{what})", self.is_group),
            attributes: &self.group_attributes,
            limit,
            all: false,
        }
    }

    fn group_base(&self) -> &str {
        match self.config.group_base.trim() {
            "" => &self.config.user_base,
            base => base,
        }
    }

    async fn enter(
        &self,
        login: &str,
        password: &SecretString,
        steps: &mut Steps,
    ) -> Result<Person, Trouble> {
        ldap::check_input(login, password)?;
        self.directory.ready(steps).await?;
        let entry = self.user_with_login(login.trim()).await?;
        steps.ok(TestStepKind::UserSearch, format!("Found {}.", entry.dn));
        let (server, result) = self.directory.bind(&entry.dn, password).await?;
        if result.rc != 0 {
            return Err(account::bind_refused(&server, &result));
        }
        // A bind that went well has ended a lock, which the entry may still show.
        let refusal = account::refusal(&entry, OffsetDateTime::now_utc());
        if let Some(refusal) = refusal.filter(|refusal| *refusal != super::Refusal::Locked) {
            return Err(Trouble::refused(TestStepKind::UserBind, refusal, None));
        }
        steps.ok(TestStepKind::UserBind, "The password is right.");
        let (groups, direct) = self.groups_of(&entry).await?;
        steps.ok(TestStepKind::Groups, groups_note(groups.len(), direct));
        self.person(&entry, &groups)
    }

    async fn user_with_login(&self, typed: &str) -> Result<Entry, Trouble> {
        let step = TestStepKind::UserSearch;
        let Some(login) = Login::parse(typed) else {
            return Err(Trouble::wrong_credentials(step, "This cannot be a login.", None));
        };
        let (filter, domain) = self.filter_for(&login).await?;
        let query = self.users(&filter, 2);
        let mut found = self.directory.search(&query).await?;
        if let Some(domain) = domain {
            found.entries.retain(|entry| domain_of(&entry.dn) == domain);
        }
        ldap::only_one(found, typed, &query)
    }

    /// The filter that finds a login, and the domain that it must be in where that is not clear.
    async fn filter_for(&self, login: &Login<'_>) -> Result<(String, Option<String>), Trouble> {
        let account = |name: &str| format!("(sAMAccountName={})", escape(name));
        let config = &self.config;
        Ok(match login {
            // A domain controller knows its own domain only; the global catalog all of them.
            Login::Short(name) if config.global_catalog && !config.default_domain.is_empty() => {
                (account(name), Some(self.domain(&config.default_domain).await?))
            }
            Login::Short(name) => (account(name), None),
            Login::Domain { domain, name } => (account(name), Some(self.domain(domain).await?)),
            Login::Principal { name, suffix } => {
                let explicit =
                    format!("(userPrincipalName={})", escape(format!("{name}@{suffix}")));
                if suffix.eq_ignore_ascii_case(&config.dns_domain) {
                    // Everybody has this one too, whatever the attribute says.
                    (format!("(|{explicit}{})", account(name)), None)
                } else {
                    (explicit, None)
                }
            }
        })
    }

    /// Where a domain is, by its NetBIOS or DNS name.
    async fn domain(&self, name: &str) -> Result<String, Trouble> {
        let config = &self.config;
        let is_default = name.eq_ignore_ascii_case(&config.default_domain)
            || name.eq_ignore_ascii_case(&config.dns_domain);
        if is_default && !config.dns_domain.is_empty() {
            return Ok(domain_dn(&config.dns_domain));
        }
        if name.contains('.') {
            return Ok(domain_dn(name));
        }
        let key = name.to_lowercase();
        {
            let domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, dn)) = domains.iter().find(|(known, _)| *known == key) {
                return Ok(dn.clone());
            }
        }
        let dn = self.read_domain(name).await?;
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if domains.len() >= MOST_DOMAINS {
            domains.clear();
        }
        domains.push((key, dn.clone()));
        Ok(dn)
    }

    /// The forest's list of its domains (MS-ADTS, 6.1.1.2.1.1).
    async fn read_domain(&self, name: &str) -> Result<String, Trouble> {
        let step = TestStepKind::UserSearch;
        let attributes = ldap::attributes(&["configurationNamingContext", "nCName"]);
        let mut query = Query {
            step,
            base: "",
            scope: Depth::Base,
            filter: "(objectClass=*)".into(),
            attributes: &attributes,
            limit: 1,
            all: false,
        };
        let root = self.directory.search(&query).await?;
        let root = root.entries.first().and_then(|root| root.text("configurationNamingContext"));
        let partitions = format!("CN=Partitions,{}", root.unwrap_or_default());
        query.base = &partitions;
        query.scope = Depth::OneLevel;
        query.filter = format!("(&(objectClass=crossRef)(nETBIOSName={}))", escape(name));
        let found = self.directory.search_if_there(&query).await?.unwrap_or_default();
        let place = found.entries.first().and_then(|domain| domain.text("nCName"));
        place.map(normal_dn).ok_or_else(|| {
            let message = format!("The directory knows no domain {}.", ldap::cut(name));
            Trouble::wrong_credentials(step, message, None)
        })
    }

    fn login_of(&self, entry: &Entry) -> Option<String> {
        let account = entry.text("sAMAccountName");
        // In a forest, several people may have the same short name.
        let principal = entry.text("userPrincipalName").filter(|_| self.config.global_catalog);
        principal.or(account).map(ldap::cut)
    }

    fn named_user(&self, entry: &Entry) -> Option<Named> {
        let login = self.login_of(entry)?;
        Some(Named {
            scheme: Scheme::User,
            id: entry.bytes("objectGUID").and_then(guid_text)?,
            name: ldap::display_name(entry, &self.config.user_name_attribute, &login),
            login: Some(login),
            detail: Some(entry.dn.clone()),
        })
    }

    fn person(&self, entry: &Entry, groups: &[Arc<Group>]) -> Result<Person, Trouble> {
        let Some(named) = self.named_user(entry) else {
            return Err(ldap::no_attribute(entry, "objectGUID or sAMAccountName"));
        };
        Ok(Person {
            id: named.id,
            login: named.login.unwrap_or_default(),
            display_name: named.name,
            email: ldap::mail(entry, &self.config.user_mail_attribute),
            detail: named.detail,
            groups: groups.iter().map(|group| group.named.clone()).collect(),
            credential: None,
            session: None,
        })
    }

    fn group(entry: &Entry) -> Arc<Group> {
        let key = normal_dn(&entry.dn);
        let name = entry.text("cn").or_else(|| entry.text("sAMAccountName"));
        let named = Named {
            scheme: Scheme::Group,
            id: entry.bytes("objectGUID").and_then(guid_text).unwrap_or_else(|| key.clone()),
            name: ldap::cut(name.unwrap_or(&entry.dn)),
            login: None,
            detail: Some(entry.dn.clone()),
        };
        Arc::new(Group { named, dn: entry.dn.clone(), key, member_of: Vec::new() })
    }

    async fn groups_with(&self, what: &str) -> Result<Vec<Arc<Group>>, Trouble> {
        let mut query = self.groups(what, MOST_GROUPS);
        query.all = true;
        let found = self.directory.search(&query).await?;
        if found.more {
            Err(too_many())
        } else {
            Ok(found.entries.iter().map(Self::group).collect())
        }
    }

    /// A part of a filter: groups that this is a member of.
    fn has_member(&self, dn: &str) -> String {
        let rule = if self.config.nested_groups { IN_CHAIN } else { "" };
        format!("(member{rule}={})", escape(dn))
    }

    /// A person's groups, and how many of them are not through others.
    async fn groups_of(&self, person: &Entry) -> Result<(Vec<Arc<Group>>, usize), Trouble> {
        let primary = self.groups_with_primary(person);
        let member = self.has_member(&person.dn);
        let (mut groups, primary) = try_join(self.groups_with(&member), primary).await?;
        let known: std::collections::HashSet<&str> =
            groups.iter().map(|group| group.key.as_str()).collect();
        let more: Vec<_> =
            primary.into_iter().filter(|group| !known.contains(group.key.as_str())).collect();
        groups.extend(more);
        let own: std::collections::HashSet<String> =
            person.texts("memberOf").map(normal_dn).collect();
        let direct = groups.iter().filter(|group| own.contains(&group.key)).count();
        let has_primary = person.number("primaryGroupID").is_some();
        Ok((groups.clone(), (direct + usize::from(has_primary)).min(groups.len())))
    }

    /// The primary group, which has the person in no list of members, and what is above it.
    async fn groups_with_primary(&self, person: &Entry) -> Result<Vec<Arc<Group>>, Trouble> {
        let number = person.number("primaryGroupID").and_then(|number| u32::try_from(number).ok());
        let sid = person.bytes("objectSid");
        let Some(sid) = sid.zip(number).and_then(|(sid, number)| relative_sid(sid, number)) else {
            return Ok(Vec::new());
        };
        let primary = self.groups_with(&format!("(objectSid={sid})")).await?;
        if !self.config.nested_groups {
            return Ok(primary);
        }
        self.above.climb(primary, self).await
    }

    async fn user_with_id(&self, id: &str) -> Result<Option<Entry>, Trouble> {
        let Some(id) = guid_filter(id) else { return Ok(None) };
        let found = self.directory.search(&self.users(&format!("(objectGUID={id})"), 1)).await?;
        Ok(found.entries.into_iter().next())
    }

    async fn try_steps(&self, steps: &mut Steps) -> Result<(), Trouble> {
        self.directory.try_anew(steps).await?;
        let found = self.directory.search(&self.users("", ldap::SAMPLE)).await?;
        let note = ldap::sample_note("people", &found, &self.config.user_base)?;
        steps.ok(TestStepKind::UserSearch, note);
        let found = self.directory.search(&self.groups("", ldap::SAMPLE)).await?;
        let note = ldap::sample_note("groups", &found, self.group_base());
        steps.ok(TestStepKind::Groups, note.unwrap_or_else(|trouble| trouble.message));
        Ok(())
    }
}

#[async_trait]
impl ReadAbove for ActiveDirectory {
    async fn read(&self, group: &Group) -> Result<Vec<Arc<Group>>, Trouble> {
        self.groups_with(&self.has_member(&group.dn)).await
    }
}

#[async_trait]
impl IdentityProvider for ActiveDirectory {
    fn door(&self) -> Door<'_> {
        Door::Password(self)
    }

    async fn refresh(&self, known: &Known) -> Result<Person, ProviderError> {
        let Some(entry) = self.user_with_id(&known.id).await? else {
            return Err(ProviderError::Gone);
        };
        if let Some(refusal) = account::refusal(&entry, OffsetDateTime::now_utc()) {
            return Err(ProviderError::Refused(refusal));
        }
        let (groups, _) = self.groups_of(&entry).await?;
        Ok(self.person(&entry, &groups)?)
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Option<Vec<Named>>, ProviderError> {
        let Some(text) = ldap::search_text(text) else { return Ok(Some(Vec::new())) };
        let users = format!(
            "(|(sAMAccountName=*{text}*)({name}=*{text}*)(cn=*{text}*)(userPrincipalName={text}*)\
             ({mail}={text}*))",
            name = self.config.user_name_attribute,
            mail = self.config.user_mail_attribute,
        );
        let groups = format!("(|(cn=*{text}*)(sAMAccountName=*{text}*))");
        let (users, groups) = (self.users(&users, limit), self.groups(&groups, limit));
        let (users, groups) =
            try_join(self.directory.search(&users), self.directory.search(&groups)).await?;
        let groups = groups.entries.iter().map(|entry| Self::group(entry).named.clone());
        let users = users.entries.iter().filter_map(|entry| self.named_user(entry));
        Ok(Some(users.chain(groups).collect()))
    }

    async fn find(&self, scheme: Scheme, id: &str) -> Result<Option<Named>, ProviderError> {
        match scheme {
            Scheme::User => {
                let entry = self.user_with_id(id).await?;
                Ok(entry.and_then(|entry| self.named_user(&entry)))
            }
            Scheme::Group => {
                let Some(id) = guid_filter(id) else { return Ok(None) };
                let found =
                    self.directory.search(&self.groups(&format!("(objectGUID={id})"), 1)).await?;
                Ok(found.entries.first().map(|entry| Self::group(entry).named.clone()))
            }
            Scheme::Organisation | Scheme::Team => Ok(None),
        }
    }

    async fn probe(&self, steps: &mut Steps) -> Result<(), ProviderError> {
        self.try_steps(steps).await.map_err(|trouble| trouble.noted(steps))
    }
}

#[async_trait]
impl PasswordDoor for ActiveDirectory {
    async fn sign_in(
        &self,
        login: &str,
        password: &SecretString,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError> {
        self.enter(login, password, steps).await.map_err(|trouble| trouble.noted(steps))
    }
}
