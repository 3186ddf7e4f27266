//! `x-drover-ingress`: how people reach a service over HTTP.

use super::{Reader, join};
use crate::{
    Ingress,
    yaml::{Node, Value},
};

const KEYS: [&str; 6] = ["host", "path", "port", "tls", "class", "annotations"];

impl Reader<'_> {
    /// One entry, or a list of them. A bare text is a host name.
    pub(super) fn ingress(&mut self, node: &Node, path: &str) -> Vec<Ingress> {
        match &node.value {
            Value::List(items) => items.iter().map(|item| self.ingress_entry(item, path)).collect(),
            _ => vec![self.ingress_entry(node, path)],
        }
    }

    fn ingress_entry(&mut self, node: &Node, path: &str) -> Ingress {
        let mut entry = Ingress { path: "/".into(), ..Ingress::default() };
        if node.text().is_some() {
            entry.host = self.ingress_host(node, path);
            return entry;
        }
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "host" => entry.host = self.ingress_host(node, &path),
                "path" => {
                    let what = "a path that begins with `/`, without spaces";
                    let fits = |text: &str| {
                        text.starts_with('/')
                            && text.len() <= 1024
                            && text.chars().all(|c| c.is_ascii_graphic())
                    };
                    let parsed =
                        self.parsed(node, &path, what, |text| fits(text).then(|| text.to_owned()));
                    entry.path = parsed.unwrap_or(entry.path);
                }
                "port" => {
                    let port = self.parsed(node, &path, "a port (1 to 65,535)", |text| {
                        text.parse().ok().filter(|port| *port != 0)
                    });
                    entry.port = port.unwrap_or_default();
                }
                "tls" => entry.tls = self.text(node, &path),
                "class" => entry.class = self.text(node, &path),
                "annotations" => entry.annotations = self.pairs(node, &path),
                _ => self.unknown(key, &path, &KEYS),
            }
        }
        if entry.tls.is_some() && entry.host.is_none() {
            self.error(
                node,
                path,
                "missing",
                "`tls` needs the `host` that its certificate is for.",
            );
        }
        entry
    }

    /// A host name, perhaps with `*.` before it.
    fn ingress_host(&mut self, node: &Node, path: &str) -> Option<String> {
        let what = "a host name such as `blog.example.com`";
        self.parsed(node, path, what, |text| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            let fits = name.len() <= 253 && name.split('.').all(super::top::is_label);
            fits.then(|| text.to_owned())
        })
    }
}
