use leptos::prelude::*;
use wasm_bindgen::{JsCast, prelude::Closure};

use crate::{format, states::Tone};

/// A line of a [`Chart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is called in the legend and readout.
    pub name: String,
    /// Unix milliseconds and values, oldest first.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A line with this name.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// Keeps the newest points of a stream: `history.push(at, [cpu, memory])`.
#[derive(Clone, Copy)]
pub struct History<const N: usize> {
    points: RwSignal<Vec<(f64, [f64; N])>>,
    keep: usize,
}

impl<const N: usize> History<N> {
    /// Keeps at most this many points.
    pub fn new(keep: usize) -> Self {
        Self { points: RwSignal::new(Vec::new()), keep }
    }

    /// Adds the newest values.
    pub fn push(self, at: f64, values: [f64; N]) {
        self.points.try_update(|points| {
            // Usually the newest; an earlier history may come later.
            let place = points.partition_point(|point| point.0 <= at);
            points.insert(place, (at, values));
            let surplus = points.len().saturating_sub(self.keep);
            points.drain(..surplus);
        });
    }

    /// One of the lines.
    pub fn line(self, which: usize) -> Vec<(f64, f64)> {
        self.points.with(|points| {
            points.iter().filter_map(|(at, values)| Some((*at, *values.get(which)?))).collect()
        })
    }
}

const LEFT: f64 = 58.0;
const BOTTOM: f64 = 20.0;
const TOP: f64 = 8.0;

/// Lines over time, with areas under them, axes, and a readout under the pointer. Follows its data as
/// they grow.
#[component]
pub fn Chart(
    /// What it shows, for screen readers.
    #[prop(into)]
    label: String,
    /// The lines.
    #[prop(into)]
    series: Signal<Vec<Series>>,
    /// Puts a value in words: [`format::bytes`], [`format::cores`].
    words: fn(f64) -> String,
    /// The axis reaches up to here at least, e.g. a limit.
    #[prop(optional, into)]
    max: Signal<f64>,
    /// Steps of the axis are powers of two times one, as bytes want it.
    #[prop(optional)]
    binary: bool,
    /// The seconds that it shows at least, ending at the newest point.
    #[prop(default = 60.0)]
    span: f64,
    /// Pixels.
    #[prop(default = 180.0)]
    height: f64,
) -> impl IntoView {
    let holder = NodeRef::<leptos::html::Div>::new();
    let width = RwSignal::new(600.0_f64);
    Effect::new(move || {
        if let Some(holder) = holder.get() {
            watch_width(&holder, width);
        }
    });
    let scale = Memo::new(move |_| {
        series.with(|series| {
            Scale::fit(series, max.get(), span * 1000.0, width.get(), height, binary)
        })
    });
    let hover = RwSignal::new(None::<f64>);
    let lines = move || {
        let scale = scale.get();
        series.with(|series| {
            series
                .iter()
                .enumerate()
                .map(|(index, line)| {
                    let (path, area) = scale.paths(&line.points);
                    view! {
                        <g class=format!("series-{}", index % 6)>
                            <path class="chart-area" d=area></path>
                            <path class="chart-line" d=path></path>
                        </g>
                    }
                })
                .collect_view()
        })
    };
    let axes = move || {
        let scale = scale.get();
        let right = scale.width;
        let rows = scale
            .steps()
            .into_iter()
            .map(|value| {
                let y = scale.y(value);
                view! {
                    <line class="chart-grid" x1=LEFT.to_string() x2=right.to_string() y1=y.to_string() y2=y.to_string()></line>
                    <text class="chart-axis" x=(LEFT - 8.0).to_string() y=(y + 3.5).to_string() text-anchor="end">
                        {words(value)}
                    </text>
                }
            })
            .collect_view();
        let times = scale
            .times()
            .into_iter()
            .map(|at| {
                let text = if scale.to - scale.from <= 300_000.0 { format::clock(at) } else { format::clock_short(at) };
                view! {
                    <text class="chart-axis" x=scale.x(at).to_string() y=(height - 4.0).to_string() text-anchor="middle">
                        {text}
                    </text>
                }
            })
            .collect_view();
        (rows, times)
    };
    // The points nearest to the pointer.
    let readout = Memo::new(move |_| {
        let x = hover.get()?;
        let scale = scale.get();
        let at = scale.time(x);
        series.with(|series| {
            let nearest = |line: &Series| {
                line.points
                    .iter()
                    .copied()
                    .min_by(|a, b| (a.0 - at).abs().total_cmp(&(b.0 - at).abs()))
            };
            let points: Vec<_> = series
                .iter()
                .enumerate()
                .filter_map(|(index, line)| Some((index, line.name.clone(), nearest(line)?)))
                .collect();
            let time = points.first().map(|(_, _, point)| point.0)?;
            Some((time, points))
        })
    });
    let cross = move || {
        let scale = scale.get();
        readout.get().map(|(time, points)| {
            let x = scale.x(time).to_string();
            let dots = points
                .into_iter()
                .map(|(index, _, (at, value))| {
                    view! {
                        <circle
                            class=format!("chart-point series-{}", index % 6)
                            cx=scale.x(at).to_string()
                            cy=scale.y(value).to_string()
                            r="4"
                        ></circle>
                    }
                })
                .collect_view();
            view! {
                <line class="chart-cross" x1=x.clone() x2=x y1=TOP.to_string() y2=(height - BOTTOM).to_string()></line>
                {dots}
            }
        })
    };
    let tip = move || {
        let scale = scale.get();
        readout.get().map(|(time, points)| {
            let x = scale.x(time);
            // Beside the line, on the side that has room.
            let (left, right) = if x > scale.width / 2.0 {
                ("auto".to_owned(), format!("{}px", scale.width - x + 12.0))
            } else {
                (format!("{}px", x + 12.0), "auto".to_owned())
            };
            let rows = points
                .into_iter()
                .map(|(index, name, (_, value))| {
                    view! {
                        <div class="chart-tip-row">
                            <span class="row">
                                <span class=format!("swatch series-{}", index % 6)></span>
                                {name}
                            </span>
                            <span class="strong">{words(value)}</span>
                        </div>
                    }
                })
                .collect_view();
            view! {
                <div class="chart-tip" style:left=left style:right=right>
                    <div class="faint">{format::clock(time)}</div>
                    {rows}
                </div>
            }
        })
    };
    let legend = move || {
        series.with(|series| {
            (series.len() > 1).then(|| {
                let names = series
                    .iter()
                    .enumerate()
                    .map(|(index, line)| {
                        view! {
                            <span>
                                <span class=format!("swatch series-{}", index % 6)></span>
                                <span class="truncate">{line.name.clone()}</span>
                            </span>
                        }
                    })
                    .collect_view();
                view! { <div class="legend">{names}</div> }
            })
        })
    };
    view! {
        <div
            node_ref=holder
            class="chart"
            role="img"
            aria-label=label
            on:pointermove=move |event| hover.set(Some(f64::from(event.offset_x())))
            on:pointerleave=move |_| hover.set(None)
        >
            <svg height=height.to_string() viewBox=move || format!("0 0 {} {height}", width.get())>
                {axes} {lines} {cross}
            </svg>
            {tip} {legend}
        </div>
    }
    .into_any()
}

fn watch_width(holder: &web_sys::HtmlDivElement, width: RwSignal<f64>) {
    let element = holder.clone();
    let measure = move || {
        let now = f64::from(element.client_width()).max(160.0);
        if width.try_get_untracked().is_some_and(|before| (before - now).abs() > 0.5) {
            width.set(now);
        }
    };
    measure();
    let callback = Closure::<dyn Fn()>::new(measure);
    if let Ok(observer) = web_sys::ResizeObserver::new(callback.as_ref().unchecked_ref()) {
        observer.observe(holder);
        let kept = StoredValue::new_local((observer, callback));
        on_cleanup(move || {
            kept.update_value(|(observer, _)| observer.disconnect());
            kept.dispose();
        });
    }
}

/// From times and values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    from: f64,
    to: f64,
    top: f64,
    step: f64,
    width: f64,
    height: f64,
}

impl Scale {
    fn fit(series: &[Series], max: f64, span: f64, width: f64, height: f64, binary: bool) -> Self {
        let points = || series.iter().flat_map(|line| &line.points);
        let newest = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let to = if newest.is_finite() { newest } else { format::now_ms() };
        let oldest = points().map(|point| point.0).fold(to, f64::min);
        let highest = points().map(|point| point.1).fold(max, f64::max);
        let step = round_step(highest / 3.0, binary);
        let top = (highest / step).ceil().max(1.0) * step;
        Self { from: oldest.min(to - span), to, top, step, width, height }
    }

    fn x(&self, at: f64) -> f64 {
        let part = (at - self.from) / (self.to - self.from).max(1.0);
        LEFT + part * (self.width - LEFT - 4.0)
    }

    fn time(&self, x: f64) -> f64 {
        let part = (x - LEFT) / (self.width - LEFT - 4.0).max(1.0);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn y(&self, value: f64) -> f64 {
        let room = self.height - TOP - BOTTOM;
        TOP + room * (1.0 - (value / self.top).clamp(0.0, 1.0))
    }

    fn steps(&self) -> Vec<f64> {
        let count = (self.top / self.step).round().min(12.0) as usize;
        (0..=count).map(|n| n as f64 * self.step).collect()
    }

    fn times(&self) -> Vec<f64> {
        let count = ((self.width - LEFT) / 140.0).floor().clamp(1.0, 6.0) as usize;
        (0..count)
            .map(|n| self.from + (n as f64 + 0.5) / count as f64 * (self.to - self.from))
            .collect()
    }

    /// The line through the points, and the area under it.
    fn paths(&self, points: &[(f64, f64)]) -> (String, String) {
        use std::fmt::Write;
        let mut line = String::with_capacity(points.len() * 12);
        for (index, (at, value)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(line, "{command}{:.1} {:.1}", self.x(*at), self.y(*value));
        }
        if points.len() == 1 {
            // A line of one point would not be seen.
            line.push_str("h3");
        }
        let area = match (points.first(), points.last()) {
            (Some(first), Some(last)) if points.len() > 1 => {
                let base = self.y(0.0);
                format!("{line}L{:.1} {base:.1}L{:.1} {base:.1}Z", self.x(last.0), self.x(first.0))
            }
            _ => String::new(),
        };
        (line, area)
    }
}

/// 1, 2 or 5 times a power of ten; for bytes a power of two.
fn round_step(raw: f64, binary: bool) -> f64 {
    if raw <= 0.0 {
        return if binary { 1024.0 * 1024.0 } else { 0.1 };
    }
    if binary {
        return 2.0_f64.powf(raw.log2().ceil());
    }
    let power = 10.0_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= raw).unwrap_or(raw)
}

/// Parts of a whole as a ring, with a figure in its middle.
#[component]
pub fn Donut(
    /// What it shows, for screen readers.
    #[prop(into)]
    label: String,
    /// The parts: how many, and what their colour says.
    #[prop(into)]
    parts: Signal<Vec<(f64, Tone)>>,
    /// In the middle.
    #[prop(into)]
    figure: Signal<String>,
    /// Width and height in pixels.
    #[prop(default = 72)]
    size: u16,
) -> impl IntoView {
    const AROUND: f64 = 2.0 * std::f64::consts::PI * 42.0;
    let rings = move || {
        parts.with(|parts| {
            let total: f64 = parts.iter().map(|part| part.0).sum();
            let mut from = 0.0;
            parts
                .iter()
                .filter(|part| part.0 > 0.0)
                .map(|(value, tone)| {
                    let length = value / total * AROUND;
                    let offset = -from;
                    from += length;
                    // A hair of ground between two parts.
                    let gap = if length < AROUND - 1.0 { 3.0_f64.min(length / 2.0) } else { 0.0 };
                    view! {
                        <circle
                            class=format!("donut-part tone-{}", tone.name())
                            cx="50"
                            cy="50"
                            r="42"
                            stroke-dasharray=format!("{:.2} {AROUND:.2}", length - gap)
                            stroke-dashoffset=format!("{offset:.2}")
                        ></circle>
                    }
                })
                .collect_view()
        })
    };
    view! {
        <div class="donut" role="img" aria-label=label>
            <svg width=size.to_string() height=size.to_string() viewBox="0 0 100 100">
                <circle class="donut-track" cx="50" cy="50" r="42"></circle>
                {rings}
            </svg>
            <div class="donut-text strong nums" class:donut-long=move || figure.with(|figure| figure.chars().count() > 5)>{figure}</div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!(round_step(0.3, false), 0.5);
        assert_eq!(round_step(33.0, false), 50.0);
        assert_eq!(round_step(1000.0, true), 1024.0);
        assert_eq!(round_step(0.0, false), 0.1);
    }

    #[test]
    fn points_fall_on_the_chart() {
        let line = Series::new("cpu", vec![(0.0, 0.0), (30_000.0, 2.0), (60_000.0, 1.0)]);
        let scale = Scale::fit(&[line], 0.0, 60_000.0, 558.0, 128.0, false);
        assert_eq!(scale.top, 2.0);
        assert_eq!(scale.y(0.0), 108.0);
        assert_eq!(scale.y(2.0), 8.0);
        assert_eq!(scale.x(60_000.0), 554.0);
        assert_eq!(scale.time(LEFT), 0.0);
    }
}
