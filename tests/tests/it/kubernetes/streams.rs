//! Logs, shells and files of pods.

use std::time::Duration;

use super::*;
use drover_api::{ExecEvent, List, PodLogLine, PodLogMessage};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

const SOON: Duration = Duration::from_secs(30);
/// Pods that say something every second, and have a shell.
const TALKS: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: talks}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: talks}}\n  template:\n    metadata: {labels: {app: talks}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {name: main, image: 'busybox:1', command: [sh, -c, 'while true; do echo said; sleep 1; done']}\n";

/// A time as it can be compared: kubelets leave out zeros at the end.
fn moment(at: &str) -> String {
    let (seconds, fraction) = at.trim_end_matches('Z').split_once('.').unwrap_or((at, ""));
    format!("{}.{fraction:0<9}", seconds.trim_end_matches('Z'))
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(site: &KubernetesSite, token: &str, path: &str) -> Self {
        let url = format!("{}{path}", site.server.base().replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        Self(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// The next message that carries something; none after the close.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(SOON, self.0.next()).await;
            match next.expect("no message in time")? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) => return Some(message),
            }
        }
    }

    /// Reads a terminal until it shows a text.
    async fn until(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(wanted) {
            match self.next().await {
                Some(Message::Binary(bytes)) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?} after {seen}"),
            }
        }
        seen
    }
}

/// A site with pods that talk: their namespace and one's name.
async fn talking() -> (KubernetesSite, drover_tests::KubernetesEnvironment, String) {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = shop.namespaces[0].clone();
    site.cluster.kubectl_with(&["apply", "-n", &namespace, "-f", "-"], TALKS);
    let pod = eventually("two pods run", CLUSTER_LIMIT, async || {
        let pods = site.cluster.object(&["pods", "-n", &namespace]);
        let pods = pods["items"].as_array()?.clone();
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        (running == 2).then(|| pods[0]["metadata"]["name"].as_str().map(str::to_owned))?
    })
    .await;
    (site, shop, pod)
}

#[tokio::test]
async fn the_logs_of_a_workload_are_merged_and_resumed() {
    let (site, shop, pod) = talking().await;
    let namespace = &shop.namespaces[0];
    let of = format!("type=deployments.apps&namespace={namespace}&name=talks");
    let read = shop.path(&format!("/logs?{of}"));
    let lines = eventually("both pods have said something", CLUSTER_LIMIT, async || {
        let all: List<PodLogLine> = site.admin.get(&read).await.expect(200).json();
        let mut pods: Vec<_> = all.items.iter().map(|line| line.pod.clone()).collect();
        pods.sort();
        pods.dedup();
        (pods.len() == 2).then_some(all.items)
    })
    .await;
    assert!(lines.iter().all(|line| line.text == "said" && line.container == "main"), "{lines:?}");
    assert!(lines.is_sorted_by_key(|line| moment(&line.at)), "in order of time");

    let follow = shop.path(&format!("/logs/ws?{of}&tail=1"));
    let mut socket = Socket::open(&site, &site.token, &follow).await;
    let mut last = String::new();
    for _ in 0..3 {
        match socket.next().await {
            Some(Message::Text(text)) => match serde_json::from_str(&text).unwrap() {
                PodLogMessage::Lines { lines } => last = lines.last().unwrap().at.clone(),
                PodLogMessage::End { reason } => panic!("{reason}"),
            },
            other => panic!("{other:?}"),
        }
    }
    drop(socket);
    let one = format!("type=pods&namespace={namespace}&name={pod}&since={last}");
    let rest = shop.path(&format!("/logs?{one}"));
    let rest: List<PodLogLine> = site.admin.get(&rest).await.expect(200).json();
    assert!(
        rest.items.iter().all(|line| moment(&line.at) > moment(&last)),
        "no line comes twice: {rest:?}"
    );
    let text = site.admin.get(&format!("{read}&format=text&timestamps=false")).await.expect(200);
    assert!(text.header("content-disposition").is_some_and(|how| how.contains("talks.log")));
}

#[tokio::test]
async fn a_shell_is_used_and_ends_with_the_right_to_it() {
    let (site, shop, pod) = talking().await;
    let namespace = &shop.namespaces[0];
    let path = shop.path(&format!("/pods/{namespace}/{pod}/exec/ws"));
    let mut socket = Socket::open(&site, &site.token, &format!("{path}?columns=100&rows=30")).await;
    socket.0.send(Message::binary(b"echo $((6 * 7)); exit 3\n".to_vec())).await.unwrap();
    socket.until("42").await;
    let end = loop {
        match socket.next().await {
            Some(Message::Text(text)) => break serde_json::from_str(&text).unwrap(),
            Some(_) => {}
            None => panic!("closed without an end"),
        }
    };
    let ExecEvent::End { exit_code, .. } = end;
    assert_eq!(exit_code, Some(3));

    let user = site.server.user("grace").await;
    site.server.set_member(shop.id, &user, Role::Member).await;
    let browser = site.server.sign_in("grace").await;
    let (key, _) = site.server.key(&browser, None, None).await;
    let mut socket = Socket::open(&site, &key.token, &path).await;
    socket.0.send(Message::binary(b"echo re''ady\n".to_vec())).await.unwrap();
    socket.until("ready").await;
    site.server.set_member(shop.id, &user, Role::Readonly).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match socket.next().await {
                Some(Message::Text(text)) => break text.to_string(),
                Some(_) => {}
                None => panic!("closed without an end"),
            }
        }
    });
    let ended = ended.await.expect("the shell ends within five seconds");
    assert!(ended.contains("has ended"), "{ended}");
}

#[tokio::test]
async fn files_are_copied_in_and_out() {
    let (site, shop, pod) = talking().await;
    let namespace = &shop.namespaces[0];
    let path = shop.path(&format!("/pods/{namespace}/{pod}/files"));
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    archive.append_data(&mut header, "notes.txt", &b"hello"[..]).unwrap();
    let bytes = archive.into_inner().unwrap();
    let request = site.admin.request(axum::http::Method::PUT, &format!("{path}?path=/tmp"));
    site.admin.send(request.body(bytes)).await.expect(204);

    let request =
        site.admin.request(axum::http::Method::GET, &format!("{path}?path=/tmp/notes.txt"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().await.unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut entry = archive.entries().unwrap().next().expect("a file").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
    assert_eq!(text, "hello");

    site.admin.get(&format!("{path}?path=/nowhere")).await.problem(422, "invalid_object");
    site.admin.get(&format!("{path}?path=/a/../etc")).await.problem(400, "invalid_query");
    let reader = site.server.member("reader", shop.id, Role::Readonly).await;
    reader.get(&format!("{path}?path=/tmp")).await.problem(403, "forbidden");
}
