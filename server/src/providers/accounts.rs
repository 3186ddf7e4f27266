//! People of providers as Drover's users: who they are here, what they bring, whether they may in.

use drover_api::{Identity, IdentityState, Principal, ProviderKind, Timestamp};
use secrecy::ExposeSecret;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Named, Person, Scheme,
    model::{GroupNames, ProviderRow, admits},
};
use crate::{
    error::{Error, Result},
    secrets::Cipher,
    users::PrincipalRow,
};

/// Why a person whom the provider knows may not in, for people and for the table.
pub const NOT_ADMITTED: &str = "Nobody has let this account in yet: it is neither listed for this provider, nor, where that is enough, a member of an environment.";
/// The same where groups are asked for.
pub const NO_ALLOWED_GROUP: &str =
    "The account is in none of the groups that this provider lets in.";

/// A person who has been written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The Drover user.
    pub user_id: Uuid,
    /// Whether the person's groups, or whether the account counts, are not as they were.
    pub changed: bool,
}

/// Whether somebody may in; why not otherwise. `user_id` is the user that they are already.
///
/// # Errors
/// When the database does not answer.
pub async fn refusal(
    db: &mut PgConnection,
    provider: &ProviderRow,
    person: &Person,
    user_id: Option<Uuid>,
) -> sqlx::Result<Option<&'static str>> {
    // Groups that were pushed count as those that the sign-in brings.
    let pushed = sqlx::query!(
        "SELECT p.id, p.name FROM user_principals u JOIN principals p ON p.id = u.principal_id
         WHERE u.user_id = $1 AND u.source = 'scim' AND p.provider_id = $2",
        user_id,
        provider.id
    )
    .fetch_all(&mut *db)
    .await?;
    let pushed_ids: Vec<Option<String>> = pushed
        .iter()
        .map(|group| super::model::parse_principal_id(&group.id).map(|address| address.id))
        .collect();
    let groups = person.groups.iter().map(|group| GroupNames {
        id: &group.id,
        name: &group.name,
        detail: group.detail.as_deref(),
    });
    let pushed_groups = pushed.iter().zip(&pushed_ids).map(|(group, id)| GroupNames {
        id: id.as_deref().unwrap_or_default(),
        name: &group.name,
        detail: None,
    });
    if !provider.allows_a_group_of(groups.chain(pushed_groups)) {
        return Ok(Some(NO_ALLOWED_GROUP));
    }
    let principals: Vec<String> = [&person.named()]
        .into_iter()
        .chain(&person.groups)
        .map(|named| provider.principal_id(named.scheme, &named.id))
        .chain(pushed.iter().map(|group| group.id.clone()))
        .collect();
    let row = sqlx::query!(
        r#"SELECT
               EXISTS (SELECT FROM provider_principals
                   WHERE provider_id = $1 AND principal_id = ANY ($2)) AS "listed!",
               -- Through another account that is linked, too.
               EXISTS (SELECT FROM environment_members m WHERE m.principal_id = ANY ($2)
                   OR m.principal_id IN (SELECT u.principal_id FROM user_principals u
                       JOIN principals p ON p.id = u.principal_id
                       WHERE u.user_id = $3 AND p.provider_id IS DISTINCT FROM $1))
                   AS "member!""#,
        provider.id,
        &principals,
        user_id
    )
    .fetch_one(db)
    .await?;
    let admitted = admits(provider.access_mode, row.listed, row.member);
    Ok((!admitted).then_some(NOT_ADMITTED))
}

/// The user behind a person's principal, with what makes the account count no more at SCIM's word.
pub async fn known(
    db: &mut PgConnection,
    principal_id: &str,
) -> sqlx::Result<Option<(Uuid, bool)>> {
    let row = sqlx::query!(
        r#"SELECT i.user_id, EXISTS (SELECT FROM scim_users s
               WHERE s.principal_id = i.principal_id AND NOT s.active) AS "deactivated!"
           FROM identities i WHERE i.principal_id = $1"#,
        principal_id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.user_id, row.deactivated)))
}

/// Writes down a person whom the provider has just told of, and who may in: the user (made when
/// they come for the first time), the account, the groups.
///
/// # Errors
/// When the database does not answer.
pub async fn arrive(
    tx: &mut PgConnection,
    cipher: &Cipher,
    provider: &ProviderRow,
    person: &Person,
) -> Result<Arrival> {
    let own = provider.principal_id(Scheme::User, &person.id);
    let groups: Vec<String> =
        person.groups.iter().map(|g| provider.principal_id(g.scheme, &g.id)).collect();
    let all: Vec<Named> =
        [person.named()].into_iter().chain(person.groups.iter().cloned()).collect();
    learn(tx, provider, &all).await?;
    let (user_id, is_new) =
        ensure_user(tx, &own, &person.login, &person.display_name, person.email.as_deref()).await?;
    let credential = person
        .credential
        .as_ref()
        .map(|credential| cipher.seal(credential.0.expose_secret().as_bytes()));
    // Whether it counted no more, or what it had brought: then it counts anew.
    let anew = sqlx::query_scalar!(
        r#"INSERT INTO identities AS now (user_id, provider_id, principal_id, login, credential)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (principal_id) DO UPDATE SET login = excluded.login,
               credential = coalesce(excluded.credential, now.credential), refused = NULL,
               error = NULL, refreshed_at = now(), checked_at = now()
           RETURNING (SELECT b.refused IS NOT NULL OR b.refreshed_at + directory_grace() < now()
               FROM identities b WHERE b.principal_id = $3) AS "anew""#,
        user_id,
        provider.id,
        own,
        person.login,
        credential
    )
    .fetch_one(&mut *tx)
    .await?;
    if is_new && provider.kind == ProviderKind::Openid {
        bring_pushed(tx, &own).await?;
    }
    let left = sqlx::query!(
        "DELETE FROM user_principals u USING principals p
         WHERE u.user_id = $1 AND u.source = 'directory' AND p.id = u.principal_id
             AND p.provider_id = $2 AND u.principal_id <> ALL ($3)",
        user_id,
        provider.id,
        &groups
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let joined = sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source)
         SELECT $1, id, 'directory' FROM unnest($2::text[]) AS id
         WHERE NOT EXISTS (SELECT FROM user_principals u
             WHERE u.user_id = $1 AND u.principal_id = id AND u.source = 'directory')
         ON CONFLICT DO NOTHING",
        user_id,
        &groups
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let changed = !is_new && (left + joined > 0 || anew == Some(true));
    Ok(Arrival { user_id, changed })
}

/// Gives the user of an account what SCIM has pushed for it: that it is told of by itself, and the
/// groups.
pub async fn bring_pushed(tx: &mut PgConnection, principal_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identities i SET pushed = true FROM scim_users s
         WHERE i.principal_id = $1 AND s.principal_id = i.principal_id AND NOT i.pushed",
        principal_id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source)
         SELECT i.user_id, g.principal_id, 'scim'
         FROM identities i JOIN scim_users s ON s.principal_id = i.principal_id
         JOIN scim_members m ON m.user_id = s.id JOIN scim_groups g ON g.id = m.group_id
         WHERE i.principal_id = $1 AND s.active
         ON CONFLICT DO NOTHING",
        principal_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps users and groups of a provider, so that they can be named: their names as they are now.
/// Those that have not changed are not touched, so that many sign-ins do not wait for each other.
pub async fn learn(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    all: &[Named],
) -> sqlx::Result<()> {
    let column = |of: fn(&ProviderRow, &Named) -> String| -> Vec<String> {
        all.iter().map(|named| of(provider, named)).collect()
    };
    let ids = column(|provider, named| provider.principal_id(named.scheme, &named.id));
    let kinds = column(|_, named| match named.scheme {
        Scheme::User => "user".into(),
        Scheme::Group | Scheme::Organisation | Scheme::Team => "group".into(),
    });
    let names = column(|_, named| named.name.clone());
    let logins: Vec<Option<String>> = all.iter().map(|named| named.login.clone()).collect();
    let details: Vec<Option<String>> = all.iter().map(|named| named.detail.clone()).collect();
    sqlx::query!(
        "INSERT INTO principals (id, kind, provider, provider_id, name, login, detail)
         SELECT n.id, n.kind, $1, $2, n.name, n.login, n.detail
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
             AS n (id, kind, name, login, detail)
         WHERE NOT EXISTS (SELECT FROM principals p WHERE p.id = n.id AND p.name = n.name
             AND p.login IS NOT DISTINCT FROM n.login AND p.detail IS NOT DISTINCT FROM n.detail)
         -- Always in one order: two at once wait for each other rather than for ever.
         ORDER BY n.id
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, login = excluded.login,
             detail = excluded.detail, updated_at = now()",
        provider.kind.as_str(),
        provider.id,
        &ids,
        &kinds,
        &names,
        &logins as &[Option<String>],
        &details as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The user whose own principal this is, made when there is none: without a password, and with
/// the wanted login, or that and a number where another has it. True with a new one.
pub async fn ensure_user(
    tx: &mut PgConnection,
    principal_id: &str,
    login: &str,
    display_name: &str,
    email: Option<&str>,
) -> Result<(Uuid, bool)> {
    // Two sign-ins at once must not make two users of one person.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", principal_id)
        .execute(&mut *tx)
        .await?;
    if let Some((user_id, _)) = known(tx, principal_id).await? {
        // Of one who is known by more than this account, an administrator keeps the name.
        sqlx::query!(
            "UPDATE users SET display_name = $2, email = $3, version = version + 1
             WHERE id = $1 AND password_hash IS NULL
                 AND (display_name, email) IS DISTINCT FROM ($2, $3)
                 AND (SELECT count(*) FROM identities WHERE user_id = $1) = 1",
            user_id,
            display_name,
            email
        )
        .execute(tx)
        .await?;
        return Ok((user_id, false));
    }
    let id = Uuid::now_v7();
    let login: String = login.chars().take(56).collect();
    let mut made = false;
    for attempt in 1..=1000 {
        let wanted = if attempt == 1 { login.clone() } else { format!("{login}-{attempt}") };
        made = sqlx::query!(
            "INSERT INTO users (id, login, display_name, email, global_role, state)
             VALUES ($1, $2::text::citext, $3, $4, 'user', 'active') ON CONFLICT DO NOTHING",
            id,
            wanted,
            display_name,
            email
        )
        .execute(&mut *tx)
        .await?
        .rows_affected()
            == 1;
        if made {
            break;
        }
    }
    if !made {
        return Err(Error::conflict("login_taken", "A thousand accounts have this login."));
    }
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source) VALUES ($1, $2, 'own')",
        id,
        principal_id
    )
    .execute(tx)
    .await?;
    Ok((id, true))
}

/// Notes that a provider, or a rule, refuses an account from now on, and ends its sessions. True
/// when it counted until now.
pub async fn refuse(tx: &mut PgConnection, principal_id: &str, why: &str) -> sqlx::Result<bool> {
    let counted = sqlx::query_scalar!(
        r#"UPDATE identities now SET refused = $2, error = NULL, checked_at = now()
           FROM identities before
           WHERE now.principal_id = $1 AND before.principal_id = now.principal_id
           RETURNING before.refused IS NULL AS "counted!""#,
        principal_id,
        why
    )
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM sessions s USING identities i WHERE i.principal_id = $1
             AND s.user_id = i.user_id AND s.provider_id = i.provider_id",
        principal_id
    )
    .execute(tx)
    .await?;
    Ok(counted.unwrap_or(false))
}

/// Notes that a refresh failed: what is known goes on to count until the grace time is over.
pub async fn note_error(db: &PgPool, principal_id: &str, error: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE identities SET error = $2 WHERE principal_id = $1", principal_id, error)
        .execute(db)
        .await?;
    Ok(())
}

/// An account whose groups are to be read again.
pub struct Due {
    pub principal_id: String,
    pub login: String,
    pub credential: Option<Vec<u8>>,
}

/// Claims accounts of a provider that are in use and were last asked about before `minutes` ago.
pub async fn claim_due(
    db: &PgPool,
    provider: Uuid,
    minutes: u32,
    limit: i64,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"UPDATE identities SET checked_at = now() WHERE principal_id IN (
               SELECT i.principal_id FROM identities i
               WHERE i.provider_id = $1 AND (NOT i.pushed OR i.credential IS NOT NULL)
                   AND i.checked_at < now() - make_interval(mins => $2)
                   AND i.principal_id IN (SELECT u.principal_id FROM identities_in_use u
                       WHERE u.provider_id = $1)
               ORDER BY i.checked_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING principal_id, login, credential"#,
        provider,
        i32::try_from(minutes).unwrap_or(i32::MAX),
        limit
    )
    .fetch_all(db)
    .await
}

/// One account, to be read again now.
pub async fn due_now(db: &PgPool, user: Uuid) -> sqlx::Result<Vec<(Uuid, Due)>> {
    let rows = sqlx::query!(
        "UPDATE identities i SET checked_at = now() FROM identity_providers p
         WHERE i.user_id = $1 AND p.id = i.provider_id AND p.enabled
             AND (NOT i.pushed OR i.credential IS NOT NULL)
         RETURNING i.provider_id, i.principal_id, i.login, i.credential",
        user
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let due = Due {
                principal_id: row.principal_id,
                login: row.login,
                credential: row.credential,
            };
            (row.provider_id, due)
        })
        .collect())
}

/// Puts accounts back that were claimed and not asked about.
pub async fn unclaim(db: &PgPool, principals: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identities SET checked_at = 'epoch' WHERE principal_id = ANY ($1)",
        principals
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Accounts that could not be asked about are due again in half a minute, and not first.
pub async fn retry_soon(db: &PgPool, principals: &[String], minutes: u32) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identities
         SET checked_at = now() - make_interval(mins => $2) + interval '30 seconds'
         WHERE principal_id = ANY ($1)",
        principals,
        i32::try_from(minutes).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the provider has told of an account since then: what was asked for before is old.
pub async fn is_newer_than(
    db: &mut PgConnection,
    principal_id: &str,
    asked_at: OffsetDateTime,
) -> sqlx::Result<bool> {
    let newer = sqlx::query_scalar!(
        r#"SELECT refreshed_at > $2 AS "newer!" FROM identities WHERE principal_id = $1 FOR UPDATE"#,
        principal_id,
        asked_at
    )
    .fetch_optional(db)
    .await?;
    Ok(newer.unwrap_or(false))
}

/// All accounts of a provider are due now.
pub async fn all_due(db: &PgPool, provider: Uuid) -> sqlx::Result<u64> {
    let due =
        sqlx::query!("UPDATE identities SET checked_at = 'epoch' WHERE provider_id = $1", provider)
            .execute(db)
            .await?;
    Ok(due.rows_affected())
}

/// Applies a provider's access rules, as they are now, to what is known of its people, or only of
/// these users. True when somebody may in no more.
pub async fn apply_rules(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    only: Option<&[Uuid]>,
) -> Result<bool> {
    let allowed_ids: Vec<String> = [Scheme::Group, Scheme::Organisation, Scheme::Team]
        .into_iter()
        .flat_map(|scheme| {
            provider.allowed_groups.iter().map(move |id| provider.principal_id(scheme, id))
        })
        .collect();
    // The same rules as in `refusal`, over what the tables have.
    let refused = sqlx::query!(
        r#"SELECT i.principal_id, g.missing AS "no_group!"
           FROM identities i
           CROSS JOIN LATERAL (SELECT $4 AND NOT EXISTS (
               SELECT FROM user_principals u JOIN principals p ON p.id = u.principal_id
               WHERE u.user_id = i.user_id AND u.source <> 'own' AND p.provider_id = $1
                   AND (p.id = ANY ($6) OR lower(p.name) = ANY ($5)
                       OR lower(p.detail) = ANY ($5)))) AS g (missing)
           WHERE i.provider_id = $1 AND i.refused IS NULL
               AND ($2::uuid[] IS NULL OR i.user_id = ANY ($2))
               AND (g.missing
                   OR ($3 <> 'unrestricted' AND NOT EXISTS (
                       SELECT FROM user_principals u JOIN provider_principals l USING (principal_id)
                       WHERE u.user_id = i.user_id AND l.provider_id = $1)
                   AND NOT ($3 = 'restricted' AND EXISTS (
                       SELECT FROM user_principals u JOIN environment_members m USING (principal_id)
                       WHERE u.user_id = i.user_id))))
           -- Always in one order: two at once wait for each other rather than for ever.
           ORDER BY i.principal_id"#,
        provider.id,
        only,
        provider.access_mode.as_str(),
        !provider.allowed_groups.is_empty(),
        &provider.allowed_groups.iter().map(|one| one.to_lowercase()).collect::<Vec<_>>(),
        &allowed_ids
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut changed = false;
    for row in refused {
        let why = if row.no_group { NO_ALLOWED_GROUP } else { NOT_ADMITTED };
        changed |= refuse(tx, &row.principal_id, why).await?;
    }
    Ok(changed)
}

/// The accounts at providers of one user, or of all, with the user that each is of. Groups only
/// with one user: a list of all would carry them many times.
pub async fn identities(db: &PgPool, user: Option<Uuid>) -> sqlx::Result<Vec<(Uuid, Identity)>> {
    let rows = sqlx::query!(
        r#"SELECT i.user_id, i.provider_id, p.name::text AS "provider_name!", p.kind, p.enabled,
               i.principal_id, i.login, coalesce(i.refused, i.error) AS reason,
               i.refused IS NOT NULL AS "refused!", i.refreshed_at,
               EXISTS (SELECT FROM live_identities l WHERE l.principal_id = i.principal_id)
                   AS "live!"
           FROM identities i JOIN identity_providers p ON p.id = i.provider_id
           WHERE $1::uuid IS NULL OR i.user_id = $1 ORDER BY p.name"#,
        user
    )
    .fetch_all(db)
    .await?;
    let mut groups = match user {
        Some(user) => groups(db, user).await?,
        None => Vec::new(),
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let state = match (row.live, row.enabled, row.refused) {
                (true, ..) => IdentityState::Active,
                (_, false, _) => IdentityState::ProviderOff,
                (_, _, true) => IdentityState::Refused,
                _ => IdentityState::Expired,
            };
            let (own, others) = std::mem::take(&mut groups)
                .into_iter()
                .partition(|group: &Principal| group.provider_id == Some(row.provider_id));
            groups = others;
            let identity = Identity {
                provider_id: row.provider_id,
                provider_name: row.provider_name,
                // The table's check allows only kinds that parse.
                provider_kind: ProviderKind::parse(&row.kind).unwrap_or(ProviderKind::Ldap),
                principal_id: row.principal_id,
                login: row.login,
                state,
                reason: row.reason,
                refreshed_at: Timestamp(row.refreshed_at),
                groups: own,
            };
            (row.user_id, identity)
        })
        .collect())
}

async fn groups(db: &PgPool, user: Uuid) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        PrincipalRow,
        r#"SELECT DISTINCT p.id, p.kind, p.provider, p.provider_id,
               i.name::text AS "provider_name?", p.name, p.login, p.detail
           FROM user_principals u JOIN principals p ON p.id = u.principal_id
           LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE u.user_id = $1 AND u.source <> 'own' ORDER BY p.name"#,
        user
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}
