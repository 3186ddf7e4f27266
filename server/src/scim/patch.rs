//! PATCH (RFC 7644, 3.5.2), also in the shapes that Entra ID and Okta really send: operations in
//! capital letters, truth as text, values without a path under names with dots, members to remove
//! as a value.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    error::{invalid_filter, invalid_path, invalid_syntax, invalid_value, mutability, no_target},
    filter::{Filter, PatchPath},
    model::{self, Attributes, User, check_schema, check_values, normal, normal_one, take},
    schema::{Attribute, GROUPS, ResourceType, Target, USERS},
};
use crate::error::Result;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations of a request.
const MOST_OPERATIONS: usize = 1000;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// An operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    verb: Verb,
    path: Option<String>,
    value: Value,
}

/// Reads the operations of a body.
pub(super) fn read(body: Value) -> Result<Vec<Operation>> {
    let Value::Object(mut body) = body else {
        return Err(invalid_syntax("The body is not a JSON object."));
    };
    check_schema(&mut body, SCHEMA)?;
    let Some(Value::Array(all)) = take(&mut body, "Operations") else {
        return Err(invalid_syntax("`Operations` is a list of operations."));
    };
    if all.is_empty() || all.len() > MOST_OPERATIONS {
        return Err(invalid_syntax(format!("A request has 1 to {MOST_OPERATIONS} operations.")));
    }
    all.into_iter().map(operation).collect()
}

fn operation(value: Value) -> Result<Operation> {
    let Value::Object(mut fields) = value else {
        return Err(invalid_syntax("An operation is an object with `op`, `path` and `value`."));
    };
    let verb = match take(&mut fields, "op") {
        Some(Value::String(verb)) => verb.to_ascii_lowercase(),
        _ => String::new(),
    };
    let verb = match verb.as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(invalid_syntax("`op` is `add`, `replace` or `remove`.")),
    };
    let path = match take(&mut fields, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.trim().is_empty() => None,
        Some(Value::String(path)) => Some(path),
        Some(_) => return Err(invalid_path("`path` is a text.")),
    };
    let value = take(&mut fields, "value");
    if value.is_none() && verb != Verb::Remove {
        return Err(invalid_value("`add` and `replace` need a `value`."));
    }
    if verb == Verb::Remove && path.is_none() {
        return Err(no_target("`remove` needs a `path`."));
    }
    Ok(Operation { verb, path, value: value.unwrap_or_default() })
}

/// The fields of the value of an operation without a path, each as if it were the path.
fn fields(value: Value) -> Result<Attributes> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(invalid_value("Without a `path`, the value is an object.")),
    }
}

// ---- users

/// A user as the operations leave them.
pub(super) fn apply(user: User, operations: Vec<Operation>) -> Result<User> {
    let mut attributes = user.into_attributes();
    for Operation { verb, path, value } in operations {
        match path {
            Some(path) => {
                let path = PatchPath::parse(&path, USERS)?;
                if matches!(path.target, Target::Unknown) {
                    return Err(unknown(USERS));
                }
                at(&mut attributes, verb, &path, value, false)?;
            }
            None => {
                for (key, value) in fields(value)? {
                    let path = PatchPath::parse(&key, USERS)?;
                    at(&mut attributes, verb, &path, value, true)?;
                }
            }
        }
    }
    User::from_attributes(attributes)
}

fn unknown(of: &ResourceType) -> crate::error::Error {
    invalid_path(format!("The path names no attribute of a {}; see Schemas.", of.name))
}

/// Does one operation. `lenient`: passes over what clients may not change, as a POST does.
fn at(
    user: &mut Attributes,
    verb: Verb,
    path: &PatchPath,
    value: Value,
    lenient: bool,
) -> Result<()> {
    let (extension, attribute, sub) = match path.target {
        Target::Unknown => return Ok(()),
        Target::Extension(schema) => {
            if verb == Verb::Remove {
                user.remove(schema.id);
                return Ok(());
            }
            for (key, value) in fields(value)? {
                let path = PatchPath::parse(&format!("{}:{key}", schema.id), USERS)?;
                at(user, verb, &path, value, true)?;
            }
            return Ok(());
        }
        Target::Attribute { extension, attribute, sub } => (extension, attribute, sub),
    };
    if attribute.read_only || sub.is_some_and(|sub| sub.read_only) || attribute.name == "schemas" {
        let why = format!("`{}` is not for clients to change.", attribute.name);
        return if lenient { Ok(()) } else { Err(mutability(why)) };
    }
    let Some(schema) = extension else {
        return change(user, verb, attribute, sub, path.element.as_ref(), value);
    };
    let inner = user.entry(schema.id).or_insert_with(|| json!({}));
    let Value::Object(inner) = inner else {
        return Err(crate::error::Error::internal("a stored extension is no object"));
    };
    change(inner, verb, attribute, sub, path.element.as_ref(), value)?;
    if inner.is_empty() {
        user.remove(schema.id);
    }
    Ok(())
}

fn change(
    holder: &mut Attributes,
    verb: Verb,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
    element: Option<&Filter>,
    value: Value,
) -> Result<()> {
    let before = holder.remove(attribute.name);
    let after = if attribute.multi_valued {
        let values = match before {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        let values = change_values(values, verb, attribute, sub, element, value)?;
        (!values.is_empty()).then(|| values.into())
    } else if element.is_some() {
        return Err(invalid_path(format!("`{}` does not have several values.", attribute.name)));
    } else {
        change_single(before, verb, attribute, sub, value)?
    };
    if let Some(after) = after {
        holder.insert(attribute.name.into(), after);
    }
    Ok(())
}

fn change_single(
    before: Option<Value>,
    verb: Verb,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
    value: Value,
) -> Result<Option<Value>> {
    if let Some(sub) = sub {
        let mut object = before.unwrap_or_else(|| json!({}));
        set_part(&mut object, sub, if verb == Verb::Remove { Value::Null } else { value })?;
        return Ok(Some(object).filter(|object| *object != json!({})));
    }
    if verb == Verb::Remove {
        if attribute.required {
            return Err(mutability(format!("`{}` cannot be removed.", attribute.name)));
        }
        return Ok(None);
    }
    // Parts that are not named stay.
    match (before, normal(attribute, value)?) {
        (Some(Value::Object(mut before)), Some(Value::Object(after))) => {
            before.extend(after);
            Ok(Some(before.into()))
        }
        (_, after) => Ok(after),
    }
}

/// Sets or, with null, removes a part of a value.
fn set_part(object: &mut Value, sub: &'static Attribute, value: Value) -> Result<()> {
    let Value::Object(object) = object else {
        return Err(invalid_path(format!(
            "There is no `{}` in a value that has no parts.",
            sub.name
        )));
    };
    match normal_one(sub, value)? {
        Some(value) => object.insert(sub.name.into(), value),
        None => object.remove(sub.name),
    };
    Ok(())
}

fn change_values(
    before: Vec<Value>,
    verb: Verb,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
    element: Option<&Filter>,
    value: Value,
) -> Result<Vec<Value>> {
    let mut values = before.clone();
    let meant = |one: &Value| element.is_none_or(|filter| filter.matches(one));
    match (verb, sub) {
        (Verb::Remove, Some(sub)) => {
            for one in values.iter_mut().filter(|one| meant(one)) {
                set_part(one, sub, Value::Null)?;
            }
        }
        (Verb::Remove, None) if element.is_none() && !value.is_null() => {
            // Not in the RFC, and sent: only these values.
            let named = given(attribute, value)?;
            values.retain(|one| !named.iter().any(|named| same(one, named)));
        }
        (Verb::Remove, None) => values.retain(|one| !meant(one)),
        (_, Some(sub)) => {
            if !values.iter().any(meant) {
                values.push(first(verb, attribute, element)?);
            }
            for one in values.iter_mut().filter(|one| meant(one)) {
                set_part(one, sub, value.clone())?;
            }
        }
        (_, None) if element.is_some() => {
            let Some(Value::Object(parts)) = normal_one(attribute, value)? else {
                return Err(invalid_value(format!(
                    "A value of `{}` is an object.",
                    attribute.name
                )));
            };
            if !values.iter().any(meant) {
                values.push(first(verb, attribute, element)?);
            }
            for one in values.iter_mut().filter(|one| meant(one)) {
                if let Value::Object(one) = one {
                    one.extend(parts.clone());
                }
            }
        }
        (Verb::Add, None) => {
            for new in given(attribute, value)? {
                match values.iter_mut().find(|one| same(one, &new)) {
                    Some(one) => *one = new,
                    None => values.push(new),
                }
            }
        }
        (Verb::Replace, None) => values = given(attribute, value)?,
    }
    values.retain(|one| *one != json!({}));
    let primary = |one: &Value| one["primary"] == true;
    if values.iter().filter(|one| primary(one)).count() > 1 {
        // The new primary value takes the place of the one before (RFC 7644, 3.5.2).
        for one in values.iter_mut().filter(|one| primary(one) && before.contains(one)) {
            one["primary"] = false.into();
        }
    }
    check_values(attribute, &values)?;
    Ok(values)
}

/// The values of an operation.
fn given(attribute: &'static Attribute, value: Value) -> Result<Vec<Value>> {
    Ok(match normal(attribute, value)? {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    })
}

/// Whether two values are of one thing: the same `value` for the same purpose.
fn same(a: &Value, b: &Value) -> bool {
    if a["value"].is_null() && b["value"].is_null() {
        return a == b;
    }
    let purpose = b["type"].is_null() || a["type"] == b["type"];
    a["value"] == b["value"] && purpose
}

/// The value that an operation makes where its filter finds none.
fn first(verb: Verb, attribute: &'static Attribute, element: Option<&Filter>) -> Result<Value> {
    let Some(filter) = element else { return Ok(json!({})) };
    let nothing = || no_target(format!("No value of `{}` matches the path.", attribute.name));
    if verb == Verb::Replace {
        return Err(nothing());
    }
    let mut made = Attributes::new();
    for (key, value) in filter.template().ok_or_else(nothing)? {
        made.insert(key.into(), value);
    }
    let made = Value::Object(made);
    if filter.matches(&made) { Ok(made) } else { Err(nothing()) }
}

// ---- groups

/// What operations change of a group. Members are not read for it: a group may have thousands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GroupChange {
    pub display_name: Option<String>,
    /// `Some(None)`: the group has none any more.
    pub external_id: Option<Option<String>>,
    /// All that were in it leave first.
    pub clear: bool,
    pub add: HashSet<Uuid>,
    pub remove: HashSet<Uuid>,
}

impl GroupChange {
    /// What the operations change.
    pub fn read(operations: Vec<Operation>) -> Result<Self> {
        let mut change = Self::default();
        for Operation { verb, path, value } in operations {
            match path {
                Some(path) => {
                    let path = PatchPath::parse(&path, GROUPS)?;
                    if matches!(path.target, Target::Unknown | Target::Extension(_)) {
                        return Err(unknown(GROUPS));
                    }
                    change.at(verb, &path, value, false)?;
                }
                None => {
                    for (key, value) in fields(value)? {
                        let path = PatchPath::parse(&key, GROUPS)?;
                        change.at(verb, &path, value, true)?;
                    }
                }
            }
        }
        Ok(change)
    }

    fn at(&mut self, verb: Verb, path: &PatchPath, value: Value, lenient: bool) -> Result<()> {
        let Target::Attribute { attribute, sub, .. } = path.target else { return Ok(()) };
        match (attribute.name, sub) {
            ("members", None) => self.members(verb, path.element.as_ref(), value),
            ("displayName", _) if path.element.is_none() => {
                let name = if verb == Verb::Remove { Value::Null } else { value };
                match normal_one(attribute, name)? {
                    Some(Value::String(name)) if !name.trim().is_empty() => {
                        self.display_name = Some(name);
                        Ok(())
                    }
                    _ => Err(mutability("`displayName` cannot be removed.")),
                }
            }
            ("externalId", _) if path.element.is_none() => {
                let id = if verb == Verb::Remove { Value::Null } else { value };
                let id = normal_one(attribute, id)?.and_then(|id| id.as_str().map(str::to_owned));
                self.external_id = Some(id.filter(|id| !id.is_empty()));
                Ok(())
            }
            ("members", Some(_)) => {
                Err(invalid_path("Members are added and removed whole: use the path `members`."))
            }
            // Okta sends the id beside a new name.
            _ if lenient => Ok(()),
            (name, _) => Err(mutability(format!("`{name}` is not for clients to change."))),
        }
    }

    fn members(&mut self, verb: Verb, element: Option<&Filter>, value: Value) -> Result<()> {
        match (verb, element) {
            (Verb::Remove, Some(filter)) => {
                let Some(picked) = filter.picked() else {
                    return Err(invalid_filter(
                        "Members are picked by their ids: `members[value eq \"…\"]`.",
                    ));
                };
                // Who is not a user's id is not in the group.
                for id in picked.into_iter().filter_map(|id| id.parse().ok()) {
                    self.remove_one(id);
                }
            }
            (Verb::Remove, None) if value.is_null() => self.remove_all(),
            (Verb::Remove, None) => {
                for id in model::member_ids(value)? {
                    self.remove_one(id);
                }
            }
            (_, Some(_)) => {
                return Err(invalid_path(
                    "Members are added and removed whole: use the path `members`.",
                ));
            }
            (Verb::Add, None) => {
                for id in model::member_ids(value)? {
                    self.add_one(id);
                }
            }
            (Verb::Replace, None) => {
                self.remove_all();
                self.add = model::member_ids(value)?.into_iter().collect();
            }
        }
        Ok(())
    }

    fn add_one(&mut self, id: Uuid) {
        self.remove.remove(&id);
        self.add.insert(id);
    }

    fn remove_one(&mut self, id: Uuid) {
        self.add.remove(&id);
        self.remove.insert(id);
    }

    fn remove_all(&mut self) {
        self.clear = true;
        self.add.clear();
        self.remove.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn grace() -> User {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "grace",
            "externalId": "e-1",
            "name": { "givenName": "Grace", "familyName": "Hopper" },
            "emails": [{ "value": "g@work.example", "type": "work", "primary": true },
                { "value": "g@home.example", "type": "home" }],
            ENTERPRISE: { "department": "Navy" },
        });
        User::read(user).unwrap()
    }

    fn operations(operations: Value) -> Result<Vec<Operation>> {
        read(json!({ "schemas": [SCHEMA], "Operations": operations }))
    }

    fn patched(all: Value) -> Value {
        let user = operations(all.clone()).and_then(|all| apply(grace(), all));
        let user = user.unwrap_or_else(|error| panic!("{all}: {error}"));
        user.attributes().clone().into()
    }

    #[test]
    fn users_change_as_entra_and_okta_ask() {
        let before = Value::Object(grace().attributes().clone());
        // (operation, pointer to what has changed, its value)
        for (operation, pointer, expected) in [
            (
                json!({ "op": "Replace", "path": "active", "value": "False" }),
                "/active",
                json!(false),
            ),
            (json!({ "op": "replace", "value": { "active": false } }), "/active", json!(false)),
            (json!({ "op": "REPLACE", "path": "active", "value": true }), "/active", json!(true)),
            (
                json!({ "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "1" }),
                "/phoneNumbers",
                json!([{ "type": "work", "value": "1" }]),
            ),
            (
                json!({ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "x" }),
                "/emails/0",
                json!({ "value": "x", "type": "work", "primary": true }),
            ),
            (
                json!({ "op": "replace", "value": { "name.givenName": "G", "title": "Admiral",
                    "id": "x", "nothing": 1, "emails[type eq \"home\"].value": "y" } }),
                "/name/givenName",
                json!("G"),
            ),
            (
                json!({ "op": "Add", "value": { format!("{ENTERPRISE}:division"): "9" } }),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                json!({ "department": "Navy", "division": "9" }),
            ),
            (
                json!({ "op": "Add", "value": { ENTERPRISE: { "division": "9" } } }),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/division",
                json!("9"),
            ),
            (
                json!({ "op": "Replace", "path": format!("{ENTERPRISE}:manager"), "value": "m" }),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                json!({ "value": "m" }),
            ),
            (
                json!({ "op": "Remove", "path": format!("{ENTERPRISE}:department") }),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                Value::Null,
            ),
            (
                json!({ "op": "replace", "path": "name", "value": { "givenName": "G" } }),
                "/name",
                json!({ "givenName": "G", "familyName": "Hopper" }),
            ),
            (
                json!({ "op": "remove", "path": "name.givenName" }),
                "/name",
                json!({ "familyName": "Hopper" }),
            ),
            (
                json!({ "op": "remove", "path": "emails[type eq \"work\"]" }),
                "/emails",
                json!([{ "value": "g@home.example", "type": "home" }]),
            ),
            (
                json!({ "op": "remove", "path": "emails", "value": [{ "value": "g@home.example" }] }),
                "/emails",
                json!([{ "value": "g@work.example", "type": "work", "primary": true }]),
            ),
            (json!({ "op": "remove", "path": "emails" }), "/emails", Value::Null),
            (
                json!({ "op": "add", "path": "emails", "value": { "value": "n", "primary": true } }),
                "/emails/2",
                json!({ "value": "n", "primary": true }),
            ),
            (
                json!({ "op": "replace", "path": "emails", "value": [{ "value": "n" }] }),
                "/emails",
                json!([{ "value": "n" }]),
            ),
            (
                json!({ "op": "replace", "path": "emails[type eq \"home\"]",
                    "value": { "display": "Home" } }),
                "/emails/1",
                json!({ "value": "g@home.example", "type": "home", "display": "Home" }),
            ),
            (
                json!({ "op": "add", "path": "userName", "value": "hopper" }),
                "/userName",
                json!("hopper"),
            ),
            (
                json!({ "op": "replace", "path": "externalId", "value": null }),
                "/externalId",
                Value::Null,
            ),
        ] {
            let after = patched(json!([operation]));
            let found = after.pointer(pointer).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{operation}: {after}");
            let unchanged = operation["path"] == "active" && operation["value"] == true;
            assert_eq!(after == before, unchanged, "{operation}");
        }
        // The primary address that was there is so no more.
        let after = patched(json!([{ "op": "add", "path": "emails",
            "value": [{ "value": "n", "primary": true }] }]));
        assert_eq!(after["emails"][0]["primary"], false);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (operation, code) in [
            (json!({ "op": "move", "path": "active", "value": 1 }), "invalidSyntax"),
            (json!({ "path": "active", "value": 1 }), "invalidSyntax"),
            (json!("x"), "invalidSyntax"),
            (json!({ "op": "add", "path": 7, "value": 1 }), "invalidPath"),
            (json!({ "op": "add", "path": "active" }), "invalidValue"),
            (json!({ "op": "add", "value": "x" }), "invalidValue"),
            (json!({ "op": "remove" }), "noTarget"),
            (json!({ "op": "replace", "path": "nothing", "value": 1 }), "invalidPath"),
            (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
            (json!({ "op": "add", "path": "groups", "value": [{ "value": "g" }] }), "mutability"),
            (json!({ "op": "replace", "path": "meta.version", "value": "1" }), "mutability"),
            (json!({ "op": "remove", "path": "userName" }), "mutability"),
            (json!({ "op": "replace", "path": "userName", "value": "" }), "invalidValue"),
            (json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue"),
            (
                json!({ "op": "replace", "path": "emails[type eq \"x\"].value", "value": "y" }),
                "noTarget",
            ),
            (
                json!({ "op": "add", "path": "emails[type ne \"x\" and value pr].value",
                "value": "y", "extra": 1 }),
                "",
            ),
            (
                json!({ "op": "add", "path": "phoneNumbers[type ne \"x\"].value", "value": "y" }),
                "noTarget",
            ),
            (json!({ "op": "add", "path": "emails[type eq ", "value": "y" }), "invalidFilter"),
            (json!({ "op": "add", "path": "name[x eq \"y\"]", "value": "y" }), "invalidPath"),
            (
                json!({ "op": "replace", "path": "emails",
                "value": [{ "value": "1", "primary": true }, { "value": "2", "primary": true }] }),
                "invalidValue",
            ),
        ] {
            let result = operations(json!([operation])).and_then(|all| apply(grace(), all));
            let found = result.err().map(|error| error.code().to_owned()).unwrap_or_default();
            assert_eq!(found, code, "{operation}");
        }
        let many = vec![json!({ "op": "remove", "path": "title" }); 1001];
        for body in [
            json!([]),
            json!({ "schemas": [SCHEMA] }),
            json!({ "schemas": [SCHEMA], "Operations": [] }),
            json!({ "schemas": [SCHEMA], "Operations": many }),
            json!({ "Operations": [{ "op": "remove", "path": "title" }] }),
        ] {
            assert_eq!(read(body).unwrap_err().code(), "invalidSyntax");
        }
    }

    #[test]
    fn members_come_and_go_in_every_shape() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let change = |all: Value| GroupChange::read(operations(all)?);
        let set = |all: &[Uuid]| all.iter().copied().collect::<HashSet<_>>();
        let added = change(json!([{ "op": "Add", "path": "members",
            "value": [{ "$ref": null, "value": a }, { "value": b }] }]))
        .unwrap();
        assert_eq!(added, GroupChange { add: set(&[a, b]), ..GroupChange::default() });
        for shape in [
            json!({ "op": "Remove", "path": "members", "value": [{ "value": a }, { "value": b }] }),
            json!({ "op": "remove", "path": format!("members[value eq \"{a}\" or value eq \"{b}\"]") }),
        ] {
            let removed = change(json!([shape])).unwrap();
            assert_eq!(removed, GroupChange { remove: set(&[a, b]), ..GroupChange::default() });
        }
        // In their order.
        let mixed = change(json!([
            { "op": "add", "path": "members", "value": [{ "value": a }, { "value": b }] },
            { "op": "remove", "path": format!("members[value eq \"{a}\"]") },
            { "op": "replace", "value": { "id": "x", "displayName": "New" } },
            { "op": "add", "value": { "members": [{ "value": c }] } },
        ]))
        .unwrap();
        assert_eq!(mixed.display_name.as_deref(), Some("New"));
        assert_eq!((mixed.add, mixed.remove), (set(&[b, c]), set(&[a])));
        let replaced = change(json!([
            { "op": "add", "path": "members", "value": [{ "value": a }] },
            { "op": "replace", "path": "members", "value": [{ "value": b }] },
        ]))
        .unwrap();
        assert!(replaced.clear && replaced.add == set(&[b]));
        let cleared = change(json!([{ "op": "remove", "path": "members" }])).unwrap();
        assert!(cleared.clear && cleared.add.is_empty());

        for (operation, code) in [
            (
                json!({ "op": "add", "path": "members", "value": [{ "value": a, "type": "Group" }] }),
                "invalidValue",
            ),
            (
                json!({ "op": "add", "path": "members", "value": [{ "value": "x" }] }),
                "invalidValue",
            ),
            (json!({ "op": "remove", "path": "members[display eq \"x\"]" }), "invalidFilter"),
            (json!({ "op": "replace", "path": "members.value", "value": "x" }), "invalidPath"),
            (json!({ "op": "remove", "path": "displayName" }), "mutability"),
            (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
            (json!({ "op": "replace", "path": "owner", "value": "x" }), "invalidPath"),
        ] {
            assert_eq!(change(json!([operation])).unwrap_err().code(), code, "{operation}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let names = proptest::sample::select(vec![
                "value",
                "type",
                "primary",
                "members",
                "emails",
                "active",
                "name.givenName",
                "name",
                "id",
                "emails[type eq \"work\"]",
                ENTERPRISE,
                "manager",
            ]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((names, inner), 0..4).prop_map(|fields| {
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_patch_breaks_a_user(
            ops in proptest::collection::vec((
                proptest::sample::select(vec!["add", "replace", "Remove"]),
                proptest::option::of(proptest::sample::select(vec![
                    "userName", "active", "emails", "emails.value", "emails[type eq \"work\"]",
                    "emails[type eq \"x\"].value", "name", "name.givenName", "members",
                    "members[value eq \"x\"]", ENTERPRISE, "schemas", "externalId",
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
                ])),
                any_json(),
            ), 1..5)
        ) {
            let all: Vec<Value> = ops.into_iter()
                .map(|(op, path, value)| json!({ "op": op, "path": path, "value": value }))
                .collect();
            if let Ok(user) = operations(json!(all)).and_then(|all| apply(grace(), all)) {
                // What comes out would be taken as it is.
                prop_assert!(!user.user_name().is_empty());
                let mut again = Value::Object(user.attributes().clone());
                again["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
                prop_assert_eq!(User::read(again).unwrap(), user);
            }
            let _ = operations(json!(all)).and_then(GroupChange::read);
        }
    }
}
