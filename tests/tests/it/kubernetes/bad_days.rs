//! What goes wrong between Drover and a cluster. A real cluster cannot be asked for it, so all of
//! this is with the stand-in.

use super::*;
use std::time::{Duration, Instant};

use drover_api::{ClusterState, ResourceList, Topic};
use drover_test_kubernetes::{ApiServer, WatchFault};
use drover_tests::{Client, KubernetesEnvironment, resident};

struct Fixture {
    site: KubernetesSite,
    environment: KubernetesEnvironment,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Kubernetes::stand_in(ApiServer::builder()).await).await
    }

    async fn with(cluster: Kubernetes) -> Self {
        let site = KubernetesSite::with(cluster).await;
        let environment = site.environment("bad", &["bad"]).await;
        let fixture = Self { site, environment };
        // The watch is there before anything happens to it.
        fixture.make("first");
        fixture.shows(&["first"]).await;
        fixture
    }

    fn cluster(&self) -> &Kubernetes {
        &self.site.cluster
    }

    fn server(&self) -> &ApiServer {
        self.site.cluster.server()
    }

    fn namespace(&self) -> &str {
        &self.environment.namespaces[0]
    }

    fn config_map(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": self.namespace() },
        })
    }

    /// Makes a ConfigMap.
    fn make(&self, name: &str) {
        self.cluster().create(&self.config_map(name));
    }

    async fn list(&self, client: &Client, kind: &str) -> ResourceList {
        let path = self.environment.path(&format!("/resources/{kind}?sort=name&limit=1000"));
        client.get(&path).await.expect(200).json()
    }

    /// Waits until Drover lists these ConfigMaps (and the one that each namespace has).
    async fn shows(&self, names: &[&str]) {
        let mut last = Vec::new();
        let until = Instant::now() + CLUSTER_LIMIT;
        while Instant::now() < until {
            let list = self.list(&self.site.admin, "configmaps").await;
            last = list.items.into_iter().map(|row| row.name).collect();
            last.retain(|name: &String| name != "kube-root-ca.crt");
            if last == names {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("listed are {last:?}, not {names:?}");
    }
}

#[tokio::test]
async fn an_api_server_that_is_started_again_is_watched_again() {
    let fixture = Fixture::start().await;
    fixture.server().restart();
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn a_cluster_that_is_gone_for_a_while_is_shown_as_it_was() {
    let fixture = Fixture::start().await;
    let faults = fixture.server().faults();
    faults.set_away(true);
    faults.cut_connections();
    let site = &fixture.site;
    let away = site.cluster_when("away", |cluster| cluster.state == ClusterState::Away).await;
    assert!(away.reason.is_some() && away.last_contact.is_some());
    let list = fixture.list(&site.admin, "configmaps").await;
    assert!(list.items.iter().any(|row| row.name == "first"), "{list:?}");
    eventually("its age is told", CLUSTER_LIMIT, async || {
        let list = fixture.list(&site.admin, "configmaps").await;
        (list.freshness.age_ms > 1000).then_some(())
    })
    .await;
    // A change is refused in words, at once.
    let delete =
        fixture.environment.path(&format!("/objects/configmaps/{}/first", fixture.namespace()));
    site.admin.delete(&delete).await.problem(503, "cluster_unreachable");

    faults.set_away(false);
    site.cluster_when("back", |cluster| cluster.state == ClusterState::Active).await;
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn a_minute_without_the_api_server_is_got_over() {
    const AWAY: Duration = Duration::from_secs(60);
    let fixture = Fixture::start().await;
    let site = &fixture.site;
    let watched = async {
        site.cluster_when("away", |cluster| cluster.state == ClusterState::Away).await;
        // The cluster itself goes on.
        let happened =
            fixture.server().events(fixture.namespace(), 100, Duration::from_secs(1)).await;
        let path = format!(
            "/k8s/clusters/{}/api/v1/namespaces/{}/configmaps",
            site.cluster_id,
            fixture.namespace()
        );
        let refused = site.admin.get(&path).await;
        assert_eq!((refused.status, &refused.value()["kind"]), (503, &json!("Status")));
        eventually("it is a minute old", 2 * AWAY, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let list = fixture.list(&site.admin, "configmaps").await;
            assert!(list.items.iter().any(|row| row.name == "first"), "{list:?}");
            (list.freshness.age_ms > 50_000).then_some(())
        })
        .await;
        happened
    };
    let (happened, ()) = tokio::join!(watched, fixture.server().gone_for(AWAY));
    let back = Instant::now();
    site.cluster_when("back", |cluster| cluster.state == ClusterState::Active).await;
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
    eventually("what happened meanwhile is known", CLUSTER_LIMIT, async || {
        let list = fixture.list(&site.admin, "events").await;
        (list.total == happened && list.freshness.age_ms == 0).then_some(())
    })
    .await;
    // However long it was away, it is not waited for much longer.
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_events_a_second_are_borne() {
    const PER_SECOND: u32 = 5000;
    const TIME: Duration = Duration::from_secs(5);
    let fixture = Fixture::start().await;
    let site = &fixture.site;
    let mut stream = site.server.events(&site.admin, None).await;
    fixture.list(&site.admin, "events").await;
    let before = resident(site.server.pid());

    let began = Instant::now();
    let flood = tokio::spawn(fixture.server().events(fixture.namespace(), PER_SECOND, TIME));
    let told = tokio::spawn(async move {
        let mut told = 0_u32;
        let count = async {
            loop {
                let message = stream.next().await.expect("the stream goes on");
                if message.event != "change" {
                    assert_eq!(message.event, "hello", "nothing is read anew");
                    continue;
                }
                let change = message.change();
                if change.topic == Topic::KubernetesResources && change.id == "events" {
                    told += 1;
                }
            }
        };
        let _ = tokio::time::timeout(TIME, count).await;
        told
    });
    // All else goes on meanwhile: lists, and calls of the cluster itself.
    let mut waits = Vec::new();
    let call = format!(
        "/k8s/clusters/{}/api/v1/namespaces/{}/configmaps/first",
        site.cluster_id,
        fixture.namespace()
    );
    while !flood.is_finished() {
        let asked = Instant::now();
        let list = fixture.list(&site.admin, "configmaps").await;
        assert!(list.items.iter().any(|row| row.name == "first"), "{list:?}");
        site.admin.get(&call).await.expect(200);
        waits.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let happened = flood.await.unwrap();
    let lasted = began.elapsed();
    waits.sort_unstable();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);

    // The index is right, and soon.
    let settled = Instant::now();
    eventually("all events are known", CLUSTER_LIMIT, async || {
        let path = fixture.environment.path("/resources/events?limit=1");
        let list: ResourceList = site.admin.get(&path).await.expect(200).json();
        (list.total == happened).then_some(())
    })
    .await;
    let behind = settled.elapsed();
    let path = fixture
        .environment
        .path(&format!("/resources/events?limit=10&name=%3Dburst.{happened:016x}"));
    let last: ResourceList = site.admin.get(&path).await.expect(200).json();
    assert_eq!(last.items.len(), 1, "{last:?}");
    assert!(
        last.items[0]
            .cells
            .iter()
            .any(|cell| { *cell == json!(format!("Readiness probe failed: number {happened}")) })
    );
    let grown = resident(site.server.pid()) - before;
    let told = told.await.unwrap();
    println!(
        "{happened} events in {lasted:?}; requests {median:?}, at most {longest:?}; \
         {behind:?} behind; {told} told; {grown:.0} MiB more"
    );
    assert_eq!(happened, u64::from(PER_SECOND) * TIME.as_secs());
    assert!(lasted < 4 * TIME, "the stand-in is too slow for this: {lasted:?}");
    assert!(median < Duration::from_millis(500) && longest < Duration::from_secs(5));
    // A few times a second, however many there are.
    assert!((2..=8 * TIME.as_secs()).contains(&u64::from(told)), "{told}");
    assert!(grown < 160.0, "{grown} MiB");
    // Nobody lists anew for it.
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn a_watch_that_is_cut_in_the_middle_of_an_event_loses_nothing() {
    let fixture = Fixture::start().await;
    let mut names = vec!["first".to_owned()];
    for (round, fault) in
        [WatchFault::CutInEvent, WatchFault::End, WatchFault::Gone].into_iter().enumerate()
    {
        fixture.server().faults().end_watches(fault);
        let name = format!("round-{round}");
        fixture.make(&name);
        names.push(name);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fixture.shows(&names).await;
    }
}

#[tokio::test]
async fn a_version_that_is_too_old_is_listed_anew() {
    let fixture = Fixture::start().await;
    fixture.server().faults().next_watches_are_gone(2);
    fixture.server().expire_versions();
    fixture.server().faults().cut_connections();
    fixture.cluster().kubectl(&["delete", "configmap", "first", "-n", fixture.namespace()]);
    fixture.make("second");
    fixture.shows(&["second"]).await;
}

#[tokio::test]
async fn a_cluster_that_asks_for_a_pause_gets_it() {
    let fixture = Fixture::start().await;
    let faults = fixture.server().faults();
    faults.refuse(20, 1);
    faults.cut_connections();
    // As soon as it answers again.
    eventually("kubectl gets through", CLUSTER_LIMIT, async || {
        let made = fixture
            .cluster()
            .try_kubectl(&["create", "-f", "-"], &fixture.config_map("second").to_string());
        made.status.success().then_some(())
    })
    .await;
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn credentials_that_are_not_taken_any_more_are_said_and_renewed() {
    let mut cluster = Kubernetes::stand_in(ApiServer::builder()).await;
    let token = |cluster: &Kubernetes, user: &str| {
        cluster.server().token_kubeconfig(user, &["system:masters"], None)
    };
    let admin = cluster.kubeconfig.clone();
    cluster.kubeconfig = token(&cluster, "drover");
    let fixture = Fixture::with(cluster).await;
    fixture.server().expire_tokens();
    fixture.server().faults().cut_connections();
    let site = &fixture.site;
    let refused =
        site.cluster_when("refused", |cluster| cluster.state == ClusterState::Unauthorized).await;
    assert!(refused.reason.is_some());
    assert!(admin.contains("client-certificate-data"));
    let path = format!("/v1/kubernetes/clusters/{}", site.cluster_id);
    let renewed = json!({ "kubeconfig": token(&site.cluster, "drover") });
    site.admin.patch(&path, renewed).await.expect(200);
    site.cluster_when("back", |cluster| cluster.state == ClusterState::Active).await;
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_taken() {
    let fixture = Fixture::start().await;
    let site = &fixture.site;
    fixture.server().change_certificate(false).unwrap();
    let away = site.cluster_when("not believed", |c| c.state == ClusterState::Away).await;
    let why = away.reason.unwrap().to_lowercase();
    assert!(why.contains("certificate"), "{why}");
    // Another one of the same authority is as good as the first.
    fixture.server().change_certificate(true).unwrap();
    site.cluster_when("back", |cluster| cluster.state == ClusterState::Active).await;
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { plural: widgets, singular: widget, kind: Widget, shortNames: [wd] }
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: { spec: { type: object, properties: { size: { type: integer } } } }
    additionalPrinterColumns:
    - { name: Size, type: integer, jsonPath: .spec.size }
"#;

#[tokio::test]
async fn custom_resources_come_and_go() {
    let fixture = Fixture::start().await;
    let (site, namespace) = (&fixture.site, fixture.namespace());
    site.cluster.kubectl_with(&["apply", "-f", "-"], WIDGETS);
    site.cluster.kubectl(&["wait", "--for=condition=Established", "crd/widgets.example.com"]);
    let widget = |name: &str, size: u32| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": { "name": name, "namespace": namespace }, "spec": { "size": size },
        })
        .to_string()
    };
    for (name, size) in [("small", 2), ("large", 10)] {
        site.cluster.kubectl_with(&["apply", "-f", "-"], &widget(name, size));
    }
    let path = fixture.environment.path("/resources/widgets.example.com?sort=-size");
    let list = eventually("widgets are listed with their columns", CLUSTER_LIMIT, async || {
        let answer = site.admin.get(&path).await;
        let list: ResourceList = (answer.status == 200).then(|| answer.json())?;
        (list.items.len() == 2).then_some(list)
    })
    .await;
    let size = list.columns.iter().position(|column| column.id == "size").unwrap();
    let sizes: Vec<Value> = list.items.iter().map(|row| row.cells[size].clone()).collect();
    assert_eq!(sizes, [json!(10), json!(2)]);

    site.cluster.kubectl(&["delete", "crd/widgets.example.com"]);
    eventually("the type is gone", CLUSTER_LIMIT, async || {
        (site.admin.get(&path).await.status == 404).then_some(())
    })
    .await;
    // Nothing else has noticed.
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
}

#[tokio::test]
async fn another_cluster_does_not_feel_one_that_hangs() {
    let fixture = Fixture::start().await;
    let other = Kubernetes::stand_in(ApiServer::builder()).await;
    let site = &fixture.site;
    let path = "/v1/kubernetes/clusters";
    let slow: KubernetesCluster =
        site.admin.post(path, other.import("slow")).await.expect(201).json();
    let slow_path = format!("{path}/{}", slow.id);
    eventually("the other one is active", CLUSTER_LIMIT, async || {
        let now: KubernetesCluster = site.admin.get(&slow_path).await.expect(200).json();
        (now.state == ClusterState::Active).then_some(())
    })
    .await;
    other.server().faults().delay(Duration::from_secs(30));
    other.server().faults().cut_connections();
    fixture.make("second");
    fixture.shows(&["first", "second"]).await;
    let asked = Instant::now();
    site.admin.get(&fixture.environment.path("")).await.expect(200);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}
