//! Lists, from the live index: what is there, filtered, sorted, counted, a page at a time, without
//! a call to the cluster.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use drover_api::{Freshness, List, ResourceGroup, ResourceList, ResourceType};
use drover_kubernetes::{
    client::{Failure, FailureKind},
    discovery,
    index::{
        Comparison, Field, Filter, Live as LiveList, Page, Query as Question, Scope, Selector,
    },
};
use uuid::Uuid;

use super::{
    super::{failed, shown},
    target::Target,
};
use crate::{
    error::{Error, Result},
    extract::{Json, Path, Query},
};

/// The most conditions of one list.
const MOST_FILTERS: usize = 30;
/// The longest text of a condition.
const LONGEST: usize = 1000;
/// The most groups that are answered.
const MOST_GROUPS: usize = 1000;

type Parameters = Query<Vec<(String, String)>>;

fn wrong(detail: impl Into<String>) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// List the resource types of an environment's cluster
///
/// Built-in and custom ones, with what the caller may do.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/kubernetes/types", tag = "kubernetes",
    params(("environment_id" = Uuid, Path)),
    responses((status = 200, body = List<ResourceType>)))]
pub(super) async fn types(target: Target) -> Result<Json<List<ResourceType>>> {
    let discovery = target.live.discovery()?;
    let listed = |kind: &&std::sync::Arc<discovery::ResourceType>| {
        kind.has_verb("list") && target.sees(kind)
    };
    let kept = target.live.index.types();
    let count = |kind: &discovery::ResourceType| {
        let kept = kept.iter().any(|kept| kept.resource.name == kind.name && kept.state.synced);
        let list = kept.then(|| target.live.index.opened(&kind.name)).flatten()?;
        Some(list.counts(&target.scope(kind)).iter().sum::<usize>() as u64)
    };
    let types = discovery.types().iter().filter(listed);
    Ok(Json(List::whole(
        types
            .map(|kind| ResourceType {
                id: kind.name.to_string(),
                group: kind.group.clone(),
                version: kind.version.clone(),
                kind: kind.kind.clone(),
                plural: kind.plural.clone(),
                short_names: kind.short_names.clone(),
                namespaced: kind.namespaced,
                verbs: target.verbs(kind),
                custom: shown::is_custom(&kind.group),
                count: count(kind),
            })
            .collect(),
    )))
}

/// A question that the index cannot make sense of.
fn misasked(failure: Failure) -> Error {
    match failure.kind() {
        FailureKind::BadRequest => wrong(failure.message()),
        _ => failed(failure),
    }
}

/// What is asked of a list, by the parameters of an address.
struct Asked {
    question: Question,
    by: Option<Field>,
}

fn read_question(
    target: &Target,
    list: &LiveList,
    parameters: Vec<(String, String)>,
) -> Result<Asked> {
    let kind = list.resource();
    let scope: Scope = target.scope(kind);
    let mut question = Question::new(scope);
    let mut by = None;
    let (mut selectors, mut health) = (Vec::new(), None);
    if parameters.len() > MOST_FILTERS {
        return Err(wrong(format!("A list takes at most {MOST_FILTERS} parameters.")));
    }
    for (name, text) in parameters {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if text.len() > LONGEST || name.len() > LONGEST {
            return Err(wrong(format!("`{}` is too long.", &name[..name.floor_char_boundary(50)])));
        }
        match name.as_str() {
            "q" => question.text = Some(text.to_owned()),
            "limit" => {
                let limit = text.parse::<usize>();
                question.limit = limit.map_err(|_| wrong("`limit` is a number."))?.clamp(1, 1000);
            }
            "cursor" => {
                let why = "`cursor` must be the `next_cursor` of an earlier page.";
                question.offset = text.parse().map_err(|_| wrong(why))?;
            }
            "sort" => {
                question.sort = text
                    .split(',')
                    .take(5)
                    .map(|key| match key.trim().strip_prefix('-') {
                        Some(name) => (field(name), true),
                        None => (field(key.trim()), false),
                    })
                    .collect();
            }
            "namespace" => question.filters.push(equal(Field::Namespace, text)),
            "selector" => selectors.push(text.to_owned()),
            "health" => health = Some(text.to_owned()),
            "owner" => {
                let (owner, more) = shown::owner_filter(&target.live, text);
                question.filters.push(equal(Field::Owner, &owner));
                selectors.extend(more);
            }
            "by" => by = Some(field(text)),
            _ => question.filters.push(condition(&name, text)),
        }
    }
    if let Some(health) = health {
        question.filters.push(shown::health_filter(&health));
    }
    if !selectors.is_empty() {
        question.labels = Selector::parse(&selectors.join(","))
            .map_err(|why| wrong(format!("`selector`: {why}")))?;
    }
    Ok(Asked { question, by })
}

/// A field by the name that columns have in answers.
fn field(name: &str) -> Field {
    match name {
        "created_at" => Field::Age,
        name => Field::parse(name),
    }
}

fn equal(field: Field, text: &str) -> Filter {
    let values = text.split(',').map(|value| value.trim().to_owned()).collect();
    Filter { field, comparison: Comparison::Equal, values }
}

/// A text that a column contains, or what [`Filter::parse`] takes when it begins with a sign.
fn condition(name: &str, text: &str) -> Filter {
    let mut filter = match text.strip_prefix('=') {
        Some(exact) => equal(field(name), exact),
        None => Filter::parse(name, text),
    };
    filter.field = field(name);
    if filter.comparison == Comparison::Equal && !text.starts_with('=') {
        filter.comparison = Comparison::Contains;
    }
    filter
}

fn answer(list: &LiveList, page: &Page, offset: usize, freshness: Freshness) -> ResourceList {
    let next = offset.saturating_add(page.rows.len());
    let status = list.status();
    ResourceList {
        columns: page.columns.iter().map(shown::column).collect(),
        items: page.rows.iter().map(|row| shown::row(list.resource(), row)).collect(),
        next_cursor: (next < page.total).then(|| next.to_string()),
        total: page.total as u64,
        freshness,
        problem: status.state.error.map(|error| error.message().to_owned()),
    }
}

/// List the objects of a type in an environment
///
/// Parameters: `q`, `sort` (`-` before a name for descending order), `limit`, `cursor`, `namespace`,
/// `selector` (labels), `health` (`failed`, `degraded`, `progressing`, `healthy`, `idle`), `owner`
/// (`deployments.apps/web`), `label:KEY`, and the id of any column with a text that its cells
/// contain; `=a,b` for exactly one of these, `!a` for none, `<5`, `>=1Gi` for what is less or more.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/kubernetes/resources/{type}",
    tag = "kubernetes",
    params(("environment_id" = Uuid, Path), ("type" = String, Path)),
    responses((status = 200, body = ResourceList)))]
pub(super) async fn list(
    target: Target,
    Path((_environment, kind)): Path<(Uuid, String)>,
    Query(parameters): Parameters,
) -> Result<Response> {
    let list = open(&target, &kind).await?;
    let Asked { question, .. } = read_question(&target, &list, parameters)?;
    let page = list.page(&question).map_err(misasked)?;
    let now = list.freshness();
    let age_ms = u64::try_from(now.age.as_millis()).unwrap_or(u64::MAX);
    let freshness = Freshness { revision: page.revision, age_ms };
    let make = |page: &Page| -> Bytes {
        let list = answer(&list, page, question.offset, freshness);
        serde_json::to_vec(&list).unwrap_or_default().into()
    };
    // While it is live, the same answer is good for all who ask the same.
    let live = age_ms == 0 && list.status().state.error.is_none();
    let body = if live { page.rendered(0, make) } else { make(&page) };
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

/// Count the objects of a type in an environment by what they have in common
///
/// `by`: `namespace`, `owner`, `health`, `node`, `label:KEY` or the id of a column. Filters as for
/// the list. At most 1,000 groups, the largest first.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/kubernetes/resources/{type}/groups",
    tag = "kubernetes",
    params(("environment_id" = Uuid, Path), ("type" = String, Path),
        ("by" = String, Query, example = "namespace")),
    responses((status = 200, body = List<ResourceGroup>)))]
pub(super) async fn groups(
    target: Target,
    Path((_environment, kind)): Path<(Uuid, String)>,
    Query(parameters): Parameters,
) -> Result<Json<List<ResourceGroup>>> {
    let list = open(&target, &kind).await?;
    let Asked { question, by } = read_question(&target, &list, parameters)?;
    let by = by.ok_or_else(|| wrong("`by` says by what to group."))?;
    let groups = list.groups(&question, &by).map_err(misasked)?;
    let mut groups = shown::groups(&target.live, &by, groups);
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    groups.truncate(MOST_GROUPS);
    Ok(Json(List::whole(groups)))
}

async fn open(target: &Target, kind: &str) -> Result<LiveList> {
    let kind = target.kind(kind)?;
    // A cluster that is away tells no first list: that is said at once.
    if target.live.index.opened(&kind.name).is_none() {
        target.live.connected()?;
    }
    target.live.index.open(&kind.name).await.map_err(failed)
}
