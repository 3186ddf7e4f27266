//! The routes of the Docker Engine's API, from 1.41 to 1.53. What is not here is refused to all who
//! could not take over the host anyway.
//!
//! Source: <https://docs.docker.com/reference/api/engine/version/v1.53/>

use drover_api::Permission::{self, Deploy, HostTakeover, ManageHosts, View};

use super::Address;

/// What is looked at besides the permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Nothing.
    Plain,
    /// The container that the path names must not be one that could take over its host.
    Container,
    /// The same for the container of an exec.
    Exec,
    /// The body of a new container.
    CreateContainer,
    /// The body of a change of a container's limits; and the container.
    UpdateContainer,
    /// The body of a new exec; and the container.
    CreateExec,
    /// A container's new name: not of those that Drover names.
    Rename,
    /// What a container's processes are shown with: `ps` can show their environment.
    Processes,
    /// The filters of events: some tell of commands in containers.
    Events,
    /// The query of a build.
    Build,
    /// The container that becomes an image.
    Commit,
    /// A pull or an import; credentials are added.
    CreateImage,
    /// Asks a registry about the image that the path names; credentials are added.
    Registry,
    /// The body of a new volume.
    CreateVolume,
    /// The body of a new network.
    CreateNetwork,
    /// The network that the path names.
    Network,
    /// The body of a new service; credentials are added.
    CreateService,
    /// The body of a changed service, and what a rollback goes back to; credentials are added.
    UpdateService,
    /// The body of a new secret or config.
    CreateSecret,
    /// What belongs to stacks is left alone.
    Prune,
}

/// A body that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// None: what comes all the same is not sent on.
    None,
    /// JSON of a limited size, which `Special` may look at.
    Json,
    /// A stream of any length.
    Stream,
}

/// What happens to an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It goes through as it comes.
    Stream,
    /// The same; the connection may become a raw stream both ways.
    Upgrade,
    /// JSON, in which values are hidden from those who may not see secrets.
    Hidden(super::hide::Kind),
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The method. `GET` stands for `HEAD` too.
    pub method: &'static str,
    /// `{}` is one part of a path, `{*}` one or more.
    pub path: &'static str,
    /// Who may call it.
    pub needs: Permission,
    /// What the audit log calls it. Absent for what changes nothing.
    pub action: Option<&'static str>,
    /// What is looked at.
    pub special: Special,
    /// What is sent with it.
    pub body: Body,
    /// What comes back.
    pub reply: Reply,
    /// The parameters of the query. Of those who could not take over the host, others do not get
    /// through; a change that has some is refused.
    pub query: &'static [&'static str],
}

impl Row {
    const fn new(method: &'static str, path: &'static str, needs: Permission) -> Self {
        Self {
            method,
            path,
            needs,
            action: None,
            special: Special::Plain,
            body: Body::None,
            reply: Reply::Stream,
            query: &[],
        }
    }

    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn checks(self, special: Special) -> Self {
        Self { special, ..self }
    }

    const fn json(self) -> Self {
        Self { body: Body::Json, ..self }
    }

    const fn stream(self) -> Self {
        Self { body: Body::Stream, ..self }
    }

    const fn upgrade(self) -> Self {
        Self { reply: Reply::Upgrade, ..self }
    }

    const fn hides(self, kind: super::hide::Kind) -> Self {
        Self { reply: Reply::Hidden(kind), ..self }
    }

    fn matches(&self, method: &str, segments: &[String]) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.method == method && self.captures(segments).is_some()
    }

    /// The parts of a path that stand for the pattern's `{}` or `{*}`: its first and its length.
    fn captures(&self, segments: &[String]) -> Option<Option<(usize, usize)>> {
        let pattern: Vec<&str> = self.path[1..].split('/').collect();
        let wild = pattern.iter().position(|part| matches!(*part, "{}" | "{*}"));
        let Some(wild) = wild else {
            let same = pattern.len() == segments.len()
                && pattern.iter().zip(segments).all(|(part, segment)| part == segment);
            return same.then_some(None);
        };
        let tail = &pattern[wild + 1..];
        let length = segments.len().checked_sub(wild + tail.len()).filter(|length| *length > 0)?;
        if pattern[wild] == "{}" && length != 1 {
            return None;
        }
        let same = pattern[..wild].iter().zip(segments).all(|(part, segment)| part == segment)
            && tail
                .iter()
                .zip(&segments[wild + length..])
                .all(|(part, segment)| *part == "{}" || part == segment);
        same.then_some(Some((wild, length)))
    }

    /// The name in an address of this route, e.g. a container's id or an image's reference.
    pub fn name(&self, address: &Address) -> Option<String> {
        let (first, length) = self.captures(&address.segments)??;
        Some(address.segments[first..first + length].join("/"))
    }

    /// Puts another name of one part in the place of the address's own.
    pub fn rename(&self, address: &mut Address, name: &str) {
        if let Some(Some((first, 1))) = self.captures(&address.segments) {
            address.segments[first] = name.to_owned();
        }
    }
}

const fn read(path: &'static str) -> Row {
    Row::new("GET", path, View)
}

const fn write(
    method: &'static str,
    path: &'static str,
    needs: Permission,
    action: &'static str,
) -> Row {
    Row { action: Some(action), ..Row::new(method, path, needs) }
}

const LOGS: &[&str] =
    &["details", "follow", "since", "stderr", "stdout", "tail", "timestamps", "until"];
const ATTACH: &[&str] = &["detachKeys", "logs", "stderr", "stdin", "stdout", "stream"];
const SIZE: &[&str] = &["h", "w"];
const FILTERS: &[&str] = &["filters"];
/// All that a build may be told but `cgroupparent` and `securityopt`, which are for those who could
/// take over the host. `networkmode` and `remote` are looked at.
const BUILD: &[&str] = &[
    "buildargs",
    "buildid",
    "cachefrom",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
    "cpushares",
    "dockerfile",
    "extrahosts",
    "forcerm",
    "isolation",
    "labels",
    "memory",
    "memswap",
    "networkmode",
    "nocache",
    "outputs",
    "platform",
    "pull",
    "q",
    "remote",
    "rm",
    "session",
    "shmsize",
    "squash",
    "t",
    "target",
    "ulimits",
    "version",
];

/// Where `Special::Build` looks: what has no place in [`BUILD`], in words.
pub const BUILD_TAKEOVERS: [(&str, &str); 2] =
    [("cgroupparent", "a parent cgroup of its own choice"), ("securityopt", "security options")];

/// The rows. The first that matches counts.
#[rustfmt::skip]
pub const ROWS: &[Row] = {
    use super::hide::Kind;
    use Special::*;
    &[
    // system
    read("/_ping"),
    read("/version"),
    read("/info"),
    read("/events").query(&["filters", "since", "until"]).checks(Events),
    read("/system/df").query(&["type", "verbose"]),
    Row::new("POST", "/auth", Deploy).json(),
    Row::new("POST", "/session", Deploy).upgrade(),
    write("POST", "/grpc", HostTakeover, "docker.build.control").upgrade(),
    // containers
    read("/containers/json").query(&["all", "before", "filters", "limit", "since", "size"]),
    write("POST", "/containers/create", Deploy, "docker.container.create").query(&["name", "platform"]).json().checks(CreateContainer),
    write("POST", "/containers/prune", Deploy, "docker.container.prune").query(FILTERS).checks(Prune),
    read("/containers/{}/json").query(&["size"]).hides(Kind::Container),
    read("/containers/{}/top").query(&["ps_args"]).checks(Processes),
    read("/containers/{}/logs").query(LOGS),
    read("/containers/{}/changes"),
    Row::new("GET", "/containers/{}/export", Deploy).checks(Container),
    read("/containers/{}/stats").query(&["one-shot", "stream"]),
    Row::new("POST", "/containers/{}/resize", Deploy).query(SIZE),
    // `checkpoint` and `checkpoint-dir`, a path of the host, are left out.
    write("POST", "/containers/{}/start", Deploy, "docker.container.start").query(&["detachKeys"]).checks(Container),
    write("POST", "/containers/{}/stop", Deploy, "docker.container.stop").query(&["signal", "t"]),
    write("POST", "/containers/{}/restart", Deploy, "docker.container.restart").query(&["signal", "t"]).checks(Container),
    write("POST", "/containers/{}/kill", Deploy, "docker.container.kill").query(&["signal"]),
    write("POST", "/containers/{}/update", Deploy, "docker.container.update").json().checks(UpdateContainer),
    write("POST", "/containers/{}/rename", Deploy, "docker.container.rename").query(&["name"]).checks(Rename),
    write("POST", "/containers/{}/pause", Deploy, "docker.container.pause"),
    write("POST", "/containers/{}/unpause", Deploy, "docker.container.unpause").checks(Container),
    write("POST", "/containers/{}/attach", Deploy, "docker.container.attach").query(ATTACH).upgrade().checks(Container),
    write("GET", "/containers/{}/attach/ws", Deploy, "docker.container.attach").query(ATTACH).upgrade().checks(Container),
    Row::new("POST", "/containers/{}/wait", View).query(&["condition"]),
    write("DELETE", "/containers/{}", Deploy, "docker.container.remove").query(&["force", "link", "v"]),
    Row::new("GET", "/containers/{}/archive", Deploy).query(&["path"]).checks(Container),
    write("PUT", "/containers/{}/archive", Deploy, "docker.container.copy_into").query(&["copyUIDGID", "noOverwriteDirNonDir", "path"]).stream().checks(Container),
    Row::new("GET", "/containers/{}/checkpoints", HostTakeover).query(&["dir"]),
    write("POST", "/containers/{}/checkpoints", HostTakeover, "docker.checkpoint.create").json(),
    write("DELETE", "/containers/{}/checkpoints/{}", HostTakeover, "docker.checkpoint.remove").query(&["dir"]),
    write("POST", "/containers/{}/exec", Deploy, "docker.container.exec").json().checks(CreateExec),
    write("POST", "/exec/{}/start", Deploy, "docker.exec.start").json().upgrade().checks(Exec),
    Row::new("POST", "/exec/{}/resize", Deploy).query(SIZE),
    Row::new("GET", "/exec/{}/json", Deploy),
    // images
    read("/images/json").query(&["all", "digests", "filter", "filters", "identity", "manifests", "shared-size"]),
    write("POST", "/build", Deploy, "docker.image.build").query(BUILD).stream().checks(Build),
    write("POST", "/build/prune", Deploy, "docker.build.prune").query(&["all", "filters", "keep-storage", "max-used-space", "min-free-space", "reserved-space"]),
    write("POST", "/build/cancel", Deploy, "docker.build.cancel").query(&["id"]),
    write("POST", "/images/create", Deploy, "docker.image.pull").query(&["changes", "fromImage", "fromSrc", "message", "platform", "repo", "tag"]).stream().checks(CreateImage),
    Row::new("GET", "/images/search", Deploy).query(&["filters", "limit", "term"]),
    Row::new("GET", "/images/get", Deploy).query(&["names", "platform"]),
    write("POST", "/images/load", Deploy, "docker.image.load").query(&["platform", "quiet"]).stream(),
    write("POST", "/images/prune", Deploy, "docker.image.prune").query(FILTERS),
    read("/images/{*}/json").query(&["manifests", "platform"]).hides(Kind::Image),
    // Its commands hold the values of build arguments.
    Row::new("GET", "/images/{*}/history", Deploy).query(&["platform"]),
    Row::new("GET", "/images/{*}/get", Deploy).query(&["platform"]),
    write("POST", "/images/{*}/push", Deploy, "docker.image.push").query(&["platform", "tag"]).stream().checks(Registry),
    write("POST", "/images/{*}/tag", Deploy, "docker.image.tag").query(&["repo", "tag", "force"]),
    write("DELETE", "/images/{*}", Deploy, "docker.image.remove").query(&["force", "noprune", "platforms"]),
    write("POST", "/commit", Deploy, "docker.image.commit").query(&["author", "changes", "comment", "container", "pause", "repo", "tag"]).json().checks(Commit),
    Row::new("GET", "/distribution/{*}/json", Deploy).checks(Registry),
    // volumes
    read("/volumes").query(FILTERS).hides(Kind::Volumes),
    write("POST", "/volumes/create", Deploy, "docker.volume.create").json().checks(CreateVolume),
    write("POST", "/volumes/prune", Deploy, "docker.volume.prune").query(FILTERS).checks(Prune),
    read("/volumes/{}").hides(Kind::Volume),
    write("PUT", "/volumes/{}", ManageHosts, "docker.volume.update").query(&["version"]).json(),
    write("DELETE", "/volumes/{}", Deploy, "docker.volume.remove").query(&["force"]),
    // networks
    read("/networks").query(FILTERS),
    write("POST", "/networks/create", ManageHosts, "docker.network.create").json().checks(CreateNetwork),
    write("POST", "/networks/prune", ManageHosts, "docker.network.prune").query(FILTERS).checks(Prune),
    read("/networks/{}").query(&["scope", "verbose"]),
    write("DELETE", "/networks/{}", ManageHosts, "docker.network.remove"),
    write("POST", "/networks/{}/connect", Deploy, "docker.network.connect").json().checks(Network),
    write("POST", "/networks/{}/disconnect", Deploy, "docker.network.disconnect").json().checks(Network),
    // swarm; what it answers holds the tokens to join
    Row::new("GET", "/swarm", ManageHosts),
    write("POST", "/swarm/init", ManageHosts, "docker.swarm.init").json(),
    write("POST", "/swarm/join", ManageHosts, "docker.swarm.join").json(),
    write("POST", "/swarm/leave", ManageHosts, "docker.swarm.leave").query(&["force"]),
    write("POST", "/swarm/update", ManageHosts, "docker.swarm.update").query(&["rotateManagerToken", "rotateManagerUnlockKey", "rotateWorkerToken", "version"]).json(),
    Row::new("GET", "/swarm/unlockkey", ManageHosts),
    write("POST", "/swarm/unlock", ManageHosts, "docker.swarm.unlock").json(),
    read("/nodes").query(FILTERS),
    read("/nodes/{}"),
    write("DELETE", "/nodes/{}", ManageHosts, "docker.node.remove").query(&["force"]),
    write("POST", "/nodes/{}/update", ManageHosts, "docker.node.update").query(&["version"]).json(),
    read("/services").query(&["filters", "status"]).hides(Kind::Services),
    write("POST", "/services/create", Deploy, "docker.service.create").json().checks(CreateService),
    read("/services/{}").query(&["insertDefaults"]).hides(Kind::Services),
    write("DELETE", "/services/{}", Deploy, "docker.service.remove"),
    write("POST", "/services/{}/update", Deploy, "docker.service.update").query(&["registryAuthFrom", "rollback", "version"]).json().checks(UpdateService),
    read("/services/{}/logs").query(LOGS),
    read("/tasks").query(FILTERS).hides(Kind::Tasks),
    read("/tasks/{}").hides(Kind::Tasks),
    read("/tasks/{}/logs").query(LOGS),
    read("/secrets").query(FILTERS),
    write("POST", "/secrets/create", Deploy, "docker.secret.create").json().checks(CreateSecret),
    read("/secrets/{}"),
    write("DELETE", "/secrets/{}", Deploy, "docker.secret.remove"),
    write("POST", "/secrets/{}/update", Deploy, "docker.secret.update").query(&["version"]).json().checks(CreateSecret),
    read("/configs").query(FILTERS).hides(Kind::Configs),
    write("POST", "/configs/create", Deploy, "docker.config.create").json().checks(CreateSecret),
    read("/configs/{}").hides(Kind::Configs),
    write("DELETE", "/configs/{}", Deploy, "docker.config.remove"),
    write("POST", "/configs/{}/update", Deploy, "docker.config.update").query(&["version"]).json().checks(CreateSecret),
    // plugins run as root on the host
    read("/plugins").query(FILTERS).hides(Kind::Plugins),
    Row::new("GET", "/plugins/privileges", HostTakeover).query(&["remote"]),
    write("POST", "/plugins/pull", HostTakeover, "docker.plugin.install").query(&["name", "remote"]).json(),
    write("POST", "/plugins/create", HostTakeover, "docker.plugin.create").query(&["name"]).stream(),
    read("/plugins/{*}/json").hides(Kind::Plugins),
    write("DELETE", "/plugins/{*}", HostTakeover, "docker.plugin.remove").query(&["force"]),
    write("POST", "/plugins/{*}/enable", HostTakeover, "docker.plugin.enable").query(&["timeout"]),
    write("POST", "/plugins/{*}/disable", HostTakeover, "docker.plugin.disable").query(&["force"]),
    write("POST", "/plugins/{*}/upgrade", HostTakeover, "docker.plugin.upgrade").query(&["remote"]).json(),
    write("POST", "/plugins/{*}/push", HostTakeover, "docker.plugin.push"),
    write("POST", "/plugins/{*}/set", HostTakeover, "docker.plugin.set").json(),
    ]
};

/// A route that this version of Drover does not know: for those who could take over the host
/// anyway, whatever it does. Counts as a change.
pub const UNKNOWN: Row = Row {
    action: Some("docker.other.call"),
    body: Body::Stream,
    reply: Reply::Upgrade,
    ..Row::new("*", "/", HostTakeover)
};

/// The row of a call, if the table knows it.
pub fn find(method: &str, address: &Address) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.matches(method, &address.segments))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn row(method: &str, path: &str) -> Option<&'static Row> {
        find(method, &Address::parse(path, None).unwrap())
    }

    #[test]
    fn routes_are_found_with_and_without_a_version() {
        for (method, path, pattern) in [
            ("GET", "_ping", "/_ping"),
            ("HEAD", "_ping", "/_ping"),
            ("GET", "v1.41/containers/json", "/containers/json"),
            ("GET", "v1.41/containers/web/json", "/containers/{}/json"),
            ("HEAD", "containers/web/archive", "/containers/{}/archive"),
            ("POST", "containers/create", "/containers/create"),
            ("DELETE", "v1.53/images/localhost:5000/team/app:1", "/images/{*}"),
            ("GET", "images/localhost:5000/team/app:1/json", "/images/{*}/json"),
            ("GET", "images/get", "/images/get"),
            ("GET", "images/app/get", "/images/{*}/get"),
            ("POST", "images/localhost:5000/app/push", "/images/{*}/push"),
            ("GET", "distribution/localhost:5000/app:1/json", "/distribution/{*}/json"),
            ("DELETE", "containers/a/checkpoints/b", "/containers/{}/checkpoints/{}"),
        ] {
            assert_eq!(row(method, path).map(|row| row.path), Some(pattern), "{method} {path}");
        }
        let address = Address::parse("images/localhost:5000/app:1/json", None).unwrap();
        let name = find("GET", &address).unwrap().name(&address);
        assert_eq!(name.as_deref(), Some("localhost:5000/app:1"));
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        for (method, path) in [
            ("POST", "_ping"),
            ("PATCH", "containers/json"),
            ("OPTIONS", "containers/json"),
            ("GET", "containers"),
            ("POST", "containers/a/copy"),
            ("POST", "containers/a/b/start"),
            ("GET", "containers/a/b/json"),
            ("GET", "images/json/"),
            ("POST", "images//push"),
            ("GET", "metrics"),
            ("GET", "debug/pprof"),
            ("POST", "v1.41/v1.41/containers/create"),
        ] {
            let found = Address::parse(path, None).ok().and_then(|a| find(method, &a));
            assert!(found.is_none(), "{method} {path}");
        }
    }

    #[test]
    fn each_route_stands_once_and_each_write_has_an_action() {
        // These change nothing, though they are not GETs.
        let harmless = [
            "/auth",
            "/session",
            "/containers/{}/resize",
            "/containers/{}/wait",
            "/exec/{}/resize",
        ];
        let mut seen = HashSet::new();
        for row in ROWS {
            assert!(seen.insert((row.method, row.path)), "{} {} twice", row.method, row.path);
            if row.method != "GET" && !harmless.contains(&row.path) {
                let action = row.action.unwrap_or_else(|| panic!("{} {}", row.method, row.path));
                assert_eq!(action.split('.').count(), 3, "{action}");
            }
            if row.action.is_some() {
                assert_ne!(row.needs, View, "{} {}", row.method, row.path);
            }
            // A row that comes before must not swallow one behind it.
            let example = row.path[1..].replace("{*}", "n/m").replace("{}", "n");
            let found = find(row.method, &Address::parse(&example, None).unwrap()).unwrap();
            assert_eq!((found.method, found.path), (row.method, row.path));
        }
    }

    #[test]
    fn what_only_reads_is_for_viewers_unless_it_shows_secrets() {
        let more = [
            "/containers/{}/export",
            "/containers/{}/attach/ws",
            "/containers/{}/archive",
            "/containers/{}/checkpoints",
            "/exec/{}/json",
            "/images/search",
            "/images/get",
            "/images/{*}/history",
            "/images/{*}/get",
            "/distribution/{*}/json",
            "/swarm",
            "/swarm/unlockkey",
            "/plugins/privileges",
        ];
        for row in ROWS.iter().filter(|row| row.method == "GET") {
            assert_eq!(row.needs == View, !more.contains(&row.path), "{}", row.path);
        }
    }

    #[test]
    fn names_are_replaced() {
        let mut address = Address::parse("v1.41/containers/web/start", None).unwrap();
        row("POST", "containers/web/start").unwrap().rename(&mut address, "0123");
        assert_eq!(address.to_target(), "/v1.41/containers/0123/start");
    }
}
