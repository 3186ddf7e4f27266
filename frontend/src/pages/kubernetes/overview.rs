//! An environment on Kubernetes at a glance: the cluster, the health of what runs, warnings, what is
//! used and what may be.

use drover_api::{EnvironmentCluster, Permission, ResourceGroup, ResourceList, ResourceRow, Topic};
use leptos::prelude::*;
use serde_json::Value;

use super::{
    Kube, all,
    browser::Standing,
    metrics::Metrics,
    states::{HEALTHS, health_named},
};
use crate::{
    api::{self, encode},
    components::*,
    environment::use_env,
    format,
    i18n::{fill, kubernetes, plural, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// What runs: the types that are counted.
const COUNTED: [(&str, &str, Glyph); 6] = [
    ("deployments.apps", "Deployments", Glyph::Stack),
    ("statefulsets.apps", "StatefulSets", Glyph::Volume),
    ("daemonsets.apps", "DaemonSets", Glyph::Host),
    ("jobs.batch", "Jobs", Glyph::Bolt),
    ("pods", "Pods", Glyph::Container),
    ("services", "Services", Glyph::Network),
];

/// The page.
#[component]
pub fn KubernetesOverview() -> impl IntoView {
    let words = kubernetes();
    let kube = Kube::provide();
    let env = use_env();
    let title = Signal::derive(move || env.name());
    let about = Signal::derive(move || {
        env.get().map(|env| env.description).filter(|text| !text.is_empty())
    });
    let badge = move || {
        kube.cluster
            .with(|one| one.map(|one| one.state))
            .map(|state| view! { <StatePill state=state /> })
    };
    let actions = move || {
        view! {
            <ButtonLink icon=Glyph::Download href=env.path("kubernetes/kubectl") label=words.kubectl />
            {env.may(Permission::Deploy).then(|| view! {
                <ButtonLink look=Look::Primary icon=Glyph::Plus href=env.path("kubernetes/create") label=t().common.create />
            })}
        }
    };
    view! {
        <Standing kube=kube />
        <Page title=title sub=about badge=badge actions=actions>
            <Found remote=kube.cluster>
                <div class="counts k8s-counts">
                    {COUNTED.map(|(id, label, glyph)| view! { <Count kube=kube id=id label=label glyph=glyph /> }).collect_view()}
                </div>
                <div class="overview">
                    <div class="stack">
                        <Unwell kube=kube />
                        <Warnings kube=kube />
                    </div>
                    <div class="stack">
                        <Loaded remote=kube.cluster lines=5 let:cluster>
                            {move || facts(kube, cluster.get())}
                        </Loaded>
                        <Quotas kube=kube />
                    </div>
                </div>
                <section class="stack-s">
                    <h2>{words.in_use}</h2>
                    <Metrics kube=kube type_id="pods".to_owned() namespace=String::new() name=String::new() />
                </section>
            </Found>
        </Page>
    }
}

/// How many of a type there are, by how they are.
#[component]
fn Count(kube: Kube, id: &'static str, label: &'static str, glyph: Glyph) -> impl IntoView {
    let path = kube.env.api(&format!("kubernetes/resources/{}/groups", encode(id)));
    let groups =
        Remote::new(move || all::<ResourceGroup>(api::get(path.clone()).query("by", "health")))
            .live(&[Topic::KubernetesResources], move |event| event.id == id);
    let counted = Memo::new(move |_| groups.with(|groups| groups.cloned()).unwrap_or_default());
    let of = |groups: &[ResourceGroup], name: &str| {
        groups.iter().find(|group| group.value == name).map_or(0, |group| group.count)
    };
    let known = Memo::new(move |_| groups.with(|groups| groups.is_some()));
    let figure = Signal::derive(move || match known.get() {
        true => format::count(counted.with(|groups| groups.iter().map(|group| group.count).sum())),
        false => "–".to_owned(),
    });
    let parts = Signal::derive(move || {
        counted.with(|groups| {
            let mut parts: Vec<_> = groups
                .iter()
                .map(|group| {
                    let tone = health_named(&group.value).map_or(Tone::Idle, Stated::tone);
                    (group.count as f64, tone)
                })
                .collect();
            parts.sort_by_key(|(_, tone)| *tone as u8);
            parts
        })
    });
    let legend = move || {
        if !known.get() {
            return view! { <span class="skeleton k8s-unknown"></span> }.into_any();
        }
        counted.with(|groups| {
            if groups.is_empty() {
                return view! { <span>{t().overview.nothing}</span> }.into_any();
            }
            HEALTHS
                .iter()
                .filter(|(_, name)| of(groups, name) > 0)
                .map(|(health, name)| {
                    view! {
                        <span class="row">
                            <span class=format!("dot tone-{}", health.tone().name())></span>
                            <span class="nums">{format::count(of(groups, name))}</span>
                            {health.label()}
                        </span>
                    }
                })
                .collect_view()
                .into_any()
        })
    };
    view! {
        <a class="card count" href=kube.list_page(id)>
            <Donut label=label parts=parts figure=figure />
            <span class="stack-s grow">
                <span class="stat-label"><Icon glyph=glyph /> {label}</span>
                <span class="stat-parts">{legend}</span>
            </span>
        </a>
    }
}

fn facts(kube: Kube, one: EnvironmentCluster) -> AnyView {
    let words = kubernetes();
    let count = one.namespaces.len();
    let shown: Vec<_> = one.namespaces.iter().take(12).cloned().collect();
    let names = shown
        .into_iter()
        .map(|name| {
            let href = format!("{}?namespace={}", kube.list_page("pods"), encode(&name));
            view! { <a class="tag" href=href><span>{name}</span></a> }
        })
        .collect_view();
    let more = (count > 12).then(|| format!("+{}", count - 12));
    let share = if one.whole_cluster { words.whole_cluster } else { words.some_namespaces };
    let mut rows = vec![
        (words.cluster, view! { <span class="break">{one.cluster_name}</span> }.into_any()),
        (words.version, one.version.unwrap_or_else(|| t().common.unknown.to_owned()).into_any()),
        (words.share, share.into_any()),
    ];
    // Of a whole cluster they are not known before it has told them.
    if count > 0 {
        rows.push((
            words.namespaces,
            view! { <span class="tags">{names} {more}</span> }.into_any(),
        ));
    }
    if let Some(at) = one.last_contact {
        rows.push((words.last_contact, view! { <TimeAgo at=at /> }.into_any()));
    }
    view! {
        <Card title=words.cluster extra=move || view! { <a class="small" href=kube.env.path("kubernetes/limits")>{words.limits_title}</a> }>
            <KeyValues rows=rows />
        </Card>
    }
    .into_any()
}

/// A line of a feed: an object with how it is and why.
fn line(kube: Kube, id: &'static str, kind: &'static str, row: ResourceRow) -> AnyView {
    let href = kube.object_page(id, row.namespace.as_deref(), &row.name);
    let place = row.namespace.clone().unwrap_or_default();
    view! {
        <li>
            {super::states::health_dot(row.health)}
            <span class="two grow">
                <span class="row">
                    <a class="strong truncate" href=href title=row.name.clone()>{row.name.clone()}</a>
                    <span class="faint small truncate">{format!("{kind} · {place}")}</span>
                </span>
                <span class="break">{row.reason}</span>
            </span>
        </li>
    }
    .into_any()
}

/// What is not well, and why.
#[component]
fn Unwell(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let of = move |id: &'static str| {
        let path = kube.env.api(&format!("kubernetes/resources/{}", encode(id)));
        Remote::new(move || {
            api::get(path.clone())
                .query("health", "failed,degraded")
                .query("sort", "health,name")
                .query("limit", 8)
                .json::<ResourceList>()
        })
        .live(&[Topic::KubernetesResources], move |event| event.id == id)
    };
    let kinds: [(&str, &str); 4] = [
        ("deployments.apps", "Deployment"),
        ("statefulsets.apps", "StatefulSet"),
        ("daemonsets.apps", "DaemonSet"),
        ("pods", "Pod"),
    ];
    let lists = kinds.map(|(id, kind)| (id, kind, of(id)));
    let total = Memo::new(move |_| {
        lists
            .iter()
            .map(|(_, _, list)| list.with(|list| list.map_or(0, |list| list.total)))
            .sum::<u64>()
    });
    let known =
        Memo::new(move |_| lists.iter().all(|(_, _, list)| list.with(|list| list.is_some())));
    let shown = move || {
        if !known.get() {
            return view! { <Skeleton lines=3 /> }.into_any();
        }
        if total.get() == 0 {
            return view! {
                <p class="pad row"><Icon glyph=Glyph::CheckCircle class="tone-ok" /> <span>{words.all_well}</span></p>
            }
            .into_any();
        }
        let lines: Vec<_> = lists
            .iter()
            .flat_map(|(id, kind, list)| {
                let rows =
                    list.with(|list| list.map(|list| list.items.clone()).unwrap_or_default());
                rows.into_iter().map(|row| line(kube, id, kind, row))
            })
            .take(12)
            .collect();
        view! { <ul class="feed" aria-live="polite">{lines}</ul> }.into_any()
    };
    let extra = move || {
        (total.get() > 0)
            .then(|| view! { <Badge label=plural(total.get(), words.n_unwell) tone=Tone::Bad /> })
    };
    view! { <Card title=words.unwell_title flush=true extra=extra>{shown}</Card> }
}

/// The newest warnings among the events.
#[component]
fn Warnings(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let path = kube.env.api("kubernetes/resources/events");
    let events = Remote::new(move || {
        api::get(path.clone())
            .query("type", "=Warning")
            .query("sort", "-last_seen")
            .query("limit", 8)
            .json::<ResourceList>()
    })
    .live(&[Topic::KubernetesResources], |event| event.id == "events");
    let all = format!("{}?columns=type:%3DWarning", kube.list_page("events"));
    let about = move |name: &str, namespace: Option<&str>| {
        let name = name.to_owned();
        match kube.page_about(&name, namespace) {
            Some(href) => {
                view! { <a class="strong truncate" href=href title=name.clone()>{name.clone()}</a> }
                    .into_any()
            }
            None => {
                view! { <span class="strong truncate" title=name.clone()>{name.clone()}</span> }
                    .into_any()
            }
        }
    };
    let shown = move |list: ResourceList| {
        if list.items.is_empty() {
            return view! {
                <p class="pad row"><Icon glyph=Glyph::CheckCircle class="tone-ok" /> <span>{words.no_warnings}</span></p>
            }
            .into_any();
        }
        let place = |id: &str| list.columns.iter().position(|column| column.id == id);
        let (seen, reason, object, message) =
            (place("last_seen"), place("reason"), place("object"), place("message"));
        let text = |row: &ResourceRow, at: Option<usize>| {
            at.and_then(|at| row.cells.get(at)?.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let lines: Vec<_> = list
            .items
            .iter()
            .map(|row| {
                let at = seen.and_then(|at| row.cells.get(at)).cloned().unwrap_or(Value::Null);
                let at = super::list::cell(drover_api::ColumnKind::Time, Some(&at));
                view! {
                    <li>
                        <Icon glyph=Glyph::Warning class="tone-warn" />
                        <span class="two grow">
                            <span class="row">
                                {about(&text(row, object), row.namespace.as_deref())}
                                <span class="faint small">{text(row, reason)}</span>
                            </span>
                            <span class="break">{text(row, message)}</span>
                        </span>
                        <span class="small tight">{at}</span>
                    </li>
                }
            })
            .collect();
        view! { <ul class="feed">{lines}</ul> }.into_any()
    };
    view! {
        <Card title=words.warnings flush=true extra=move || view! { <a class="small" href=all.clone()>{words.all_events}</a> }>
            <Loaded remote=events lines=3 let:list>{move || shown(list.get())}</Loaded>
        </Card>
    }
}

/// The limits of the namespaces, and what of them is used.
#[component]
fn Quotas(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let path = kube.env.api("kubernetes/resources/resourcequotas");
    let quotas =
        Remote::new(move || api::get(path.clone()).query("limit", 20).json::<ResourceList>())
            .live(&[Topic::KubernetesResources], |event| event.id == "resourcequotas");
    move || {
        let list = quotas.get().filter(|list| !list.items.is_empty())?;
        let meters: Vec<_> = list
            .items
            .iter()
            .flat_map(|row| {
                let space = row.namespace.clone().unwrap_or_default();
                let texts = row.cells.iter().filter_map(Value::as_str);
                texts
                    .flat_map(used)
                    .map(move |(what, used, hard)| (space.clone(), what, used, hard))
                    .collect::<Vec<_>>()
            })
            .map(|(space, what, used, hard)| {
                let label = fill(words.quota_line, &[("namespace", &space), ("what", &what)]);
                let part = match (quantity(&used), quantity(&hard)) {
                    (Some(used), Some(hard)) if hard > 0.0 => used / hard,
                    _ => 0.0,
                };
                let tone = if part > 0.9 {
                    Tone::Bad
                } else if part > 0.75 {
                    Tone::Warn
                } else {
                    Tone::Accent
                };
                view! {
                    <div class="meter">
                        <span class="muted truncate" title=label.clone()>{label.clone()}</span>
                        <span class="nums">{format!("{used} / {hard}")}</span>
                        <Progress value=part tone=tone label=label />
                    </div>
                }
            })
            .collect();
        (!meters.is_empty()).then(|| view! { <Card title=words.quota>{meters}</Card> })
    }
}

/// `requests.cpu: 1/4, pods: 3/50`, as the column of a quota says it, in its parts.
fn used(text: &str) -> Vec<(String, String, String)> {
    text.split(", ")
        .filter_map(|part| {
            let (what, figures) = part.split_once(": ")?;
            let (used, hard) = figures.split_once('/')?;
            Some((what.to_owned(), used.to_owned(), hard.to_owned()))
        })
        .collect()
}

/// A quantity as Kubernetes writes it, in its unit.
pub(super) fn quantity(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_off_their_column() {
        let found = used("pods: 3/50, requests.memory: 512Mi/1Gi");
        assert_eq!(found[1], ("requests.memory".into(), "512Mi".into(), "1Gi".into()));
        assert!(used("nothing").is_empty());
        assert_eq!(quantity("512Mi").zip(quantity("1Gi")).map(|(a, b)| a / b), Some(0.5));
        assert_eq!(quantity("250m"), Some(0.25));
        assert_eq!(quantity("1e3x"), None);
    }
}
