//! Ports of pods, forwarded: over SPDY, over SPDY in a WebSocket, or over a WebSocket's channels.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::{Request, body::Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::Message;

use super::{proxy, spdy, upgrade, upgrade::Wanted, websocket};
use crate::{
    handlers::Context,
    respond::Answer,
    status::{ApiError, Result},
};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const CHANNELS: &str = "v4.channel.k8s.io";

/// Begins to forward.
///
/// # Errors
/// When the pod does not run, or no protocol is known.
pub async fn handle(context: Context, mut request: Request<Incoming>) -> Result<Answer> {
    let name = context.info.name.clone();
    let pod = super::pod(&context.cluster, context.namespace(), &name)?;
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    match upgrade::wanted(request.headers()) {
        Wanted::WebSocket(wanted) => {
            let known = [TUNNEL, CHANNELS];
            let chosen = upgrade::choose(&wanted, &known).ok_or_else(upgrade::unknown)?;
            let ports: Vec<u16> = context
                .info
                .query
                .all("ports")
                .flat_map(|ports| ports.split(','))
                .filter_map(|port| port.parse().ok())
                .collect();
            if chosen == CHANNELS && ports.is_empty() {
                return Err(ApiError::bad_request("query parameter \"ports\" is required"));
            }
            let (answer, upgrade) = upgrade::websocket(&mut request, Some(chosen))?;
            if chosen == TUNNEL {
                tokio::spawn(over_spdy(context, uid, spdy::connect(websocket::tunnel(upgrade))));
            } else {
                tokio::spawn(over_channels(context, uid, upgrade, ports));
            }
            Ok(answer)
        }
        Wanted::Spdy(wanted) => {
            let known = ["portforward.k8s.io"];
            let chosen = upgrade::choose(&wanted, &known).ok_or_else(upgrade::unknown)?;
            let (answer, upgrade) = upgrade::spdy(&mut request, chosen);
            tokio::spawn(async move {
                let wait = std::time::Duration::from_secs(10);
                if let Ok(Ok(upgraded)) = tokio::time::timeout(wait, upgrade).await {
                    let connection = spdy::connect(hyper_util::rt::TokioIo::new(upgraded));
                    over_spdy(context, uid, connection).await;
                }
            });
            Ok(answer)
        }
        Wanted::Nothing => Err(ApiError::bad_request("Upgrade request required")),
    }
}

fn refused(port: u16, name: &str) -> String {
    format!(
        "error forwarding port {port} to pod {name}: failed to execute portforward in network namespace \"/var/run/netns/cni-{name}\": failed to connect to localhost:{port} inside namespace \"{name}\", IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused"
    )
}

/// A connection to a port of the pod, if something answers there.
fn dial(context: &Context, uid: &str, port: u16) -> Option<DuplexStream> {
    if !context.cluster.containers.serves(uid, port) {
        return None;
    }
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(proxy::respond(theirs, context.info.name.clone(), port));
    Some(ours)
}

async fn over_spdy(context: Context, uid: String, mut connection: spdy::Connection) {
    // By the number of the request: its error stream.
    let mut errors: HashMap<String, u32> = HashMap::new();
    let mut writers: HashMap<u32, WriteHalf<DuplexStream>> = HashMap::new();
    let orders = connection.orders.clone();
    while let Some(event) = connection.events.recv().await {
        match event {
            spdy::Event::Open(stream, headers) => {
                if orders.send(spdy::Order::Accept(stream)).await.is_err() {
                    return;
                }
                let word = |key: &str| headers.get(key).cloned().unwrap_or_default();
                let request = word("requestid");
                if word("streamtype") == "error" {
                    errors.insert(request, stream);
                    continue;
                }
                let port: u16 = word("port").parse().unwrap_or(0);
                let error = errors.get(&request).copied();
                match dial(&context, &uid, port) {
                    Some(ours) => {
                        let (reader, writer) = tokio::io::split(ours);
                        writers.insert(stream, writer);
                        tokio::spawn(pump(reader, stream, error, orders.clone()));
                    }
                    None => {
                        let text = refused(port, &context.info.name);
                        for order in error.into_iter().flat_map(|error| {
                            [
                                spdy::Order::Data(error, Bytes::from(text.clone())),
                                spdy::Order::End(error),
                            ]
                        }) {
                            if orders.send(order).await.is_err() {
                                return;
                            }
                        }
                        if orders.send(spdy::Order::End(stream)).await.is_err() {
                            return;
                        }
                    }
                }
            }
            spdy::Event::Data(stream, bytes) => {
                if let Some(writer) = writers.get_mut(&stream)
                    && writer.write_all(&bytes).await.is_err()
                {
                    writers.remove(&stream);
                }
            }
            spdy::Event::End(stream) => {
                if let Some(mut writer) = writers.remove(&stream) {
                    // How the other end takes it is its own business.
                    let _ = writer.shutdown().await;
                }
            }
            spdy::Event::Reset(stream) => {
                writers.remove(&stream);
            }
        }
    }
}

async fn pump(
    mut reader: ReadHalf<DuplexStream>,
    stream: u32,
    error: Option<u32>,
    orders: mpsc::Sender<spdy::Order>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = reader.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let bytes = Bytes::copy_from_slice(&buffer[..count]);
        if orders.send(spdy::Order::Data(stream, bytes)).await.is_err() {
            return;
        }
    }
    for stream in [Some(stream), error].into_iter().flatten() {
        if orders.send(spdy::Order::End(stream)).await.is_err() {
            return;
        }
    }
}

/// Two channels for each port: data and errors. Each begins with the port's number.
async fn over_channels(
    context: Context,
    uid: String,
    upgrade: hyper::upgrade::OnUpgrade,
    ports: Vec<u16>,
) {
    let Some(socket) = websocket::socket(upgrade).await else { return };
    let (mut sink, mut source) = socket.split();
    let (to, mut from) = mpsc::channel::<(u8, Bytes)>(64);
    let mut writers = HashMap::new();
    for (index, port) in ports.iter().enumerate() {
        let Ok(channel) = u8::try_from(index * 2) else { return };
        for channel in [channel, channel + 1] {
            if to.send((channel, Bytes::copy_from_slice(&port.to_le_bytes()))).await.is_err() {
                return;
            }
        }
        match dial(&context, &uid, *port) {
            Some(ours) => {
                let (mut reader, writer) = tokio::io::split(ours);
                writers.insert(channel, writer);
                let to = to.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(count) = reader.read(&mut buffer).await {
                        let bytes = Bytes::copy_from_slice(&buffer[..count]);
                        if count == 0 || to.send((channel, bytes)).await.is_err() {
                            return;
                        }
                    }
                });
            }
            None => {
                let text = Bytes::from(refused(*port, &context.info.name));
                if to.send((channel + 1, text)).await.is_err() {
                    return;
                }
            }
        }
    }
    loop {
        tokio::select! {
            outgoing = from.recv() => {
                let Some((channel, bytes)) = outgoing else { return };
                let mut message = vec![channel];
                message.extend_from_slice(&bytes);
                if sink.send(Message::Binary(message.into())).await.is_err() {
                    return;
                }
            }
            incoming = source.next() => match incoming {
                Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                    if let Some(writer) = writers.get_mut(&bytes[0])
                        && writer.write_all(&bytes[1..]).await.is_err()
                    {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                _ => {}
            }
        }
    }
}
