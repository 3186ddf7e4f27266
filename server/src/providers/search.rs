//! Looking for users and groups, to give them roles: at every provider at once, so that a slow one
//! does not hold up the others.

use std::time::Duration;

use drover_api::{Principal, PrincipalSearch, ProviderSearch, SearchState};
use uuid::Uuid;

use super::{Scheme, accounts, model::parse_principal_id, registry::Connected};
use crate::{
    access::Caller,
    app::App,
    error::{Error, Result},
    users,
};

/// The most from one provider, of users and of groups.
const MOST: usize = 50;
/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From how many letters on directories are asked.
const SHORTEST: usize = 3;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Everywhere.
    Everywhere,
    /// Among the local accounts.
    Local,
    /// At one provider.
    At(Uuid),
}

/// Looks for users and groups whose name or login has this text.
pub async fn search(
    app: &App,
    caller: &Caller,
    text: &str,
    place: Where,
) -> Result<PrincipalSearch> {
    let mut found = PrincipalSearch::default();
    if matches!(place, Where::Everywhere | Where::Local) {
        found.items = users::known_principals(&app.db, text, None, MOST).await?;
        found.providers.push(ProviderSearch {
            provider_id: None,
            name: String::new(),
            state: SearchState::Ok,
            message: None,
        });
    }
    let asked: Vec<Connected> = match place {
        Where::Local => Vec::new(),
        Where::Everywhere => app.providers.all_enabled(app).await?,
        Where::At(id) => app.providers.enabled(app, id).await?.into_iter().collect(),
    };
    let answers = asked.iter().map(|provider| at_provider(app, provider, text));
    for answer in futures_util::future::join_all(answers).await {
        let (items, mut how) = answer?;
        // A server's own words name hosts and accounts.
        how.message = how.message.filter(|_| caller.is_admin());
        found.items.extend(items);
        found.providers.push(how);
    }
    found.items.sort_by_key(|principal| principal.name.to_lowercase());
    Ok(found)
}

async fn at_provider(
    app: &App,
    provider: &Connected,
    text: &str,
) -> Result<(Vec<Principal>, ProviderSearch)> {
    let row = &provider.row;
    let known = || users::known_principals(&app.db, text, Some(row.id), MOST);
    let (items, state, message) = if text.chars().count() < SHORTEST {
        (known().await?, SearchState::TooShort, None)
    } else {
        match tokio::time::timeout(PATIENCE, provider.connection.search(text, MOST)).await {
            Ok(Ok(Some(found))) => {
                let items = found.iter().map(|named| row.principal(&named.clone().tidy()));
                let mut items: Vec<Principal> = items.collect();
                // Those that the search does not give, but that have been here: GitHub's teams.
                for known in known().await? {
                    if !items.iter().any(|item| item.id == known.id) {
                        items.push(known);
                    }
                }
                (items, SearchState::Ok, None)
            }
            Ok(Ok(None)) => (known().await?, SearchState::KnownOnly, None),
            Ok(Err(error)) => (known().await?, SearchState::Failed, Some(error.to_string())),
            Err(_) => (known().await?, SearchState::Slow, None),
        }
    };
    let how = ProviderSearch { provider_id: Some(row.id), name: row.name.clone(), state, message };
    Ok((items, how))
}

/// Makes sure that a principal can be given a role: it is known, or its provider knows it, which
/// is then remembered. False when there is none.
pub async fn learn(app: &App, principal_id: &str) -> Result<bool> {
    if users::has_principal(&app.db, principal_id).await? {
        return Ok(true);
    }
    let Some(address) = parse_principal_id(principal_id) else { return Ok(false) };
    let Some(Connected { row, connection }) = app.providers.enabled(app, address.provider).await?
    else {
        return Ok(false);
    };
    let Some(scheme) = Scheme::parse(&address.scheme, row.kind) else { return Ok(false) };
    let found = connection.find(scheme, &address.id).await.map_err(|error| {
        tracing::warn!(provider = %row.name, %error, "cannot look up a principal");
        Error::unavailable(
            "provider_unavailable",
            format!("{} could not be asked about this. Try again in a minute.", row.name),
        )
    })?;
    let Some(named) = found.filter(|named| named.id == address.id && named.scheme == scheme) else {
        return Ok(false);
    };
    let mut db = app.db.acquire().await?;
    accounts::learn(&mut db, &row, &[named.tidy()]).await?;
    Ok(true)
}
