//! The attributes of users and groups (RFC 7643), as a table: `Schemas` shows it, and reading
//! resources, filters and patches go by it.

use serde_json::{Value, json};

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Boolean,
    DateTime,
    /// An address or the id of a resource.
    Reference,
    /// Has sub-attributes.
    Complex,
}

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub multi_valued: bool,
    pub case_exact: bool,
    pub required: bool,
    pub read_only: bool,
    unique: bool,
    returned_always: bool,
    pub sub: &'static [Attribute],
    description: &'static str,
}

const fn attribute(name: &'static str, kind: Kind, description: &'static str) -> Attribute {
    Attribute {
        name,
        kind,
        multi_valued: false,
        case_exact: false,
        required: false,
        read_only: false,
        unique: false,
        returned_always: false,
        sub: &[],
        description,
    }
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    attribute(name, Kind::Text, description)
}

const fn complex(
    name: &'static str,
    sub: &'static [Attribute],
    description: &'static str,
) -> Attribute {
    Attribute { sub, ..attribute(name, Kind::Complex, description) }
}

/// Several values with a type each, one of them the primary.
const fn several(
    name: &'static str,
    sub: &'static [Attribute],
    description: &'static str,
) -> Attribute {
    Attribute { multi_valued: true, ..complex(name, sub, description) }
}

impl Attribute {
    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    const fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    const fn always(self) -> Self {
        Self { returned_always: true, ..self }
    }

    /// The sub-attribute of this name, in whatever case.
    pub fn sub(&self, name: &str) -> Option<&'static Attribute> {
        find(self.sub, name)
    }

    fn to_json(self) -> Value {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Boolean => "boolean",
            Kind::DateTime => "dateTime",
            Kind::Reference => "reference",
            Kind::Complex => "complex",
        };
        let mut value = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "mutability": if self.read_only { "readOnly" } else { "readWrite" },
            "returned": if self.returned_always { "always" } else { "default" },
        });
        match self.kind {
            Kind::Text => {
                value["caseExact"] = self.case_exact.into();
                value["uniqueness"] = if self.unique { "server" } else { "none" }.into();
            }
            Kind::Reference => {
                value["caseExact"] = self.case_exact.into();
                value["referenceTypes"] = json!(["external", "uri", "User", "Group"]);
            }
            Kind::Complex => {
                value["subAttributes"] = self.sub.iter().map(|sub| sub.to_json()).collect();
            }
            Kind::Boolean | Kind::DateTime => {}
        }
        value
    }
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub id: &'static str,
    name: &'static str,
    description: &'static str,
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// As `Schemas` shows it.
    pub fn to_json(&self, base: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(|one| one.to_json()).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", self.id) },
        })
    }
}

/// What every resource has (RFC 7643, 3.1).
const COMMON: &[Attribute] = &[
    Attribute {
        multi_valued: true,
        ..attribute("schemas", Kind::Reference, "The schemas of the resource.").exact().always()
    },
    text("id", "Drover's id of the resource.").exact().read_only().always(),
    text("externalId", "The id at the provider: it names the person or group for good.").exact(),
    complex(
        "meta",
        &[
            text("resourceType", "The type.").exact().read_only(),
            attribute("created", Kind::DateTime, "When it was made.").read_only(),
            attribute("lastModified", Kind::DateTime, "When it was last changed.").read_only(),
            attribute("location", Kind::Reference, "Its address.").exact().read_only(),
            text("version", "Its ETag.").exact().read_only(),
        ],
        "About the resource.",
    )
    .read_only(),
];

const TYPED: &[Attribute] = &[
    text("value", "The value."),
    text("display", "The value, for people."),
    text("type", "What it is for, e.g. `work` or `home`."),
    attribute("primary", Kind::Boolean, "Whether it is the preferred one."),
];

/// RFC 7643, 4.1.
pub(super) const USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "A person",
    attributes: &[
        text("userName", "The login.").required().unique(),
        complex(
            "name",
            &[
                text("formatted", "The whole name."),
                text("familyName", "The family name."),
                text("givenName", "The given name."),
                text("middleName", "Middle names."),
                text("honorificPrefix", "A title before the name."),
                text("honorificSuffix", "What follows the name."),
            ],
            "The parts of the name.",
        ),
        text("displayName", "The name that lists show."),
        text("nickName", "What friends say."),
        attribute("profileUrl", Kind::Reference, "The person's page."),
        text("title", "The title at work."),
        text("userType", "What the person is to the company."),
        text("preferredLanguage", "The person's language."),
        text("locale", "How numbers and dates are written."),
        text("timezone", "The time zone."),
        attribute("active", Kind::Boolean, "Whether the person may use Drover."),
        several("emails", TYPED, "Mail addresses."),
        several("phoneNumbers", TYPED, "Phone numbers."),
        several("ims", TYPED, "Addresses of instant messages."),
        several("photos", TYPED, "Addresses of pictures."),
        several(
            "addresses",
            &[
                text("formatted", "The whole address."),
                text("streetAddress", "Street and number."),
                text("locality", "The town."),
                text("region", "The region."),
                text("postalCode", "The postal code."),
                text("country", "The country, as ISO 3166 names it."),
                text("type", "What it is for, e.g. `work` or `home`."),
                attribute("primary", Kind::Boolean, "Whether it is the preferred one."),
            ],
            "Postal addresses.",
        ),
        several("entitlements", TYPED, "What the person is entitled to. Drover does not use it."),
        several("roles", TYPED, "The person's roles. Drover does not use it."),
        several(
            "groups",
            &[
                text("value", "The id of the group.").exact().read_only(),
                attribute("$ref", Kind::Reference, "Its address.").exact().read_only(),
                text("display", "Its name.").read_only(),
                text("type", "Always `direct`.").read_only(),
            ],
            "The groups that the person is in. Change the members of the group instead.",
        )
        .read_only(),
    ],
};

/// RFC 7643, 4.3.
pub(super) const ENTERPRISE: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "A person in a company",
    attributes: &[
        text("employeeNumber", "The number that the company gives."),
        text("costCenter", "The cost center."),
        text("organization", "The organization."),
        text("division", "The division."),
        text("department", "The department."),
        complex(
            "manager",
            &[
                text("value", "The id of the manager.").exact(),
                attribute("$ref", Kind::Reference, "The manager's address.").exact(),
                text("displayName", "The manager's name."),
            ],
            "The person's manager.",
        ),
    ],
};

/// RFC 7643, 4.2.
pub(super) const GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "A group of people",
    attributes: &[
        text("displayName", "The name.").required(),
        several(
            "members",
            &[
                text("value", "The id of the user.").exact(),
                attribute("$ref", Kind::Reference, "The user's address.").exact().read_only(),
                text("display", "The user's name.").read_only(),
                text("type", "Always `User`: there are no groups in groups."),
            ],
            "The people in the group.",
        ),
    ],
};

/// A type of resource.
#[derive(Debug)]
pub(super) struct ResourceType {
    pub name: &'static str,
    /// The last part of its address.
    pub endpoint: &'static str,
    pub schema: &'static Schema,
    pub extensions: &'static [&'static Schema],
}

/// People.
pub(super) const USERS: &ResourceType =
    &ResourceType { name: "User", endpoint: "Users", schema: &USER, extensions: &[&ENTERPRISE] };

/// Groups.
pub(super) const GROUPS: &ResourceType =
    &ResourceType { name: "Group", endpoint: "Groups", schema: &GROUP, extensions: &[] };

/// What a name in a filter, path or list of attributes leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// An attribute, or a part of it.
    Attribute {
        extension: Option<&'static Schema>,
        attribute: &'static Attribute,
        sub: Option<&'static Attribute>,
    },
    /// All of an extension.
    Extension(&'static Schema),
    /// Nothing that the schemas know.
    Unknown,
}

impl ResourceType {
    /// The extension of this name.
    pub fn extension(&self, id: &str) -> Option<&'static Schema> {
        self.extensions.iter().copied().find(|schema| schema.id.eq_ignore_ascii_case(id))
    }

    /// The attribute of this name outside of extensions.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(COMMON, name).or_else(|| find(self.schema.attributes, name))
    }

    /// What `name`, `name.part` or either after a schema's name and `:` leads to.
    pub fn resolve(&self, path: &str) -> Target {
        let (extension, rest) = match self.split(path) {
            Some(split) => split,
            None => (None, path),
        };
        let (name, part) = match rest.split_once('.') {
            Some((name, part)) => (name, Some(part)),
            None => (rest, None),
        };
        let attribute = match extension {
            Some(schema) if rest.is_empty() => return Target::Extension(schema),
            Some(schema) => find(schema.attributes, name),
            None => self.attribute(name),
        };
        let Some(attribute) = attribute else { return Target::Unknown };
        match part.map(|part| attribute.sub(part)) {
            None => Target::Attribute { extension, attribute, sub: None },
            Some(None) => Target::Unknown,
            Some(sub) => Target::Attribute { extension, attribute, sub },
        }
    }

    /// A path that begins with a schema's name, and what follows it.
    fn split<'a>(&self, path: &'a str) -> Option<(Option<&'static Schema>, &'a str)> {
        let after = |id: &str| {
            let begins = path.get(..id.len())?.eq_ignore_ascii_case(id);
            let rest = path.get(id.len()..).filter(|_| begins)?;
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix(':') }
        };
        if let Some(rest) = after(self.schema.id) {
            return Some((None, rest));
        }
        self.extensions.iter().find_map(|schema| Some((Some(*schema), after(schema.id)?)))
    }

    /// As `ResourceTypes` shows it.
    pub fn to_json(&self, base: &str) -> Value {
        let extensions: Vec<_> = self
            .extensions
            .iter()
            .map(|schema| json!({ "schema": schema.id, "required": false }))
            .collect();
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": self.name,
            "name": self.name,
            "endpoint": format!("/{}", self.endpoint),
            "description": self.schema.description,
            "schema": self.schema.id,
            "schemaExtensions": extensions,
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{base}/ResourceTypes/{}", self.name),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        match USERS.resolve(path) {
            Target::Attribute { extension, attribute, sub } => format!(
                "{}{}{}",
                extension.map_or("", |_| "+"),
                attribute.name,
                sub.map(|sub| format!(".{}", sub.name)).unwrap_or_default()
            ),
            Target::Extension(schema) => schema.name.to_owned(),
            Target::Unknown => "?".to_owned(),
        }
    }

    #[test]
    fn names_lead_to_attributes_in_any_case() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        for (path, expected) in [
            ("USERNAME".to_owned(), "userName"),
            ("name.GivenName".to_owned(), "name.givenName"),
            ("meta.lastModified".to_owned(), "meta.lastModified"),
            (format!("{core}:emails.value"), "emails.value"),
            (format!("{enterprise}:manager.value"), "+manager.value"),
            (format!("{}:DEPARTMENT", enterprise.to_uppercase()), "+department"),
            (enterprise.to_owned(), "EnterpriseUser"),
            ("department".to_owned(), "?"),
            ("name.nothing".to_owned(), "?"),
            ("urn:example:User:userName".to_owned(), "?"),
            (format!("{core}userName"), "?"),
            (String::new(), "?"),
        ] {
            assert_eq!(name(&path), expected, "{path}");
        }
    }
}
