//! Keys that stand twice in a body. The last one counts; strict field validation refuses them, and
//! other readers only warn.

use std::{collections::HashSet, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// What is said of them, in the words of the reader of each form.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Twice {
    /// One sentence for each.
    pub said: Vec<String>,
    is_yaml: bool,
}

/// More are not looked for.
const MOST: usize = 20;

impl Twice {
    /// Those of a JSON text.
    pub fn in_json(text: &[u8]) -> Self {
        let mut walk = Walk::default();
        let mut reader = serde_json::Deserializer::from_slice(text);
        // What cannot be read at all is said by whoever reads it.
        let _ = walk.value().deserialize(&mut reader);
        let said = walk.found.iter().take(MOST);
        Self {
            said: said.map(|path| format!("duplicate field \"{path}\"")).collect(),
            is_yaml: false,
        }
    }

    /// Those of a YAML text, which are told by their lines: the reader is stopped at each in turn,
    /// and says where it is.
    pub fn in_yaml(text: &[u8]) -> Self {
        let mut said = Vec::new();
        while said.len() < MOST {
            let mut walk = Walk { stop_at: Some(said.len() + 1), ..Walk::default() };
            let reader = serde_norway::Deserializer::from_slice(text);
            let Err(error) = walk.value().deserialize(reader) else { break };
            let (Some(key), Some(at)) = (walk.stopped, error.location()) else { break };
            said.push(format!("line {}: key {key:?} already set in map", at.line()));
        }
        Self { said, is_yaml: true }
    }

    /// The whole in one sentence, if there is something to say.
    pub fn sentence(&self) -> Option<String> {
        if self.said.is_empty() {
            return None;
        }
        Some(match self.is_yaml {
            true => format!("yaml: unmarshal errors:\n  {}", self.said.join("\n  ")),
            false => self.said.join(", "),
        })
    }
}

#[derive(Default)]
struct Walk {
    path: String,
    found: Vec<String>,
    /// At which of them to stop.
    stop_at: Option<usize>,
    /// The key that it stopped at.
    stopped: Option<String>,
}

impl Walk {
    fn value(&mut self) -> Below<'_> {
        Below(self)
    }

    /// Looks at what stands below a part of the path.
    fn within<T>(&mut self, part: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        self.path.push_str(part);
        let result = look(self);
        self.path.truncate(before);
        result
    }
}

/// A value.
struct Below<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

macro_rules! leaves {
    ($($name:ident: $kind:ty),*) => {
        $(fn $name<E: Error>(self, _: $kind) -> Result<(), E> { Ok(()) })*
    };
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        for index in 0.. {
            let part = format!("[{index}]");
            let more = self.0.within(&part, |walk| entries.next_element_seed(Below(walk)))?;
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut known = HashSet::new();
        while let Some(key) = fields.next_key_seed(Key { walk: self.0, known: &known })? {
            let part = match self.0.path.is_empty() {
                true => key.clone(),
                false => format!(".{key}"),
            };
            known.insert(key);
            self.0.within(&part, |walk| fields.next_value_seed(Below(walk)))?;
        }
        Ok(())
    }

    // Tagged values of YAML.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(reader).map(drop)
    }
}

/// A key of a map: where it stands in the text, its error stands too.
struct Key<'a> {
    walk: &'a mut Walk,
    known: &'a HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<String, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.known.contains(key) {
            let dot = if self.walk.path.is_empty() { "" } else { "." };
            self.walk.found.push(format!("{}{dot}{key}", self.walk.path));
            if self.walk.stop_at == Some(self.walk.found.len()) {
                self.walk.stopped = Some(key.to_owned());
                return Err(E::custom("it stands twice"));
            }
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stand_twice_are_found() {
        let text = br#"{"metadata":{"name":"a","name":"b"},"list":[{"x":1},{"y":{"z":1,"z":2}}]}"#;
        let twice = Twice::in_json(text);
        assert_eq!(
            twice.sentence().unwrap(),
            "duplicate field \"metadata.name\", duplicate field \"list[1].y.z\""
        );
        assert_eq!(Twice::in_json(br#"{"a":{"b":1},"c":{"b":1}}"#), Twice::default());
    }

    #[test]
    fn in_yaml_they_are_told_by_their_lines() {
        let text =
            b"kind: ConfigMap\nmetadata: {labels: {a: b, a: c}}\ndata:\n  x: '1'\n  x: '2'\n";
        assert_eq!(
            Twice::in_yaml(text).sentence().unwrap(),
            "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map\n  line 5: key \"x\" already set in map"
        );
        assert_eq!(Twice::in_yaml(b"a: 1\nb: [1, {c: 2}]\n").sentence(), None);
        assert_eq!(Twice::in_yaml(b"a: [\n").sentence(), None);
    }
}
