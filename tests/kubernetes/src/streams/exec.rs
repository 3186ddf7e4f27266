//! Commands in containers, and the main process of one: over WebSocket or SPDY.

use std::process::Stdio;

use bytes::Bytes;
use hyper::{Request, body::Incoming};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{
    channels::{self, Channels, Output},
    process, spdy, upgrade,
    upgrade::Wanted,
    websocket,
};
use crate::{
    handlers::Context,
    respond::Answer,
    status::{About, ApiError, Cause, Result},
};

const WEBSOCKET: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];
const SPDY: &[&str] =
    &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

struct Options {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    command: Vec<String>,
    container: String,
}

impl Options {
    fn of(context: &Context, pod: &Value) -> Result<Self> {
        let query = &context.info.query;
        let options = Self {
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            tty: query.flag("tty"),
            command: query.all("command").map(str::to_owned).collect(),
            container: super::container(pod, query.get("container"))?,
        };
        let exec = context.info.subresource == "exec";
        let kind = if exec { "PodExecOptions" } else { "PodAttachOptions" };
        let about = About { group: "", resource: kind, name: "" };
        if exec && options.command.is_empty() {
            return Err(ApiError::invalid(about, &[Cause::required("command", "")]));
        }
        if !options.stdin && !options.stdout && !options.stderr {
            return Err(ApiError::bad_request(
                "you must specify at least 1 of stdin, stdout, stderr",
            ));
        }
        Ok(options)
    }
}

/// Begins a command, or shows the main process.
///
/// # Errors
/// When the pod does not run, or no protocol is known.
pub async fn handle(context: Context, mut request: Request<Incoming>) -> Result<Answer> {
    let name = context.info.name.clone();
    let pod = super::pod(&context.cluster, context.namespace(), &name)?;
    let options = Options::of(&context, &pod)?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(ApiError::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let running = context.cluster.containers.is_running(&uid, &options.container);
    let (answer, channels) = match upgrade::wanted(request.headers()) {
        Wanted::WebSocket(wanted) => {
            let chosen = upgrade::choose(&wanted, WEBSOCKET);
            if chosen.is_none() && !wanted.is_empty() {
                return Err(upgrade::unknown());
            }
            let protocol = chosen.unwrap_or("channel.k8s.io");
            not_running(&options, running)?;
            let coding = websocket::Coding {
                base64: protocol.contains("base64"),
                closes: protocol == "v5.channel.k8s.io",
            };
            let first = if options.stdout {
                1
            } else if options.stderr {
                2
            } else {
                3
            };
            let (answer, upgrade) = upgrade::websocket(&mut request, chosen)?;
            (answer, websocket::command(upgrade, coding, first))
        }
        Wanted::Spdy(wanted) => {
            let protocol = if wanted.is_empty() {
                Some("channel.k8s.io")
            } else {
                upgrade::choose(&wanted, SPDY)
            };
            let protocol = protocol.ok_or_else(upgrade::unknown)?;
            not_running(&options, running)?;
            let expected = 1
                + usize::from(options.stdin)
                + usize::from(options.stdout)
                + usize::from(options.stderr && !options.tty)
                + usize::from(
                    options.tty && protocol != "channel.k8s.io" && protocol != "v2.channel.k8s.io",
                );
            let (answer, upgrade) = upgrade::spdy(&mut request, protocol);
            (answer, over_spdy(upgrade, expected))
        }
        Wanted::Nothing => {
            return Err(ApiError::bad_request("Upgrade request required"));
        }
    };
    tokio::spawn(run(context, uid, pod, options, channels));
    Ok(answer)
}

fn not_running(options: &Options, running: bool) -> Result<()> {
    if running {
        return Ok(());
    }
    Err(ApiError::text(500, format!("container not found (\"{}\")", options.container)))
}

/// Carries a command's stream over SPDY: each of its parts is a stream of its own.
fn over_spdy(upgrade: hyper::upgrade::OnUpgrade, expected: usize) -> Channels {
    let (to_command, stdin) = mpsc::channel(16);
    let (output, mut from_command) = mpsc::channel(16);
    tokio::spawn(async move {
        let Ok(Ok(upgraded)) =
            tokio::time::timeout(std::time::Duration::from_secs(10), upgrade).await
        else {
            return;
        };
        let mut connection = spdy::connect(hyper_util::rt::TokioIo::new(upgraded));
        let mut streams: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let mut stdin = Some(to_command);
        let mut waiting: Vec<Bytes> = Vec::new();
        loop {
            let ready = streams.len() >= expected;
            tokio::select! {
                event = connection.events.recv() => match event {
                    Some(spdy::Event::Open(stream, headers)) => {
                        let kind = headers.get("streamtype").cloned().unwrap_or_default();
                        streams.insert(kind, stream);
                        if connection.orders.send(spdy::Order::Accept(stream)).await.is_err() {
                            return;
                        }
                    }
                    Some(spdy::Event::Data(stream, bytes)) => {
                        if streams.get("stdin") == Some(&stream) {
                            waiting.push(bytes);
                            for bytes in waiting.drain(..) {
                                if let Some(stdin) = &stdin
                                    && stdin.send(bytes).await.is_err()
                                {
                                    break;
                                }
                            }
                        }
                    }
                    Some(spdy::Event::End(stream)) => {
                        if streams.get("stdin") == Some(&stream) {
                            stdin = None;
                        }
                    }
                    Some(spdy::Event::Reset(_)) => {}
                    None => return,
                },
                output = from_command.recv(), if ready => {
                    let of = |kind: &str| streams.get(kind).copied();
                    let (stream, bytes, last) = match output {
                        Some(Output::Stdout(bytes)) => (of("stdout"), bytes, false),
                        Some(Output::Stderr(bytes)) => (of("stderr").or(of("stdout")), bytes, false),
                        Some(Output::Status(status)) => {
                            (of("error"), Bytes::from(status.to_string()), true)
                        }
                        None => break,
                    };
                    if let Some(stream) = stream
                        && connection.orders.send(spdy::Order::Data(stream, bytes)).await.is_err()
                    {
                        return;
                    }
                    if last {
                        break;
                    }
                }
            }
        }
        for stream in streams.values() {
            if connection.orders.send(spdy::Order::End(*stream)).await.is_err() {
                return;
            }
        }
        // Time for the peer to read it all, then the end.
        let wait = std::time::Duration::from_secs(2);
        let _ =
            tokio::time::timeout(wait, async { while connection.events.recv().await.is_some() {} })
                .await;
        let _ = connection.orders.send(spdy::Order::Close).await;
    });
    Channels { stdin, output }
}

async fn run(context: Context, uid: String, pod: Value, options: Options, channels: Channels) {
    if context.info.subresource == "attach" {
        attach(&context, &uid, &options, channels).await;
        return;
    }
    let output = channels.output.clone();
    let status = tokio::select! {
        status = execute(&context, &uid, &pod, &options, channels) => status,
        () = output.closed() => return,
        () = ended(&context, &uid, &options.container) => channels::status(Some(137)),
    };
    let _ = output.send(Output::Status(status)).await;
}

/// Waits until the container runs no more.
async fn ended(context: &Context, uid: &str, container: &str) {
    while context.cluster.containers.is_running(uid, container) {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn execute(
    context: &Context,
    uid: &str,
    pod: &Value,
    options: &Options,
    mut channels: Channels,
) -> Value {
    let host = pod["metadata"]["name"].as_str().unwrap_or_default();
    let containers = &context.cluster.containers;
    let Some(root) = process::folder(containers, uid, &options.container, host).await else {
        return channels::failure("error executing command in container: no such container");
    };
    let program = options.command.first().map(String::as_str).unwrap_or_default();
    if !process::is_there(&root, program) {
        return channels::failure(&format!(
            "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec \"{uid}\": OCI runtime exec failed: exec failed: unable to start container process: exec: \"{program}\": executable file not found in $PATH: unknown"
        ));
    }
    let environment = environment(pod, &options.container, host);
    let mut command = process::command(&root, &options.command, &environment, options.tty);
    if !options.stdin {
        command.stdin(Stdio::null());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return channels::failure(&error.to_string()),
    };
    let (stdout, stderr, stdin) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let output = &channels.output;
    let out = pump(stdout, |bytes| Output::Stdout(bytes), output.clone());
    let err = pump(stderr, |bytes| Output::Stderr(bytes), output.clone());
    let input = async {
        if let Some(mut stdin) = stdin {
            while let Some(bytes) = channels.stdin.recv().await {
                if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                    return;
                }
            }
        }
    };
    let wait = async {
        tokio::join!(out, err);
        child.wait().await
    };
    tokio::pin!(wait, input);
    let code = tokio::select! {
        code = &mut wait => code,
        () = &mut input => wait.await,
    };
    channels::status(code.ok().and_then(|code| code.code()))
}

/// The variables of a container that are plain values.
pub fn environment(pod: &Value, container: &str, host: &str) -> Vec<(String, String)> {
    let mut all = vec![
        ("HOSTNAME".to_owned(), host.to_owned()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), "443".to_owned()),
    ];
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let variables = containers
        .filter(|one| one["name"] == container)
        .flat_map(|one| one["env"].as_array().into_iter().flatten());
    for variable in variables {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}

async fn pump<R: AsyncRead + Unpin>(
    from: Option<R>,
    kind: fn(Bytes) -> Output,
    to: mpsc::Sender<Output>,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || to.send(kind(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
            return;
        }
    }
}

/// Shows what the main process writes from here on.
async fn attach(context: &Context, uid: &str, options: &Options, channels: Channels) {
    let Some(log) = context.cluster.containers.log(uid, &options.container, false) else { return };
    let mut count = log.follow();
    let (_, mut seen) = log.after(0);
    loop {
        let open = count.borrow_and_update().1;
        let (lines, all) = log.after(seen);
        seen = all;
        for line in lines {
            let bytes = Bytes::from(format!("{}\n", line.text));
            if channels.output.send(Output::Stdout(bytes)).await.is_err() {
                return;
            }
        }
        if !open {
            let _ = channels.output.send(Output::Status(channels::status(Some(0)))).await;
            return;
        }
        tokio::select! {
            changed = count.changed() => if changed.is_err() { return },
            () = channels.output.closed() => return,
        }
    }
}
