//! What nodes, pods and workloads use, where the cluster has metrics.k8s.io.

use drover_api::{ClusterMetrics, ObjectMetrics};
use leptos::prelude::*;

use super::Kube;
use crate::{api, components::*, format, i18n::kubernetes, icons::Glyph, remote::Remote};

/// Lines that a chart has room for; what is left is summed into one.
const MOST: usize = 6;

/// A measure of a sample.
type Measure = fn(&drover_api::MetricSample) -> f64;

fn cpu(sample: &drover_api::MetricSample) -> f64 {
    sample.cpu_millis as f64 / 1000.0
}

fn memory(sample: &drover_api::MetricSample) -> f64 {
    sample.memory as f64
}

/// The lines of a chart: the biggest ones by themselves.
fn lines(items: &[ObjectMetrics], measure: Measure) -> Vec<Series> {
    let last = |item: &ObjectMetrics| item.samples.last().map_or(0.0, measure);
    let mut order: Vec<_> = items.iter().collect();
    order.sort_by(|a, b| last(b).total_cmp(&last(a)).then_with(|| a.name.cmp(&b.name)));
    order
        .into_iter()
        .take(MOST)
        .map(|item| {
            let points =
                item.samples.iter().map(|sample| (sample.at.unix_ms() as f64, measure(sample)));
            Series::new(item.name.clone(), points.collect())
        })
        .collect()
}

/// What all of them use together now.
fn together(items: &[ObjectMetrics], measure: Measure) -> f64 {
    items.iter().filter_map(|item| item.samples.last()).map(measure).sum()
}

/// What to do about a cluster that measures nothing: a command, or why it does not.
fn shown_advice(advice: String) -> AnyView {
    match advice.starts_with("kubectl ") {
        true => view! { <CommandBlock text=advice /> }.into_any(),
        false => view! { <p class="muted small">{advice}</p> }.into_any(),
    }
}

/// The tab, and a part of the overview.
#[component]
pub(super) fn Metrics(
    kube: Kube,
    /// `pods`, `nodes`, or the type of a workload.
    type_id: String,
    /// Of all namespaces when empty.
    namespace: String,
    /// Of all when empty.
    name: String,
) -> impl IntoView {
    let words = kubernetes();
    let path = kube.env.api("kubernetes/metrics");
    let metrics = Remote::new(move || {
        api::get(path.clone())
            .query("type", &type_id)
            .query("namespace", &namespace)
            .query("name", &name)
            .json::<ClusterMetrics>()
    });
    if let Ok(timer) =
        set_interval_with_handle(move || metrics.reload(), std::time::Duration::from_secs(15))
    {
        on_cleanup(move || timer.clear());
    }
    let chart =
        move |title: &'static str, measure: Measure, words_of: fn(f64) -> String, binary: bool| {
            let series = Signal::derive(move || {
                metrics.with(|all| all.map(|all| lines(&all.items, measure)).unwrap_or_default())
            });
            let now = move || {
                let sum = metrics.with(|all| all.map_or(0.0, |all| together(&all.items, measure)));
                view! { <span class="now">{words_of(sum)}</span> }
            };
            view! {
                <Card title=title extra=now>
                    <Chart label=title series=series words=words_of binary=binary span=600.0 />
                </Card>
            }
        };
    view! {
        <Loaded remote=metrics lines=4 let:all>
            {
                let there = Memo::new(move |_| all.with(|all| (all.available, all.advice.clone(), all.items.is_empty())));
                move || match there.get() {
                    (false, advice, _) => view! {
                        <Card>
                            <Empty glyph=Glyph::Cpu title=words.no_metrics text=words.no_metrics_text>
                                {advice.map(shown_advice)}
                            </Empty>
                        </Card>
                    }
                    .into_any(),
                    (true, _, true) => view! {
                        <Card><Empty glyph=Glyph::Cpu title=words.nothing_measured text=words.nothing_measured_text /></Card>
                    }
                    .into_any(),
                    _ => view! {
                        <div class="grid-2">
                            {chart(words.cpu, cpu, format::cores, false)}
                            {chart(words.memory, memory, format::bytes, true)}
                        </div>
                    }
                    .into_any(),
                }
            }
        </Loaded>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use drover_api::MetricSample;
    use time::OffsetDateTime;

    use super::*;

    fn item(name: &str, cpu_millis: u64) -> ObjectMetrics {
        let sample = MetricSample { at: OffsetDateTime::UNIX_EPOCH.into(), cpu_millis, memory: 1 };
        ObjectMetrics { namespace: None, name: name.into(), samples: vec![sample] }
    }

    #[test]
    fn the_biggest_have_lines() {
        let items: Vec<_> = (0..10).map(|n| item(&format!("p{n}"), n * 100)).collect();
        let lines = lines(&items, cpu);
        assert_eq!(lines.len(), MOST);
        assert_eq!(lines[0].name, "p9");
        assert!((together(&items, cpu) - 4.5).abs() < 1e-9);
    }
}
