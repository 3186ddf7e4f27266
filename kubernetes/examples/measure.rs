//! Measures the index of a cluster: `measure KUBECONFIG [SECONDS]` prints how long the first list
//! took, what the process holds, and what questions cost, and then follows changes.

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use drover_kubernetes::{
    client::{Cluster, Reach, kubeconfig::Kubeconfig},
    index::{Field, Filter, Index, Options, Query, Scope},
};
use tokio::sync::broadcast::error::RecvError;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: measure KUBECONFIG [SECONDS]")?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let kubeconfig = Kubeconfig::read(&std::fs::read_to_string(path)?)?;
    let access = kubeconfig.choose(None).map_err(|problems| problems.join(" "))?;
    let cluster = Cluster::direct(&access, Reach::Anywhere)?;

    let before = rss();
    let began = Instant::now();
    let index = Index::start(cluster, Options::default());
    let mut changes = index.changes();
    let pods = index.open("pods").await?;
    println!("pods known after {:?}", began.elapsed());
    while index.types().iter().any(|kept| !kept.state.synced && kept.state.error.is_none()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("all known after {:?}; {:?}", began.elapsed(), index.status());
    for kept in index.types() {
        println!(
            "  {:6} {} {:?}",
            kept.count,
            kept.resource.name,
            kept.state.error.map(|e| e.to_string())
        );
    }
    println!(
        "resident: {} KiB, of which the index {} KiB, at most {} KiB; {} texts",
        rss().0,
        rss().0.saturating_sub(before.0),
        rss().1,
        index.pooled_texts()
    );

    let mut query = Query::new(Scope::all());
    ask("by name", &pods, &query)?;
    query.filters = vec![Filter::parse("status", "Running")];
    query.sort = vec![(Field::parse("restarts"), true)];
    ask("running, by restarts", &pods, &query)?;
    query.text = Some("1".into());
    ask("running, by restarts, with a text", &pods, &query)?;
    query.sort = vec![(Field::parse("node"), false), (Field::parse("age"), true)];
    ask("the same by two fields", &pods, &query)?;
    let asked = Instant::now();
    let groups = pods.groups(&Query::new(Scope::all()), &Field::Owner)?;
    println!("{} groups by owner in {:?}", groups.len(), asked.elapsed());

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        match tokio::time::timeout_at(end, changes.recv()).await {
            Ok(Ok(told)) => {
                let count = counts.entry(told.resource.name.to_string()).or_default();
                *count += told.rows.as_ref().map_or(1, Vec::len);
            }
            Ok(Err(RecvError::Lagged(missed))) => println!("missed {missed}"),
            Ok(Err(RecvError::Closed)) | Err(_) => break,
        }
    }
    println!("told in {seconds} s: {counts:?}");
    println!("resident: {} KiB, at most {} KiB", rss().0, rss().1);
    Ok(())
}

fn ask(
    what: &str,
    live: &drover_kubernetes::index::Live,
    query: &Query,
) -> Result<(), Box<dyn Error>> {
    let asked = Instant::now();
    let page = live.page(query)?;
    let first = asked.elapsed();
    // Another page: the order is there, the answer is not.
    let mut second = query.clone();
    second.offset = 100;
    let asked = Instant::now();
    live.page(&second)?;
    let next = asked.elapsed();
    let asked = Instant::now();
    live.page(query)?;
    println!(
        "{what}: {} of {}: first {first:?}, another page {next:?}, again {:?}",
        page.rows.len(),
        page.total,
        asked.elapsed()
    );
    Ok(())
}

/// Resident memory now and at most, in KiB.
fn rss() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or_default()
    };
    (value("VmRSS:"), value("VmHWM:"))
}
