//! The name that stands in an object that is being made, for the audit log: in JSON, and in
//! Protocol Buffers, which newer versions of `kubectl create` send.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>

use serde::Deserialize;

/// What Protocol Buffers begin with.
const MAGIC: &[u8] = b"k8s\0";
/// The object's bytes in the envelope around them.
const RAW: u64 = 2;
/// The metadata of an object, which all kinds have in the same place.
const METADATA: u64 = 1;
/// The name in that.
const NAME: u64 = 1;
/// What the cluster makes a name from.
const GENERATE_NAME: u64 = 2;

/// Whether names can be read from bodies of this type.
pub(super) fn is_readable(content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or_default().trim();
    matches!(plain, "application/json" | "application/vnd.kubernetes.protobuf")
}

/// The name, or what it will begin with.
pub(super) fn of(object: &[u8]) -> Option<String> {
    let (name, begin) = match object.strip_prefix(MAGIC) {
        Some(envelope) => in_protobuf(envelope)?,
        None => in_json(object)?,
    };
    Some(if name.is_empty() { format!("{begin}…") } else { name })
}

fn in_json(object: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        #[serde(default)]
        name: String,
        #[serde(default)]
        generate_name: String,
    }
    let Named { metadata } = serde_json::from_slice(object).ok()?;
    Some((metadata.name, metadata.generate_name))
}

fn in_protobuf(envelope: &[u8]) -> Option<(String, String)> {
    let metadata = part(part(envelope, RAW)?, METADATA)?;
    let text = |field| {
        let bytes = part(metadata, field).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    Some((text(NAME), text(GENERATE_NAME)))
}

/// The bytes of a field of a message.
fn part(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                varint(&mut message)?;
            }
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (content, rest) = message.split_at_checked(length)?;
                if tag >> 3 == wanted {
                    return Some(content);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_forms() {
        let json = br#"{"kind":"Pod","metadata":{"name":"web"}}"#;
        assert_eq!(of(json).as_deref(), Some("web"));
        let json = br#"{"kind":"Pod","metadata":{"generateName":"web-"}}"#;
        assert_eq!(of(json).as_deref(), Some("web-…"));
        // Kind and version, then the object: metadata with a name and a generation, and a spec.
        let protobuf = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x0d\x0a\x07\x0a\x03web\x38\x01\x12\x02\x0a\x00\x1a\x00";
        assert_eq!(of(protobuf).as_deref(), Some("web"));
    }

    #[test]
    fn what_is_neither_has_no_name() {
        for bytes in
            [&b"metadata: {name: web}"[..], b"k8s\0", b"k8s\0\x12\xff", b"k8s\0\x12\x7f\x0a", b""]
        {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
        assert!(is_readable("application/json; charset=utf-8"));
        assert!(!is_readable("application/yaml"));
    }
}
