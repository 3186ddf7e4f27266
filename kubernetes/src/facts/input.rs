//! The parts of objects that are read; everything else is skipped while parsing.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::index::{Owner, Pool};

/// An object: its metadata, and what the type's reader wants of the rest.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default, T: Deserialize<'de> + Default"))]
pub struct Object<'a, S, T> {
    #[serde(borrow, default)]
    pub metadata: Meta<'a>,
    #[serde(default, deserialize_with = "or_default")]
    pub spec: S,
    #[serde(default, deserialize_with = "or_default")]
    pub status: T,
}

/// What is read of every object's metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    pub resource_version: Cow<'a, str>,
    pub creation_timestamp: Moment,
    pub deletion_timestamp: Option<Moment>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub labels: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub finalizers: Vec<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub annotations: Annotations<'a>,
    pub generation: i64,
}

/// The annotations that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations<'a> {
    #[serde(borrow, rename = "deployment.kubernetes.io/revision")]
    pub revision: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(default)]
    controller: Option<bool>,
}

impl OwnerReference<'_> {
    pub fn pooled(&self, pool: &mut Pool) -> Owner {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        Owner {
            kind: pool.text(&self.kind),
            group: pool.text(group),
            name: pool.text(&self.name),
            uid: pool.text(&self.uid),
            controller: self.controller.unwrap_or_default(),
        }
    }
}

/// Labels, or any other map of texts, in the order that they come.
#[derive(Debug, Default)]
pub struct Labels<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Labels<'_> {
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Labels<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("labels")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut labels = Vec::new();
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    labels.push((key, value));
                }
                Ok(Labels(labels))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// A text that is borrowed where it can be.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A moment, in seconds since the Unix epoch; 0 for none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    pub fn known(self) -> Option<i64> {
        (self.0 > 0).then_some(self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<Text<'de>> = Option::deserialize(deserializer)?;
        // A moment that cannot be read spoils no list.
        let read = |text: Text<'_>| OffsetDateTime::parse(&text.0, &Rfc3339).ok();
        Ok(Self(text.and_then(read).map_or(0, OffsetDateTime::unix_timestamp)))
    }
}

/// `null` for an empty value, as Go writes it.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A number or a text, as ports are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Port(pub String);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Name(String),
        }
        Ok(match Option::deserialize(deserializer)? {
            Some(Either::Number(number)) => Self(number.to_string()),
            Some(Either::Name(name)) => Self(name),
            None => Self::default(),
        })
    }
}

/// Nothing is read of it.
#[derive(Debug, Default)]
pub struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A condition of a status.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub reason: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub message: Cow<'a, str>,
    pub last_transition_time: Moment,
}

impl Condition<'_> {
    pub fn is(&self, kind: &str, status: &str) -> bool {
        self.kind == kind && self.status == status
    }
}

/// Makes a sentence of a message, of at most some 400 characters.
pub fn sentence(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = line.floor_char_boundary(400);
    let mut text = line[..cut].to_owned();
    if cut < line.len() {
        text.push('…');
    } else if !text.is_empty() && !text.ends_with(['.', '!', '?', '…']) {
        text.push('.');
    }
    text
}
