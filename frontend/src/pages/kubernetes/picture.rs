//! An application as a picture: what lets people in at the left, pods and their volumes at the
//! right, each in the colour of its health, with the reason and what proves it below.

use drover_api::{Picture, PictureNode, Topic};
use leptos::prelude::*;

use super::Kube;
use crate::{
    api,
    components::*,
    i18n::kubernetes,
    icons::Glyph,
    remote::Remote,
    states::{Stated, Tone},
};

const WIDTH: f64 = 190.0;
const HEIGHT: f64 = 52.0;
const GAP_X: f64 = 30.0;
const GAP_Y: f64 = 14.0;

/// Where each node stands: columns by rank (ranks that nothing has are left out), rows so that
/// lines cross seldom: each node near the middle of what leads to it.
fn places(picture: &Picture) -> Vec<(f64, f64)> {
    let mut ranks: Vec<u32> = picture.nodes.iter().map(|node| node.rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut row = vec![0.0_f64; picture.nodes.len()];
    for rank in &ranks {
        let mut column: Vec<(f64, usize)> = picture
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.rank == *rank)
            .map(|(index, _)| {
                let before: Vec<f64> = picture
                    .edges
                    .iter()
                    .filter(|(_, to)| *to as usize == index)
                    .filter_map(|(from, _)| row.get(*from as usize).copied())
                    .collect();
                let middle = before.iter().sum::<f64>() / before.len().max(1) as f64;
                (middle, index)
            })
            .collect();
        column.sort_by(|a, b| {
            a.0.total_cmp(&b.0).then_with(|| picture.nodes[a.1].name.cmp(&picture.nodes[b.1].name))
        });
        let mut free = 0.0_f64;
        for (middle, index) in column {
            // As far down as what leads to it, but below its neighbour.
            row[index] = middle.max(free);
            free = row[index] + 1.0;
        }
    }
    picture
        .nodes
        .iter()
        .zip(&row)
        .map(|(node, row)| {
            let column = ranks.iter().position(|rank| *rank == node.rank).unwrap_or_default();
            (column as f64 * (WIDTH + GAP_X), row * (HEIGHT + GAP_Y))
        })
        .collect()
}

/// The first characters of a long name, and its last ones, which tell pods apart.
fn short(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_owned();
    }
    let head: String = name.chars().take(most - 7).collect();
    let tail: String = name.chars().skip(count - 6).collect();
    format!("{head}…{tail}")
}

/// The tab.
#[component]
pub(super) fn PictureTab(kube: Kube, path: String) -> impl IntoView {
    let words = kubernetes();
    let picture = {
        let path = format!("{path}/picture");
        Remote::new(move || api::get(path.clone()).json::<Picture>())
            .live(&[Topic::KubernetesResources], |_| true)
    };
    view! {
        <Loaded remote=picture let:picture>
            {move || {
                let picture = picture.get();
                match picture.nodes.is_empty() {
                    true => view! { <Card><Empty glyph=Glyph::Network title=words.no_picture text=words.no_picture_text /></Card> }.into_any(),
                    false => {
                        let (drawn, why) = (draw(kube, &picture), reasons(kube, &picture));
                        view! { <Card>{drawn}</Card> {why} }.into_any()
                    }
                }
            }}
        </Loaded>
    }
    .into_any()
}

fn draw(kube: Kube, picture: &Picture) -> AnyView {
    let places = places(picture);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0_f64, f64::max);
    let width = most(&mut places.iter().map(|place| place.0)) + WIDTH + 2.0;
    let height = most(&mut places.iter().map(|place| place.1)) + HEIGHT + 2.0;
    let lines = picture
        .edges
        .iter()
        .filter_map(|(from, to)| {
            let (x1, y1) = places.get(*from as usize)?;
            let (x2, y2) = places.get(*to as usize)?;
            let (x1, y1, x2, y2) = (x1 + WIDTH, y1 + HEIGHT / 2.0, *x2, y2 + HEIGHT / 2.0);
            let bend = (x2 - x1) / 2.0;
            let d = format!("M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend);
            Some(view! { <path class="link" d=d /> })
        })
        .collect_view();
    let boxes = picture
        .nodes
        .iter()
        .zip(&places)
        .map(|(node, (x, y))| {
            let link = boxed(kube, node);
            view! { <g transform=format!("translate({x} {y})")>{link}</g> }
        })
        .collect_view();
    view! {
        <div class="scroll-x">
            <svg class="picture" width=width height=height viewBox=format!("-1 -1 {width} {height}")
                role="group" aria-label=kubernetes().picture>
                {lines}
                {boxes}
            </svg>
        </div>
    }
    .into_any()
}

fn boxed(kube: Kube, node: &PictureNode) -> AnyView {
    let tone = node.health.map_or(Tone::Idle, Stated::tone).name();
    let state = node.health.map(Stated::label).unwrap_or_default();
    let mut title = format!("{} {} · {state}", node.kind, node.name);
    if let Some(reason) = &node.reason {
        title.push_str(&format!(" · {reason}"));
    }
    let under = node.reason.clone().unwrap_or_else(|| node.kind.clone());
    let face = view! {
        <title>{title.clone()}</title>
        <rect class=format!("box box-{tone}") width=WIDTH height=HEIGHT rx="8" />
        <circle class=format!("dot dot-{tone}") cx="15" cy="19" r="4" />
        <text class="name" x="26" y="23">{short(&node.name, 18)}</text>
        <text class="sub" x="14" y="41">{clipped(&under, 27)}</text>
    };
    // An SVG link: in a view, `<a>` is HTML's.
    leptos::svg::a()
        .attr("href", kube.object_page(&node.type_id, node.namespace.as_deref(), &node.name))
        .attr("aria-label", title)
        .child(face)
        .into_any()
}

fn clipped(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => format!("{}…", text.chars().take(most - 1).collect::<String>()),
        false => text.to_owned(),
    }
}

/// Why what is not well is not, with what proves it.
fn reasons(kube: Kube, picture: &Picture) -> Option<AnyView> {
    let unwell: Vec<_> =
        picture.nodes.iter().filter(|node| node.reason.is_some()).cloned().collect();
    if unwell.is_empty() {
        return None;
    }
    let lines = unwell
        .into_iter()
        .map(|node| {
            let href = kube.object_page(&node.type_id, node.namespace.as_deref(), &node.name);
            view! {
                <li class="stack-s">
                    <div class="row-wrap">
                        {node.health.map(|health| view! { <StatePill state=health /> })}
                        <a class="strong break" href=href>{format!("{} {}", node.kind, node.name)}</a>
                    </div>
                    <div class="break">{node.reason}</div>
                    {node.evidence.map(|line| view! { <pre class="code wrap" tabindex="0">{line}</pre> })}
                </li>
            }
        })
        .collect_view();
    Some(
        view! { <Card title=kubernetes().why><ul class="k8s-outcomes">{lines}</ul></Card> }
            .into_any(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, rank: u32) -> PictureNode {
        PictureNode {
            type_id: "pods".into(),
            kind: "Pod".into(),
            namespace: None,
            name: name.into(),
            rank,
            health: None,
            reason: None,
            evidence: None,
        }
    }

    #[test]
    fn nodes_stand_beside_what_leads_to_them() {
        let picture = Picture {
            nodes: vec![node("s1", 1), node("s2", 1), node("b", 4), node("a", 4), node("c", 4)],
            edges: vec![(0, 3), (0, 2), (1, 4)],
        };
        let at = places(&picture);
        assert_eq!(at[0], (0.0, 0.0));
        assert_eq!(at[1].0, 0.0);
        // Ranks that nothing has take no room.
        assert_eq!(at[2].0, WIDTH + GAP_X);
        assert!(at[3].1 < at[2].1, "a before b");
        assert!(at[4].1 > at[2].1, "c below the pods of the first");
        let mut rows: Vec<_> = at[2..].iter().map(|place| place.1 as i64).collect();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 3, "no two in one place");
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(short("web", 18), "web");
        assert_eq!(short("checkout-service-7d4b9c6f5-x2x9q", 18), "checkout-se…-x2x9q");
    }
}
