//! Health checks that the server makes: `x-drover-health`, and Rancher's `health_check`.

use super::{Reader, join};
use crate::{HealthProbe, HealthStrategy, HttpProbe, yaml::Node};

/// No check is made more often, and none waits longer.
const SOONEST_MS: u64 = 1000;
const LONGEST_MS: u64 = 3_600_000;
const MOST_TRIES: u32 = 1000;

impl Reader<'_> {
    /// `x-drover-health`.
    pub(super) fn health(&mut self, node: &Node, path: &str) -> Option<HealthProbe> {
        let mut probe = HealthProbe::default();
        let known = [
            "port",
            "http",
            "interval",
            "timeout",
            "healthy_threshold",
            "unhealthy_threshold",
            "initializing_timeout",
            "strategy",
            "quorum",
        ];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "port" => probe.port = self.health_port(node, &path),
                "http" => probe.http = Some(self.http_probe(node, &path)),
                "interval" => self.health_duration(node, &path, &mut probe.interval_ms),
                "timeout" => self.health_duration(node, &path, &mut probe.timeout_ms),
                "initializing_timeout" => {
                    self.health_duration(node, &path, &mut probe.initializing_ms);
                }
                "healthy_threshold" => {
                    self.threshold(node, &path, &mut probe.healthy_threshold);
                }
                "unhealthy_threshold" => {
                    self.threshold(node, &path, &mut probe.unhealthy_threshold);
                }
                "strategy" => self.strategy(node, &path, &mut probe.strategy),
                "quorum" => probe.quorum = self.number(node, &path).unwrap_or(0),
                _ => self.unknown(key, &path, &known),
            }
        }
        self.whole_probe(node, path, probe)
    }

    /// Rancher's, whose times are in milliseconds.
    pub(super) fn rancher_health(&mut self, node: &Node, path: &str) -> Option<HealthProbe> {
        let mut probe = HealthProbe::default();
        let known = [
            "port",
            "interval",
            "response_timeout",
            "healthy_threshold",
            "unhealthy_threshold",
            "request_line",
            "initializing_timeout",
            "reinitializing_timeout",
            "strategy",
            "recreate_on_quorum_strategy_config",
        ];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "port" => probe.port = self.health_port(node, &path),
                "interval" => self.milliseconds(node, &path, &mut probe.interval_ms),
                "response_timeout" => self.milliseconds(node, &path, &mut probe.timeout_ms),
                "initializing_timeout" => {
                    self.milliseconds(node, &path, &mut probe.initializing_ms);
                }
                // One that was restarted is given the time of a new one.
                "reinitializing_timeout" => {}
                "healthy_threshold" => {
                    self.threshold(node, &path, &mut probe.healthy_threshold);
                }
                "unhealthy_threshold" => {
                    self.threshold(node, &path, &mut probe.unhealthy_threshold);
                }
                "request_line" => {
                    let line = self.text(node, &path).unwrap_or_default();
                    let line = line.trim_matches('"').trim();
                    if !line.is_empty() {
                        let what = "a request line such as `GET /health HTTP/1.0`";
                        probe.http = self.parsed(node, &path, what, |_| request_line(line));
                    }
                }
                "strategy" => self.strategy(node, &path, &mut probe.strategy),
                "recreate_on_quorum_strategy_config" => {
                    let quorum = node.get("quorum");
                    probe.quorum = quorum.and_then(|node| self.number(node, &path)).unwrap_or(0);
                }
                _ => self.unknown(key, &path, &known),
            }
        }
        self.whole_probe(node, path, probe)
    }

    fn whole_probe(&mut self, node: &Node, path: &str, probe: HealthProbe) -> Option<HealthProbe> {
        if node.get("port").is_none() {
            self.error(node, path, "missing", "`port` is missing: the container's port to ask.");
        }
        (probe.port != 0).then_some(probe)
    }

    fn health_port(&mut self, node: &Node, path: &str) -> u16 {
        let port = self.parsed(node, path, "a port (1 to 65,535)", |text| {
            text.parse().ok().filter(|port| *port != 0)
        });
        port.unwrap_or_default()
    }

    fn http_probe(&mut self, node: &Node, path: &str) -> HttpProbe {
        let mut http = HttpProbe::default();
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "path" => {
                    let what = "a path that begins with `/`, without spaces";
                    let parsed =
                        self.parsed(node, &path, what, |text| path_of(text).then(|| text.into()));
                    http.path = parsed.unwrap_or(http.path);
                }
                "status" => {
                    let what = "a status from 100 to 599";
                    http.status = self.parsed(node, &path, what, |text| {
                        text.parse().ok().filter(|status| (100..600).contains(status))
                    });
                }
                _ => self.unknown(key, &path, &["path", "status"]),
            }
        }
        http
    }

    fn health_duration(&mut self, node: &Node, path: &str, into: &mut u64) {
        if let Some(ms) = self.duration(node, path) {
            *into = self.in_range(node, path, ms);
        }
    }

    fn milliseconds(&mut self, node: &Node, path: &str, into: &mut u64) {
        if let Some(ms) = self.number(node, path) {
            *into = self.in_range(node, path, ms);
        }
    }

    fn in_range(&mut self, node: &Node, path: &str, ms: u64) -> u64 {
        if !(1..=LONGEST_MS).contains(&ms) {
            self.error(node, path, "bad_value", "A time of a health check is at most an hour.");
        }
        if path.ends_with("interval") { ms.max(SOONEST_MS) } else { ms }
    }

    fn threshold(&mut self, node: &Node, path: &str, into: &mut u32) {
        let what = "a number from 1 to 1,000";
        let count = self.parsed(node, path, what, |text| {
            text.parse().ok().filter(|count| (1..=MOST_TRIES).contains(count))
        });
        *into = count.unwrap_or(*into);
    }

    fn strategy(&mut self, node: &Node, path: &str, into: &mut HealthStrategy) {
        let strategy = self.parsed(node, path, "`recreate` or `none`", |text| match text {
            "recreate" | "recreateOnQuorum" | "recreate_on_quorum" => {
                Some(HealthStrategy::Recreate)
            }
            "none" => Some(HealthStrategy::None),
            _ => None,
        });
        *into = strategy.unwrap_or(*into);
    }
}

/// What can stand in a request line without changing its meaning.
fn path_of(text: &str) -> bool {
    text.len() <= 1024 && text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic())
}

fn request_line(line: &str) -> Option<HttpProbe> {
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next()?, words.next()?);
    // What comes after the path is the version; some add headers, which no check here needs.
    (matches!(method, "GET" | "HEAD" | "OPTIONS") && path_of(path))
        .then(|| HttpProbe { path: path.to_owned(), status: None })
}
