//! The v2 document as protobuf, in the messages of gnostic's `OpenAPIv2.proto`: only the fields
//! that clients of Kubernetes read.

use serde_json::Value;

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or(0));
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u64, on: bool) {
        if on {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, field: u64, inner: Self) {
        self.bytes(field, &inner.0);
    }
}

/// `Document`.
pub fn document(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(2, &document["info"]["version"]);
    out.message(2, info);
    let mut paths = Message::default();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let mut named = Message::default();
        named.bytes(1, path.as_bytes());
        named.message(2, path_item(item));
        paths.message(2, named);
    }
    out.message(8, paths);
    let mut definitions = Message::default();
    for (name, item) in document["definitions"].as_object().into_iter().flatten() {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, schema(item));
        definitions.message(1, named);
    }
    out.message(9, definitions);
    out.0
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if item[method].is_object() {
            out.message(field, operation(&item[method]));
        }
    }
    out
}

fn operation(item: &Value) -> Message {
    let mut out = Message::default();
    for parameter in item["parameters"].as_array().into_iter().flatten() {
        let mut inner = Message::default();
        let mut holder = Message::default();
        if parameter["in"] == "body" {
            // BodyParameter
            inner.text(2, &parameter["name"]);
            inner.text(3, &parameter["in"]);
            inner.flag(4, true);
            inner.message(5, schema(&parameter["schema"]));
            holder.message(1, inner);
        } else {
            // NonBodyParameter: QueryParameterSubSchema
            inner.text(2, &parameter["in"]);
            inner.text(4, &parameter["name"]);
            inner.text(6, &parameter["type"]);
            let mut query = Message::default();
            query.message(3, inner);
            holder.message(2, query);
        }
        let mut entry = Message::default();
        entry.message(1, holder);
        out.message(8, entry);
    }
    let mut response = Message::default();
    response.bytes(1, b"OK");
    let mut value = Message::default();
    value.message(1, response);
    let mut named = Message::default();
    named.bytes(1, b"200");
    named.message(2, value);
    let mut responses = Message::default();
    responses.message(1, named);
    out.message(9, responses);
    for extension in extensions(item) {
        out.message(13, extension);
    }
    out
}

/// `Schema`.
fn schema(item: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, &item["$ref"]);
    out.text(2, &item["format"]);
    out.text(4, &item["description"]);
    for name in item["required"].as_array().into_iter().flatten() {
        out.text(19, name);
    }
    match &item["additionalProperties"] {
        Value::Bool(on) => {
            let mut inner = Message::default();
            inner.varint(2 << 3);
            inner.varint(u64::from(*on));
            out.message(21, inner);
        }
        Value::Object(_) => {
            let mut inner = Message::default();
            inner.message(1, schema(&item["additionalProperties"]));
            out.message(21, inner);
        }
        _ => {}
    }
    if item["type"].is_string() {
        let mut kind = Message::default();
        kind.text(1, &item["type"]);
        out.message(22, kind);
    }
    if item["items"].is_object() {
        let mut items = Message::default();
        items.message(1, schema(&item["items"]));
        out.message(23, items);
    }
    if let Some(fields) = item["properties"].as_object() {
        let mut properties = Message::default();
        for (name, field) in fields {
            let mut named = Message::default();
            named.bytes(1, name.as_bytes());
            named.message(2, schema(field));
            properties.message(1, named);
        }
        out.message(25, properties);
    }
    for extension in extensions(item) {
        out.message(31, extension);
    }
    out
}

/// `NamedAny` of each extension, as YAML (JSON is YAML).
fn extensions(item: &Value) -> Vec<Message> {
    item.as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("x-"))
        .map(|(name, value)| {
            let mut any = Message::default();
            any.bytes(2, format!("{value}\n").as_bytes());
            let mut named = Message::default();
            named.bytes(1, name.as_bytes());
            named.message(2, any);
            named
        })
        .collect()
}
