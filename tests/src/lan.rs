//! Several hosts with a real Docker Engine each, joined by a network of their own: for what needs
//! more than one machine, and for the bad days of machines and networks.
//!
//! A host is a set of namespaces (network, mounts, processes, host name) with a first process that
//! ends when the test's does: then the kernel ends all that ran on the host, and takes its mounts
//! and links down. What it writes (`/etc`, `/usr/local`, `/var/lib`, `/run`, the engine's data) goes
//! to memory and is seen by no other. A further network namespace is the switch between them, to
//! which this machine has one link too: what listens on [`Lan::address`] is reached from the hosts.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Docker, setting};

/// How long an engine may take to come up or to end.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// A network with hosts on it. All of it ends when this is dropped, or the test's process ends.
pub struct Lan {
    // Dropped in this order.
    hosts: Vec<LanHost>,
    switch: Holder,
    number: NetworkNumber,
    _folder: TempDir,
}

impl Lan {
    /// Starts this many hosts, with the tests' images on each.
    ///
    /// # Panics
    /// When it is not root, or the kernel does not have what it takes.
    pub async fn start(count: usize) -> Self {
        let images = images().await;
        tokio::task::spawn_blocking(move || Self::make(count, &images)).await.unwrap()
    }

    fn make(count: usize, images: &Path) -> Self {
        let number = NetworkNumber::claim();
        let folder = TempDir::with_prefix("drover-lan-").unwrap();
        let switch = Holder::start(Command::new("unshare").args(["--net", "sh", "-c"]).arg(SWITCH));
        let outside = number.link();
        // In this machine's list of links, only this end of one is seen.
        let there = switch.id();
        let veth = ["type", "veth", "peer", "name", "outside", "netns", &there];
        ip(&[&["link", "add", &outside], &veth[..]].concat());
        ip(&["address", "add", &format!("{}/24", number.address(254)), "dev", &outside]);
        ip(&["link", "set", &outside, "up"]);
        let gateway = format!("{}/24", number.address(253));
        switch.run("ip", &["address", "add", &gateway, "dev", "lan"]);
        switch.run("ip", &["link", "set", "outside", "master", "lan", "up"]);
        let group = number.link();
        let hosts = thread::scope(|scope| {
            let started: Vec<_> = (0..count)
                .map(|index| {
                    let (switch, group, folder) = (&switch, &group, folder.path());
                    let address = number.address(u8::try_from(index).unwrap() + 1);
                    let gateway = number.address(253);
                    scope.spawn(move || {
                        let host = LanHost::make(index, address, folder, group);
                        host.connect(switch, gateway);
                        host.start_dockerd();
                        let images = images.to_str().unwrap();
                        host.docker().run(&["load", "--quiet", "--input", images]);
                        host
                    })
                })
                .collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        Self { hosts, switch, number, _folder: folder }
    }

    /// All of them, in the order of their addresses.
    pub fn hosts(&self) -> &[LanHost] {
        &self.hosts
    }

    /// Where the hosts reach what the test's process listens on.
    pub fn address(&self) -> Ipv4Addr {
        self.number.address(254)
    }

    /// Takes a host's link down: packets go nowhere, and nobody is told.
    pub fn cut(&self, host: usize) {
        self.switch.run("ip", &["link", "set", &format!("port{host}"), "down"]);
    }

    /// The reverse of [`Lan::cut`].
    pub fn mend(&self, host: usize) {
        self.switch.run("ip", &["link", "set", &format!("port{host}"), "up"]);
    }

    /// Loses this share of a host's packets, each way. On the switch, as a sender is told of what
    /// its own firewall drops.
    pub fn lose(&self, host: usize, percent: u8) {
        let share = (f64::from(percent) / 100.0).to_string();
        for way in ["--physdev-in", "--physdev-out"] {
            let port = format!("port{host}");
            let mut rule = vec!["--wait", "-A", "FORWARD", "-m", "physdev", way, &port];
            rule.extend(["-m", "statistic", "--mode", "random", "--probability", &share]);
            rule.extend(["-j", "DROP"]);
            self.switch.run("iptables", &rule);
        }
    }

    /// Ends all that [`Lan::lose`] does.
    pub fn lose_nothing(&self) {
        self.switch.run("iptables", &["--wait", "-F", "FORWARD"]);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Else its end here would be there until the kernel comes to take the other away.
        let _ = Command::new("ip").args(["link", "delete", &self.number.link()]).status();
    }
}

/// The switch's first process: forwards between its ports, and answers at once that there is no
/// way to any other network. It ends with its standard input.
const SWITCH: &str = "
set -e
ip link set lo up
ip link add lan type bridge
ip link set lan up
echo 1 >/proc/sys/net/ipv4/ip_forward
ip route add unreachable default
echo ready
exec cat >/dev/null
";

/// A host's first process, in bash, which waits for what others left as the first process has to.
/// `$1` is the host's folder, `$2` its name.
const HOST: &str = r#"
set -e
exec 3<&0
own=$1/own
mkdir "$own"
mount -t tmpfs -o mode=755 tmpfs "$own"
mkdir "$own/data" "$own/cgroup" "$own/docker"
for folder in etc usr/local var/lib; do
	mkdir -p "$own/$folder/upper" "$own/$folder/work"
	mount -t overlay -o "lowerdir=/$folder,upperdir=$own/$folder/upper,workdir=$own/$folder/work" overlay "/$folder"
done
# An engine keeps its identity there, and may have settings of the machine's.
rm -rf /etc/docker
tr -d - </proc/sys/kernel/random/uuid >"$own/machine-id"
rm -f /etc/machine-id
cp "$own/machine-id" /etc/machine-id
echo "$2" >/proc/sys/kernel/hostname
rm -f /etc/hosts
printf '127.0.0.1 localhost %s\n' "$2" >/etc/hosts
# Also hides the machine's own containerd, which dockerd would share.
mount -t tmpfs -o mode=755 tmpfs /run
# The files of this network namespace, with the control groups as they are.
mount --rbind /sys/fs/cgroup "$own/cgroup"
mount -t sysfs sysfs /sys
mount --move "$own/cgroup" /sys/fs/cgroup
ip link set lo up
echo ready
cat <&3 >/dev/null &
wait $!
"#;

/// A Linux machine with a Docker Engine.
pub struct LanHost {
    index: usize,
    name: String,
    address: Ipv4Addr,
    folder: PathBuf,
    group: String,
    // Before the first process, whose end ends it.
    dockerd: Mutex<Option<HostProcess>>,
    first: Holder,
}

impl LanHost {
    fn make(index: usize, address: Ipv4Addr, folder: &Path, group: &str) -> Self {
        let name = format!("node-{}", index + 1);
        let folder = folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--propagation", "private", "--uts", "--ipc"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", HOST, "host"])
            .arg(&folder)
            .arg(&name);
        let first = Holder::start(&mut command);
        let group = format!("{group}-{}", index + 1);
        Self { index, name, address, folder, group, dockerd: Mutex::default(), first }
    }

    /// Plugs its cable in.
    fn connect(&self, switch: &Holder, gateway: Ipv4Addr) {
        let port = format!("port{}", self.index);
        let id = self.first.id();
        let veth = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &id];
        switch.run("ip", &veth);
        switch.run("ip", &["link", "set", &port, "master", "lan", "up"]);
        let address = format!("{}/24", self.address);
        self.run(&["ip", "address", "add", &address, "dev", "eth0"]);
        self.run(&["ip", "link", "set", "eth0", "up"]);
        self.run(&["ip", "route", "add", "default", "via", &gateway.to_string()]);
        // Where nobody listens, and says so: an engine that looks for a registry would wait for a
        // name server that does not answer, for each task that it starts.
        let resolver =
            format!("rm -f /etc/resolv.conf; echo nameserver {gateway} >/etc/resolv.conf");
        self.run(&["sh", "-c", &resolver]);
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the others and the test's process reach it.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its engine's socket, as the test's process and processes on the host reach it. For those it
    /// is at `/var/run/docker.sock` as well.
    pub fn socket(&self) -> String {
        self.folder.join("docker.sock").display().to_string()
    }

    /// The `docker` program for its engine.
    pub fn docker(&self) -> Docker {
        Docker::on(self.socket())
    }

    /// A folder that the test's process and the host share.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What runs a program on it. [`LanHost::spawn`] starts one that can be signalled.
    pub fn command(&self, program: &str) -> Command {
        self.first.command(program)
    }

    /// Runs a program on it to its end; what it prints, trimmed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?} on {}: {error}", self.name);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, where it may fail.
    pub fn try_run(&self, words: &[&str]) -> Output {
        self.command(words[0]).args(&words[1..]).output().unwrap()
    }

    /// Starts a program on it, with these settings besides the test's own, that prints to `log` in
    /// the host's folder. It ends with the host at the latest.
    pub fn spawn(&self, log: &str, words: &[&str], environment: &[(&str, &str)]) -> HostProcess {
        let log = self.folder.join(log);
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(words[0]);
        command.args(&words[1..]).envs(environment.iter().copied());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        HostProcess { outside: command.spawn().unwrap(), log }
    }

    /// Starts its engine and waits until it answers.
    pub fn start_dockerd(&self) {
        let socket = self.socket();
        let data = self.folder.join("own/data").display().to_string();
        let words = [
            "dockerd",
            "--data-root",
            &data,
            "--host",
            &format!("unix://{socket}"),
            "--host",
            "unix:///var/run/docker.sock",
            "--cgroup-parent",
            &format!("/{}", self.group),
            "--shutdown-timeout=2",
        ];
        let mut dockerd = self.spawn("dockerd.log", &words, &[]);
        let start = Instant::now();
        while !self.docker().try_run(&["version"]).status.success() {
            let ended = dockerd.ended().is_some();
            assert!(!ended && start.elapsed() < ENGINE_LIMIT, "dockerd: {}", dockerd.log());
            thread::sleep(Duration::from_millis(50));
        }
        *self.dockerd.lock().unwrap() = Some(dockerd);
    }

    /// Ends its engine as an administrator would; its containers end too.
    pub fn stop_dockerd(&self) {
        let mut dockerd = self.dockerd.lock().unwrap().take().expect("dockerd runs");
        dockerd.signal("TERM");
        dockerd.wait(ENGINE_LIMIT);
    }

    /// kill -9. Its containers go on until it is started again.
    pub fn kill_dockerd(&self) {
        let mut dockerd = self.dockerd.lock().unwrap().take().expect("dockerd runs");
        dockerd.signal("KILL");
        dockerd.wait(ENGINE_LIMIT);
    }

    /// Stops its engine if it runs, and starts it with nothing on it, as after a new installation:
    /// no image, and another identity.
    pub fn wipe(&self) {
        if self.dockerd.lock().unwrap().is_some() {
            self.stop_dockerd();
        }
        let data = self.folder.join("own/data").display().to_string();
        let script = r#"umount -R "$1"/* 2>/dev/null; rm -rf "$1"/* /etc/docker /run/docker"#;
        self.run(&["sh", "-c", script, "wipe", &data]);
        self.start_dockerd();
    }

    /// Its firewall lets no new connection through, in or out; those that are there go on.
    pub fn block(&self) {
        for rule in BLOCK {
            self.run(&[&["iptables", "--wait", "-t", "mangle", "-I"], rule].concat());
        }
    }

    /// The reverse of [`LanHost::block`].
    pub fn unblock(&self) {
        for rule in BLOCK {
            self.run(&[&["iptables", "--wait", "-t", "mangle", "-D"], rule].concat());
        }
    }
}

const BLOCK: [&[&str]; 2] = [
    &["PREROUTING", "-i", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"],
    &["POSTROUTING", "-o", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"],
];

impl Drop for LanHost {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.folder.join("dockerd.log"))
        {
            let lines: Vec<&str> = log.lines().rev().take(10).collect();
            for line in lines.into_iter().rev() {
                eprintln!("dockerd on {}: {line}", self.name);
            }
        }
        self.first.end();
        remove_groups(&self.group);
    }
}

/// Control groups of what has ended are the one thing that the kernel keeps.
fn remove_groups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    // Version 1 has a tree for each controller.
    let trees = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let groups: Vec<PathBuf> = trees.chain([root.to_owned()]).map(|tree| tree.join(name)).collect();
    let start = Instant::now();
    // The last processes may be on their way out.
    while groups.iter().any(|group| group.exists()) && start.elapsed() < Duration::from_secs(10) {
        groups.iter().for_each(|group| remove_group(group));
        thread::sleep(Duration::from_millis(10));
    }
}

fn remove_group(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

/// The settings under which a program takes the time to be this much later, or earlier. Its waits
/// are as long as ever.
pub fn other_clock(hours: i32) -> [(&'static str, String); 3] {
    let library = std::fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed: run the tests with `make test`");
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{hours:+}h")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
}

/// A program that runs on a host.
pub struct HostProcess {
    /// It waits for the program, and ends as that does.
    outside: Child,
    log: PathBuf,
}

impl HostProcess {
    /// Its process id as the test's process sees it.
    pub fn pid(&self) -> u32 {
        let outside = self.outside.id();
        let children = format!("/proc/{outside}/task/{outside}/children");
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(&children).unwrap();
            if let Some(pid) = text.split_whitespace().next() {
                return pid.parse().unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(5), "the program has ended");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.outside.try_wait().unwrap()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < limit, "it does not end: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal("KILL");
            self.wait(Duration::from_secs(10));
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // What runs on the host ends with the host; this only takes the end notice.
        let _ = self.outside.kill();
        let _ = self.outside.wait();
    }
}

/// Keeps namespaces by a process in them that ends with this, or with the test's process.
struct Holder {
    process: Child,
    /// Its end is what ends the process when nobody is left to kill it.
    _input: ChildStdin,
}

impl Holder {
    /// Starts it and waits until it prints `ready`.
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let holder = Self { process, _input: input };
        assert_eq!(line, "ready\n", "namespaces cannot be made: are the tests run as root?");
        holder
    }

    fn id(&self) -> String {
        self.process.id().to_string()
    }

    /// Runs a program in all of its namespaces.
    fn command(&self, program: &str) -> Command {
        let namespace = |name: &str| format!("/proc/{}/ns/{name}", self.process.id());
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", namespace("net")))
            .arg(format!("--mount={}", namespace("mnt")))
            .arg(format!("--uts={}", namespace("uts")))
            .arg(format!("--ipc={}", namespace("ipc")))
            .arg(format!("--pid={}", namespace("pid_for_children")))
            .args(["--wd=/", "--", program])
            .stdin(Stdio::null());
        // What is set for the tests is not set on their hosts.
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", "/root");
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {error}");
}

/// A network of the range 10.96.0.0/11 that no other has.
struct NetworkNumber {
    number: u16,
    /// The kernel gives the name to one at a time, and back when the process ends.
    _claim: UnixListener,
}

impl NetworkNumber {
    fn claim() -> Self {
        let output = Command::new("ip").args(["-4", "route", "show", "table", "all"]).output();
        let routes = String::from_utf8(output.unwrap().stdout).unwrap();
        // Not always the same ones first, so that the next run meets no address that others know
        // by the hardware address of the last.
        let first = uuid::Uuid::new_v4().as_u128() as u16 % 8192;
        for number in (first..8192).chain(0..first) {
            let name = UnixAddress::from_abstract_name(format!("drover-lan-{number}")).unwrap();
            if let Ok(claim) = UnixListener::bind_addr(&name) {
                let found = Self { number, _claim: claim };
                let prefix = found.address(0).to_string();
                if !routes.contains(prefix.trim_end_matches('0')) {
                    return found;
                }
            }
        }
        panic!("no private network is free for the tests' hosts");
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 96 + high, low, last)
    }

    /// The name of this machine's link to it.
    fn link(&self) -> String {
        format!("drlan{}", self.number)
    }
}

/// An archive of the tests' images. It lies beside the tests' engine, and goes with that.
async fn images() -> PathBuf {
    let docker = Docker::start().await;
    let folder = Path::new(&setting("DROVER_TEST_DOCKER")).parent().unwrap().to_owned();
    let archive = folder.join("images.tar");
    if !archive.exists() {
        let own = folder.join(format!("images-{}.tar", uuid::Uuid::new_v4()));
        let names = Docker::images();
        let save = ["save", "--output", own.to_str().unwrap()];
        docker.run(&[&save[..], &names].concat());
        // Two tests may come here at once: either is right.
        std::fs::rename(&own, &archive).unwrap();
    }
    archive
}
