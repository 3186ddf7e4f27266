//! Users and groups as SCIM has them: read from what clients send, checked, and shown.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    error::{invalid_syntax, invalid_value},
    filter::{Filter, PatchPath},
    schema::{Attribute, ENTERPRISE, GROUPS, Kind, ResourceType, Target, USERS},
};
use crate::error::Result;

/// The longest text that is kept, bytes.
const LONGEST_TEXT: usize = 2048;
/// The longest name or id of a resource, bytes.
const LONGEST_NAME: usize = 254;
/// The most values of an attribute.
const MOST_VALUES: usize = 100;
/// The most attributes that `attributes` can name.
const MOST_NAMED: usize = 200;
/// The page that is answered when a client does not say, and the largest.
const DEFAULT_PAGE: i64 = 200;
const LARGEST_PAGE: i64 = 1000;

const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const SEARCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// The attributes of a resource under their right names, as far as the schemas know them.
pub(super) type Attributes = Map<String, Value>;

/// A user as a client sends one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct User(Attributes);

impl User {
    /// Reads what a client sends for a new user, or in place of one.
    pub fn read(body: Value) -> Result<Self> {
        Self::from_attributes(read_resource(body, USERS)?)
    }

    /// Checks what has been put together.
    pub fn from_attributes(mut attributes: Attributes) -> Result<Self> {
        check_name("userName", attributes.get("userName"), true)?;
        check_name("externalId", attributes.get("externalId"), false)?;
        attributes.entry("active").or_insert(Value::Bool(true));
        Ok(Self(attributes))
    }

    /// What the table has.
    pub fn stored(attributes: Attributes) -> Self {
        Self(attributes)
    }

    /// All of it.
    pub fn attributes(&self) -> &Attributes {
        &self.0
    }

    /// The same, without a look at what it must have.
    pub fn into_attributes(self) -> Attributes {
        self.0
    }

    /// A PUT that does not say whether the user is active leaves that as it is.
    pub fn keep_active_unless_said(mut self, said: bool, before: bool) -> Self {
        if !said {
            self.0.insert("active".into(), before.into());
        }
        self
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    }

    /// The login.
    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    /// The id at the provider.
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    /// Whether the person may use Drover.
    pub fn active(&self) -> bool {
        self.0.get("active").and_then(Value::as_bool).unwrap_or(true)
    }

    /// What names the person for good: it is in the principal's id.
    pub fn key(&self) -> &str {
        self.external_id().unwrap_or_else(|| self.user_name())
    }

    /// The name for lists.
    pub fn display_name(&self) -> String {
        let part = |name: &str| {
            self.0.get("name")?.get(name)?.as_str().filter(|text| !text.trim().is_empty())
        };
        let name = match (self.text("displayName"), part("formatted")) {
            (Some(name), _) | (None, Some(name)) => name.to_owned(),
            (None, None) => {
                let parts = [part("givenName"), part("familyName")];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        };
        let name = if name.is_empty() { self.user_name().to_owned() } else { name };
        name.chars().filter(|c| !c.is_control()).take(100).collect()
    }

    /// The mail address: the primary one, else that at work, else the first.
    pub fn email(&self) -> Option<&str> {
        let emails = self.0.get("emails")?.as_array()?;
        let with = |key: &str, value: Value| emails.iter().find(move |mail| mail[key] == value);
        let mail = with("primary", true.into())
            .or_else(|| with("type", "work".into()))
            .or_else(|| emails.first())?;
        mail.get("value")?.as_str().filter(|text| !text.is_empty() && text.len() <= 254)
    }
}

/// A group as a client sends one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub display_name: String,
    pub external_id: Option<String>,
    pub members: Vec<Uuid>,
}

impl Group {
    /// Reads what a client sends for a new group, or in place of one.
    pub fn read(body: Value) -> Result<Self> {
        let mut body = object(body)?;
        let members = take(&mut body, "members");
        let attributes = read_resource(Value::Object(body), GROUPS)?;
        check_name("displayName", attributes.get("displayName"), true)?;
        check_name("externalId", attributes.get("externalId"), false)?;
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            display_name: text("displayName").unwrap_or_default(),
            external_id: text("externalId").filter(|id| !id.is_empty()),
            members: members.map(member_ids).transpose()?.unwrap_or_default(),
        })
    }

    /// What names the group for good: it is in the principal's id.
    pub fn key(&self) -> &str {
        self.external_id.as_deref().unwrap_or(&self.display_name)
    }
}

/// The ids in a `members` value: an array, or one member alone.
pub(super) fn member_ids(value: Value) -> Result<Vec<Uuid>> {
    let all = match value {
        Value::Null => Vec::new(),
        Value::Array(all) => all,
        one => vec![one],
    };
    all.into_iter().map(member_id).collect()
}

fn member_id(member: Value) -> Result<Uuid> {
    let id = match member {
        Value::String(id) => id,
        Value::Object(mut member) => {
            if let Some(Value::String(kind)) = take(&mut member, "type")
                && kind.eq_ignore_ascii_case("group")
            {
                return Err(nested());
            }
            match take(&mut member, "value") {
                Some(Value::String(id)) => id,
                _ => {
                    return Err(invalid_value(
                        "Each of `members` has the id of a user as `value`.",
                    ));
                }
            }
        }
        _ => return Err(invalid_value("Each of `members` is an object with a `value`.")),
    };
    id.parse().map_err(|_| no_such_member(&id))
}

/// The refusal of groups in groups.
pub(super) fn nested() -> crate::error::Error {
    invalid_value(
        "A group cannot be a member of a group here. Have the provider push the people in it.",
    )
}

/// The refusal of a member that is not there.
pub(super) fn no_such_member(id: &str) -> crate::error::Error {
    let id: String = id.chars().take(64).collect();
    invalid_value(format!("There is no user with the id `{id}`. Push users before groups."))
}

fn object(value: Value) -> Result<Attributes> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(invalid_syntax("The body is not a JSON object.")),
    }
}

/// Takes a field out, in whatever case its name is written.
pub(super) fn take(object: &mut Attributes, name: &str) -> Option<Value> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}

/// Refuses a body that does not say that it is a message of this schema.
pub(super) fn check_schema(object: &mut Attributes, schema: &str) -> Result<()> {
    let named = match take(object, "schemas") {
        Some(Value::Array(all)) => {
            all.iter().any(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case(schema)))
        }
        _ => false,
    };
    if named { Ok(()) } else { Err(invalid_syntax(format!("`schemas` must have `{schema}`."))) }
}

fn check_name(name: &str, value: Option<&Value>, required: bool) -> Result<()> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    if text.trim().is_empty() && required {
        return Err(invalid_value(format!("`{name}` is missing.")));
    }
    if text.len() > LONGEST_NAME || text.contains(char::is_control) {
        return Err(invalid_value(format!(
            "`{name}` has at most {LONGEST_NAME} bytes, and no control characters."
        )));
    }
    Ok(())
}

/// The attributes of a body that clients may set. Others are ignored (RFC 7644, 3.3), so that a
/// provider may send more than Drover knows.
fn read_resource(body: Value, of: &'static ResourceType) -> Result<Attributes> {
    let mut body = object(body)?;
    check_schema(&mut body, of.schema.id)?;
    let mut attributes = Attributes::new();
    for (key, value) in body {
        if let Some(schema) = of.extension(&key) {
            let value = object(value)
                .map_err(|_| invalid_value(format!("`{key}` is not a JSON object.")))?;
            let mut inner = Attributes::new();
            for (key, value) in value {
                let attribute =
                    schema.attributes.iter().find(|known| known.name.eq_ignore_ascii_case(&key));
                if let Some(attribute) = attribute {
                    set(&mut inner, attribute, value)?;
                }
            }
            if !inner.is_empty() {
                attributes.insert(schema.id.into(), inner.into());
            }
        } else if let Some(attribute) = of.attribute(&key) {
            set(&mut attributes, attribute, value)?;
        }
    }
    Ok(attributes)
}

fn set(into: &mut Attributes, attribute: &'static Attribute, value: Value) -> Result<()> {
    if attribute.read_only || attribute.name == "schemas" {
        return Ok(());
    }
    if let Some(value) = normal(attribute, value)? {
        into.insert(attribute.name.into(), value);
    }
    Ok(())
}

/// A value as it is kept; `None` for no value.
pub(super) fn normal(attribute: &'static Attribute, value: Value) -> Result<Option<Value>> {
    if !attribute.multi_valued {
        return normal_one(attribute, value);
    }
    let all = match value {
        Value::Null => return Ok(None),
        Value::Array(all) => all,
        one => vec![one],
    };
    let mut values = Vec::new();
    for value in all {
        values.extend(normal_one(attribute, value)?);
    }
    check_values(attribute, &values)?;
    Ok((!values.is_empty()).then(|| values.into()))
}

/// Refuses too many values, or two that are the primary one.
pub(super) fn check_values(attribute: &Attribute, values: &[Value]) -> Result<()> {
    let name = attribute.name;
    if values.len() > MOST_VALUES {
        return Err(invalid_value(format!("`{name}` has at most {MOST_VALUES} values.")));
    }
    if values.iter().filter(|value| value["primary"] == true).count() > 1 {
        return Err(invalid_value(format!("Only one of `{name}` can be the primary one.")));
    }
    Ok(())
}

/// One value as it is kept.
pub(super) fn normal_one(attribute: &'static Attribute, value: Value) -> Result<Option<Value>> {
    let name = attribute.name;
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Boolean, Value::Bool(yes)) => Ok(Some(yes.into())),
        // Entra ID sends "True" and "False".
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("true") => {
            Ok(Some(true.into()))
        }
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("false") => {
            Ok(Some(false.into()))
        }
        (Kind::Boolean, _) => Err(invalid_value(format!("`{name}` is true or false."))),
        (Kind::Text | Kind::Reference | Kind::DateTime, Value::String(text)) => {
            if text.len() > LONGEST_TEXT {
                let why = format!("`{name}` has at most {LONGEST_TEXT} bytes.");
                return Err(invalid_value(why));
            }
            Ok(Some(text.into()))
        }
        (Kind::Text | Kind::Reference | Kind::DateTime, Value::Number(number)) => {
            Ok(Some(number.to_string().into()))
        }
        (Kind::Text | Kind::Reference | Kind::DateTime, _) => {
            Err(invalid_value(format!("`{name}` is a text.")))
        }
        (Kind::Complex, Value::Object(object)) => {
            let mut inner = Attributes::new();
            for (key, value) in object {
                if let Some(sub) = attribute.sub(&key) {
                    set(&mut inner, sub, value)?;
                }
            }
            Ok((!inner.is_empty()).then(|| inner.into()))
        }
        // Entra ID sends a manager, and some an address, as its value alone.
        (Kind::Complex, value @ Value::String(_)) => match attribute.sub("value") {
            Some(sub) => Ok(normal_one(sub, value)?.map(|value| json!({ "value": value }))),
            None => Err(invalid_value(format!("`{name}` is an object."))),
        },
        (Kind::Complex, _) => Err(invalid_value(format!("`{name}` is an object."))),
    }
}

/// What is known of a resource beside its attributes.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    pub id: Uuid,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub version: i64,
}

impl Meta {
    /// The `ETag`, and `meta.version`.
    pub fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// Its address.
    pub fn location(&self, of: &ResourceType, base: &str) -> String {
        format!("{base}/{}/{}", of.endpoint, self.id)
    }

    fn add(&self, resource: &mut Attributes, of: &ResourceType, base: &str) {
        let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        resource.insert("id".into(), self.id.to_string().into());
        resource.insert(
            "meta".into(),
            json!({
                "resourceType": of.name,
                "created": time(self.created_at),
                "lastModified": time(self.updated_at),
                "location": self.location(of, base),
                "version": self.etag(),
            }),
        );
    }
}

/// A user, shown.
pub(super) fn show_user(meta: &Meta, user: &User, groups: Vec<Value>, base: &str) -> Value {
    let mut resource = user.attributes().clone();
    let mut schemas = vec![USERS.schema.id];
    if resource.contains_key(ENTERPRISE.id) {
        schemas.push(ENTERPRISE.id);
    }
    resource.insert("schemas".into(), json!(schemas));
    if !groups.is_empty() {
        resource.insert("groups".into(), groups.into());
    }
    meta.add(&mut resource, USERS, base);
    resource.into()
}

/// A link in a user's `groups`.
pub(super) fn group_link(id: Uuid, name: &str, base: &str) -> Value {
    json!({ "value": id, "$ref": format!("{base}/Groups/{id}"), "display": name, "type": "direct" })
}

/// A group, shown.
pub(super) fn show_group(
    meta: &Meta,
    display_name: &str,
    external_id: Option<&str>,
    members: Vec<Value>,
    base: &str,
) -> Value {
    let mut resource = Attributes::new();
    resource.insert("schemas".into(), json!([GROUPS.schema.id]));
    resource.insert("displayName".into(), display_name.into());
    if let Some(id) = external_id {
        resource.insert("externalId".into(), id.into());
    }
    if !members.is_empty() {
        resource.insert("members".into(), members.into());
    }
    meta.add(&mut resource, GROUPS, base);
    resource.into()
}

/// A link in a group's `members`.
pub(super) fn member_link(id: Uuid, name: &str, base: &str) -> Value {
    json!({ "value": id, "$ref": format!("{base}/Users/{id}"), "display": name, "type": "User" })
}

/// Which attributes the client wants (RFC 7644, 3.9).
#[derive(Debug, Default)]
pub(super) struct Projection {
    only: Option<Vec<Target>>,
    without: Vec<Target>,
}

impl Projection {
    /// Reads `attributes` and `excludedAttributes`.
    pub fn read(
        of: &'static ResourceType,
        only: Option<&[String]>,
        without: Option<&[String]>,
    ) -> Result<Self> {
        let named = only.map_or(0, <[_]>::len) + without.map_or(0, <[_]>::len);
        if named > MOST_NAMED {
            return Err(invalid_value(format!("At most {MOST_NAMED} attributes can be named.")));
        }
        let targets = |names: &[String]| names.iter().map(|name| of.resolve(name)).collect();
        Ok(Self { only: only.map(targets), without: without.map(targets).unwrap_or_default() })
    }

    /// Whether the client wants any of this attribute: if not, it need not be read.
    pub fn wants(&self, name: &str) -> bool {
        let names = |target: &Target, whole: bool| {
            matches!(target, Target::Attribute { attribute, sub, .. }
                if attribute.name == name && !(whole && sub.is_some()))
        };
        self.only.as_ref().is_none_or(|only| only.iter().any(|target| names(target, false)))
            && !self.without.iter().any(|target| names(target, true))
    }

    /// What the client wants of a resource.
    pub fn apply(&self, resource: Value) -> Value {
        let Value::Object(mut resource) = resource else { return resource };
        let always = ["schemas", "id"];
        if let Some(only) = &self.only {
            let mut kept = Attributes::new();
            for name in always {
                kept.extend(resource.remove_entry(name));
            }
            for target in only {
                keep(&resource, target, &mut kept);
            }
            resource = kept;
        }
        for target in &self.without {
            if !matches!(target, Target::Attribute { attribute, .. } if always.contains(&attribute.name))
            {
                leave_out(&mut resource, target);
            }
        }
        resource.into()
    }
}

fn keep(from: &Attributes, target: &Target, into: &mut Attributes) {
    let (extension, attribute, sub) = match target {
        Target::Unknown => return,
        Target::Extension(schema) => {
            if let Some(value) = from.get(schema.id) {
                into.insert(schema.id.into(), value.clone());
            }
            return;
        }
        Target::Attribute { extension, attribute, sub } => (extension, attribute, sub),
    };
    let (from, into) = match extension {
        None => (from, into),
        Some(schema) => {
            let Some(Value::Object(from)) = from.get(schema.id) else { return };
            let inner = into.entry(schema.id).or_insert_with(|| json!({}));
            let Value::Object(inner) = inner else { return };
            (from, inner)
        }
    };
    let Some(value) = from.get(attribute.name) else { return };
    let Some(sub) = sub else {
        into.insert(attribute.name.into(), value.clone());
        return;
    };
    let part = |value: &Value| value.get(sub.name).cloned();
    match value {
        Value::Array(all) => {
            let entry =
                into.entry(attribute.name).or_insert_with(|| vec![json!({}); all.len()].into());
            for (from, into) in all.iter().zip(entry.as_array_mut().into_iter().flatten()) {
                if let Some(part) = part(from) {
                    into[sub.name] = part;
                }
            }
        }
        one => {
            if let Some(part) = part(one) {
                into.entry(attribute.name).or_insert_with(|| json!({}))[sub.name] = part;
            }
        }
    }
}

fn leave_out(resource: &mut Attributes, target: &Target) {
    let (extension, attribute, sub) = match target {
        Target::Unknown => return,
        Target::Extension(schema) => {
            resource.remove(schema.id);
            return;
        }
        Target::Attribute { extension, attribute, sub } => (extension, attribute, sub),
    };
    let resource = match extension {
        None => resource,
        Some(schema) => match resource.get_mut(schema.id) {
            Some(Value::Object(inner)) => inner,
            _ => return,
        },
    };
    let Some(sub) = sub else {
        resource.remove(attribute.name);
        return;
    };
    match resource.get_mut(attribute.name) {
        Some(Value::Array(all)) => {
            for one in all.iter_mut().filter_map(Value::as_object_mut) {
                one.remove(sub.name);
            }
        }
        Some(Value::Object(one)) => {
            one.remove(sub.name);
        }
        _ => {}
    }
}

/// What a client asks of a list, by query or by `.search`.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub filter: Option<Filter>,
    pub sort: Option<Sort>,
    /// How many to pass over.
    pub offset: i64,
    pub limit: i64,
    pub projection: Projection,
}

/// What to sort by.
#[derive(Debug)]
pub(super) struct Sort {
    keys: Vec<&'static str>,
    case_exact: bool,
    pub descending: bool,
}

impl Sort {
    fn read(path: &str, of: &'static ResourceType, descending: bool) -> Result<Self> {
        let mut keys = Vec::new();
        let PatchPath { target, element: None } = PatchPath::parse(path, of)? else {
            return Err(invalid_value("`sortBy` is the name of an attribute."));
        };
        let Target::Attribute { extension, attribute, sub } = target else {
            return Err(invalid_value(format!(
                "Cannot sort by `{path}`: there is no such attribute."
            )));
        };
        let sub = sub.or_else(|| attribute.sub("value"));
        keys.extend(extension.map(|schema| schema.id));
        keys.push(attribute.name);
        keys.extend(sub.map(|sub| sub.name));
        Ok(Self { keys, case_exact: sub.unwrap_or(attribute).case_exact, descending })
    }

    /// What a resource is sorted by; those without come last.
    pub fn key(&self, resource: &Value) -> (bool, String) {
        let mut value = resource;
        for key in &self.keys {
            value = &value[*key];
            if let Value::Array(all) = value {
                let primary = all.iter().find(|one| one["primary"] == true);
                value = primary.or(all.first()).unwrap_or(&Value::Null);
            }
        }
        match value {
            Value::String(text) if self.case_exact => (false, text.clone()),
            Value::String(text) => (false, text.to_lowercase()),
            Value::Bool(yes) => (false, yes.to_string()),
            _ => (true, String::new()),
        }
    }
}

/// The parameters of a list, as text.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchQuery {
    /// RFC 7644, 3.4.2.2, e.g. `userName eq "grace"`.
    filter: Option<String>,
    /// The attribute to sort by.
    sort_by: Option<String>,
    /// `ascending` or `descending`.
    sort_order: Option<String>,
    /// The first row of the page, counted from 1.
    start_index: Option<i64>,
    /// Rows a page: up to 1,000, default 200.
    count: Option<i64>,
    /// Only these attributes, by commas.
    attributes: Option<String>,
    /// Not these attributes, by commas: `members` makes lists of large groups quick.
    excluded_attributes: Option<String>,
}

/// The body of `.search`.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchRequest {
    /// `urn:ietf:params:scim:api:messages:2.0:SearchRequest`.
    schemas: Vec<String>,
    /// RFC 7644, 3.4.2.2.
    filter: Option<String>,
    /// The attribute to sort by.
    sort_by: Option<String>,
    /// `ascending` or `descending`.
    sort_order: Option<String>,
    /// The first row of the page, counted from 1.
    start_index: Option<i64>,
    /// Rows a page.
    count: Option<i64>,
    /// Only these attributes.
    attributes: Option<Vec<String>>,
    /// Not these attributes.
    excluded_attributes: Option<Vec<String>>,
}

fn names(text: &Option<String>) -> Option<Vec<String>> {
    let text = text.as_deref()?;
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect::<Vec<_>>()).filter(|names| !names.is_empty())
}

impl SearchQuery {
    /// What it asks for.
    pub fn read(self, of: &'static ResourceType) -> Result<Search> {
        SearchRequest {
            schemas: vec![SEARCH_SCHEMA.into()],
            attributes: names(&self.attributes),
            excluded_attributes: names(&self.excluded_attributes),
            filter: self.filter,
            sort_by: self.sort_by,
            sort_order: self.sort_order,
            start_index: self.start_index,
            count: self.count,
        }
        .read(of)
    }

    /// Only which attributes are wanted, for an answer with one resource.
    pub fn projection(&self, of: &'static ResourceType) -> Result<Projection> {
        Projection::read(
            of,
            names(&self.attributes).as_deref(),
            names(&self.excluded_attributes).as_deref(),
        )
    }

    /// Whether the client says which attributes it wants.
    pub fn names_attributes(&self) -> bool {
        self.attributes.is_some() || self.excluded_attributes.is_some()
    }

    /// Whether there is a filter.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }
}

impl SearchRequest {
    /// What it asks for.
    pub fn read(self, of: &'static ResourceType) -> Result<Search> {
        if !self.schemas.iter().any(|schema| schema.eq_ignore_ascii_case(SEARCH_SCHEMA)) {
            return Err(invalid_syntax(format!("`schemas` must have `{SEARCH_SCHEMA}`.")));
        }
        let descending = match self.sort_order.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "ascending") => false,
            Some("descending") => true,
            Some(_) => return Err(invalid_value("`sortOrder` is `ascending` or `descending`.")),
        };
        let filter = self.filter.as_deref().filter(|text| !text.trim().is_empty());
        let sort = self.sort_by.as_deref().filter(|text| !text.trim().is_empty());
        Ok(Search {
            filter: filter.map(|text| Filter::parse(text, of)).transpose()?,
            sort: sort.map(|path| Sort::read(path, of, descending)).transpose()?,
            offset: self.start_index.unwrap_or(1).max(1) - 1,
            limit: self.count.unwrap_or(DEFAULT_PAGE).clamp(0, LARGEST_PAGE),
            projection: Projection::read(
                of,
                self.attributes.as_deref(),
                self.excluded_attributes.as_deref(),
            )?,
        })
    }
}

/// A page of a list.
pub(super) fn show_page(total: i64, offset: i64, resources: Vec<Value>) -> Value {
    json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": offset + 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTERPRISE_ID: &str = ENTERPRISE.id;

    fn read(mut body: Value) -> Result<User> {
        body["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
        User::read(body)
    }

    #[test]
    fn users_are_read_under_their_right_names() {
        let user = read(json!({
            "USERNAME": "grace",
            "id": "mine",
            "meta": { "version": "7" },
            "password": "secret",
            "unknown": [1],
            "groups": [{ "value": "g" }],
            "Active": "False",
            "name": { "GIVENNAME": "Grace", "familyName": "Hopper", "other": 1 },
            "emails": { "value": "g@example.com", "primary": "true" },
            "phoneNumbers": ["1", { "value": "2", "type": "work" }],
            "title": null,
            "roles": [],
            ENTERPRISE_ID: { "Department": "Navy", "manager": "m-1", "x": 1 },
        }))
        .unwrap();
        let expected = json!({
            "userName": "grace",
            "active": false,
            "name": { "givenName": "Grace", "familyName": "Hopper" },
            "emails": [{ "value": "g@example.com", "primary": true }],
            "phoneNumbers": [{ "value": "1" }, { "value": "2", "type": "work" }],
            ENTERPRISE_ID: { "department": "Navy", "manager": { "value": "m-1" } },
        });
        assert_eq!(Value::Object(user.attributes().clone()), expected);
        assert_eq!(user.display_name(), "Grace Hopper");
        assert_eq!(user.email(), Some("g@example.com"));
        assert_eq!(user.key(), "grace");
        assert!(!user.active());
        assert!(read(json!({ "userName": "a" })).unwrap().active());
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for (body, code) in [
            (json!({}), "invalidValue"),
            (json!({ "userName": " " }), "invalidValue"),
            (json!({ "userName": 7.5, "active": "perhaps" }), "invalidValue"),
            (json!({ "userName": "x".repeat(255) }), "invalidValue"),
            (json!({ "userName": "a\nb" }), "invalidValue"),
            (json!({ "userName": "a", "externalId": "x".repeat(255) }), "invalidValue"),
            (json!({ "userName": "a", "title": "x".repeat(2049) }), "invalidValue"),
            (json!({ "userName": "a", "title": {} }), "invalidValue"),
            (json!({ "userName": "a", "name": 3 }), "invalidValue"),
            (json!({ "userName": "a", ENTERPRISE_ID: 3 }), "invalidValue"),
            (json!({ "userName": "a", "emails": vec!["x"; 101] }), "invalidValue"),
            (
                json!({ "userName": "a", "emails": [{ "value": "1", "primary": true },
                    { "value": "2", "primary": true }] }),
                "invalidValue",
            ),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().code(), code, "{body}");
        }
        for body in [json!([]), json!("x"), json!({ "userName": "a" })] {
            assert_eq!(User::read(body).unwrap_err().code(), "invalidSyntax");
        }
    }

    #[test]
    fn groups_are_read_with_their_members() {
        let id = Uuid::now_v7();
        let body = |members: Value| {
            json!({ "schemas": [GROUPS.schema.id], "displayName": "Ops", "externalId": "e-1",
                "Members": members })
        };
        for members in [
            json!([{ "value": id }]),
            json!([{ "VALUE": id, "type": "User", "$ref": null, "display": "x" }]),
            json!({ "value": id }),
            json!([id]),
        ] {
            let group = Group::read(body(members)).unwrap();
            assert_eq!((group.members, group.display_name.as_str()), (vec![id], "Ops"));
        }
        assert_eq!(Group::read(body(Value::Null)).unwrap().members, []);
        for members in [
            json!([{ "value": "x" }]),
            json!([{}]),
            json!(7),
            json!([{ "value": id, "type": "Group" }]),
        ] {
            assert_eq!(Group::read(body(members)).unwrap_err().code(), "invalidValue");
        }
    }

    #[test]
    fn clients_get_the_attributes_that_they_want() {
        let resource = || {
            json!({
                "schemas": ["s"], "id": "1", "userName": "grace",
                "name": { "givenName": "Grace", "familyName": "Hopper" },
                "emails": [{ "value": "a", "type": "work" }, { "value": "b" }],
                ENTERPRISE_ID: { "department": "Navy", "division": "1" },
            })
        };
        let project = |only: Option<&str>, without: Option<&str>| {
            let query = SearchQuery {
                attributes: only.map(str::to_owned),
                excluded_attributes: without.map(str::to_owned),
                ..SearchQuery::default()
            };
            query.projection(USERS).unwrap().apply(resource())
        };
        assert_eq!(project(None, None), resource());
        assert_eq!(
            project(Some("userName, name.givenName,emails.value,nothing"), None),
            json!({ "schemas": ["s"], "id": "1", "userName": "grace",
                "name": { "givenName": "Grace" }, "emails": [{ "value": "a" }, { "value": "b" }] })
        );
        let department = format!("{ENTERPRISE_ID}:department");
        assert_eq!(
            project(Some(&department), None),
            json!({ "schemas": ["s"], "id": "1", ENTERPRISE_ID: { "department": "Navy" } })
        );
        assert_eq!(
            project(None, Some(&format!("id,emails,name.familyName,{ENTERPRISE_ID}"))),
            json!({ "schemas": ["s"], "id": "1", "userName": "grace",
                "name": { "givenName": "Grace" } })
        );
        let wants = |only: Option<&str>, without: Option<&str>| {
            let query = SearchQuery {
                attributes: only.map(str::to_owned),
                excluded_attributes: without.map(str::to_owned),
                ..SearchQuery::default()
            };
            query.projection(GROUPS).unwrap().wants("members")
        };
        assert!(wants(None, None));
        assert!(wants(Some("members.value"), None));
        assert!(wants(None, Some("members.display")));
        assert!(!wants(Some("displayName"), None));
        assert!(!wants(None, Some("Members")));
    }

    #[test]
    fn pages_are_within_bounds() {
        let read = |start_index, count| {
            let search = SearchQuery { start_index, count, ..SearchQuery::default() };
            let search = search.read(USERS).unwrap();
            (search.offset, search.limit)
        };
        assert_eq!(read(None, None), (0, 200));
        assert_eq!(read(Some(0), Some(-3)), (0, 0));
        assert_eq!(read(Some(11), Some(5000)), (10, 1000));
        assert_eq!(read(Some(i64::MIN), Some(i64::MAX)), (0, 1000));
    }

    #[test]
    fn sorting_goes_by_the_primary_value_and_the_case_rule() {
        let key = |path: &str, value: Value| Sort::read(path, USERS, false).unwrap().key(&value);
        assert_eq!(key("username", json!({ "userName": "Grace" })), (false, "grace".into()));
        assert_eq!(key("externalId", json!({ "externalId": "aB" })), (false, "aB".into()));
        let emails = json!({ "emails": [{ "value": "x" }, { "value": "Y", "primary": true }] });
        assert_eq!(key("emails", emails), (false, "y".into()));
        assert_eq!(key("name.givenName", json!({})), (true, String::new()));
        assert!(Sort::read("nothing", USERS, false).is_err());
    }
}
