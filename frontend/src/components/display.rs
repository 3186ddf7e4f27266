use drover_api::Timestamp;
use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen_futures::JsFuture;

use super::{IconButton, Progress, Toasts, use_toasts};
use crate::{api::ApiError, format, i18n::t, icons::Glyph, states::Tone};

/// The time now, in Unix milliseconds; ticks every ten seconds.
#[derive(Clone, Copy)]
pub struct Clock(RwSignal<f64>);

impl Clock {
    /// Makes [`TimeAgo`] work for all below.
    pub fn provide() {
        let now = RwSignal::new(format::now_ms());
        provide_context(Self(now));
        let tick = move || {
            _ = now.try_set(format::now_ms());
        };
        if let Ok(timer) = set_interval_with_handle(tick, std::time::Duration::from_secs(10)) {
            on_cleanup(move || timer.clear());
        }
    }

    /// The time now, to ten seconds.
    pub fn now(self) -> f64 {
        self.0.get()
    }
}

/// The time now, in Unix milliseconds; ticks every ten seconds.
pub fn use_clock() -> Clock {
    expect_context()
}

/// How long ago; the whole date on hover.
#[component]
pub fn TimeAgo(
    /// When.
    at: Timestamp,
) -> impl IntoView {
    let clock = use_clock();
    view! {
        <time class="nums" title=format::date_time(at)>
            {move || format::ago(at, clock.now().max(format::now_ms()))}
        </time>
    }
}

/// [`TimeAgo`], or "never".
#[component]
pub fn TimeAgoOr(
    /// When, if ever.
    at: Option<Timestamp>,
    /// What to say instead; "Never" when left out.
    #[prop(optional, into)]
    otherwise: Option<String>,
) -> impl IntoView {
    match at {
        Some(at) => view! { <TimeAgo at=at /> }.into_any(),
        None => {
            let text = otherwise.unwrap_or_else(|| t().common.never.to_owned());
            view! { <span class="faint">{text}</span> }.into_any()
        }
    }
}

/// Copies a text.
#[component]
pub fn CopyButton(
    /// What is copied.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    let toasts = use_toasts();
    view! {
        <IconButton
            glyph=Glyph::Copy
            label=t().common.copy
            small=true
            on_click=move |_| copy_text(toasts, text.get_untracked())
        />
    }
}

/// Puts a text on the clipboard and says so.
pub fn copy_text(toasts: Toasts, text: String) {
    spawn_local(async move {
        // Not there on pages without TLS (other than localhost).
        let navigator = window().navigator();
        let copied = match js_sys::Reflect::get(&navigator, &"clipboard".into()) {
            Ok(value) if !value.is_undefined() => {
                JsFuture::from(navigator.clipboard().write_text(&text)).await.is_ok()
            }
            _ => false,
        };
        if copied {
            toasts.success(t().common.copied);
        } else {
            toasts.error(&ApiError::new("copy", t().error.copy));
        }
    });
}

/// A line of code with a copy button.
#[component]
pub fn CopyLine(
    /// The line.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    view! {
        <div class="copy-line">
            <code>{text}</code>
            <CopyButton text=text />
        </div>
    }
}

/// A command to paste, of one or several lines, with a copy button.
#[component]
pub fn CommandBlock(
    /// The command.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    view! {
        <div class="command">
            <pre class="code" tabindex="0">{text}</pre>
            <CopyButton text=text />
        </div>
    }
}

/// A name that keeps its end where there is no room for all of it: the end is what tells pods apart.
#[component]
pub fn LongName(
    /// The name.
    #[prop(into)]
    name: String,
) -> impl IntoView {
    match ends(&name) {
        None => view! { <span class="strong truncate" title=name.clone()>{name.clone()}</span> }
            .into_any(),
        Some((head, tail)) => {
            let (head, tail) = (head.to_owned(), tail.to_owned());
            view! { <span class="strong long-name" title=name><span>{head}</span>{tail}</span> }
                .into_any()
        }
    }
}

/// A name in two, for those that may be too long.
fn ends(name: &str) -> Option<(&str, &str)> {
    const TAIL: usize = 6;
    if name.chars().count() <= 3 * TAIL {
        return None;
    }
    let at = name.char_indices().nth_back(TAIL - 1)?.0;
    Some(name.split_at(at))
}

/// Names and values, side by side. Each value is a view.
///
/// `view! { <KeyValues rows=vec![(t().common.name, view! { {name} }.into_any())] /> }`
#[component]
pub fn KeyValues(
    /// Names and values.
    rows: Vec<(&'static str, AnyView)>,
) -> impl IntoView {
    let rows = rows
        .into_iter()
        .map(|(name, value)| view! { <dt>{name}</dt> <dd>{value}</dd> })
        .collect_view();
    view! { <dl class="kv">{rows}</dl> }
}

/// Why something is as it is. Where that is said for several hosts (`No host fits. a: why; b: why.`),
/// each has a line.
#[component]
pub fn Reason(
    /// In the server's words.
    #[prop(into)]
    text: String,
) -> impl IntoView {
    let (head, lines) = reason_lines(&text);
    let lines = lines
        .into_iter()
        .map(|(name, why)| view! { <li><span class="strong break">{name}</span> ": " {why}</li> })
        .collect_view();
    view! {
        <div class="reason small">
            <div>{head}</div>
            <ul class="reasons">{lines}</ul>
        </div>
    }
    .into_any()
}

/// What is said at first, and each `name: why` of a list after it.
fn reason_lines(text: &str) -> (String, Vec<(String, String)>) {
    let Some((head, list)) = text.split_once(". ") else { return (text.to_owned(), Vec::new()) };
    let lines: Option<Vec<_>> = list
        .trim_end_matches('.')
        .split("; ")
        .map(|part| part.split_once(": ").map(|(name, why)| (name.to_owned(), why.to_owned())))
        .collect();
    // Names of hosts have no spaces of a sentence in them.
    match lines.filter(|lines| lines.iter().all(|(name, _)| !name.contains(". "))) {
        Some(lines) => (format!("{head}."), lines),
        None => (text.to_owned(), Vec::new()),
    }
}

/// HTML that the server has sanitised: rendered Markdown. Nothing else may be given to it.
#[component]
pub fn ServerHtml(
    /// From an answer's field that says that it is sanitised.
    #[prop(into)]
    html: Signal<String>,
) -> impl IntoView {
    view! { <div class="prose" inner_html=html></div> }
}

/// How much of something is used: text, figures and a bar, which turns amber above 75 % and red above
/// 90 %.
#[component]
pub fn Meter(
    /// What is measured.
    #[prop(into)]
    label: String,
    /// In use.
    #[prop(into)]
    used: Signal<f64>,
    /// There is.
    #[prop(into)]
    total: Signal<f64>,
    /// Puts a figure in words: [`format::bytes`], [`format::cores`].
    words: fn(f64) -> String,
) -> impl IntoView {
    let part = move || if total.get() > 0.0 { used.get() / total.get() } else { 0.0 };
    let tone = Signal::derive(move || use_tone(part()));
    view! {
        <div class="meter">
            <span class="muted truncate">{label.clone()}</span>
            <span class="nums">
                {move || format!("{} / {}", words(used.get()), words(total.get()))}
            </span>
            <Progress value=Signal::derive(part) tone=tone label=label />
        </div>
    }
}

/// How much of something is used, for a cell of a table: a figure with a bar under it.
#[component]
pub fn UseBar(
    /// What is measured, for screen readers.
    label: &'static str,
    /// In use.
    used: f64,
    /// There is.
    total: f64,
    /// Puts a figure in words.
    words: fn(f64) -> String,
) -> impl IntoView {
    let part = if total > 0.0 { used / total } else { 0.0 };
    view! {
        <span class="use-bar" title=format!("{} / {}", words(used), words(total))>
            <span class="nums small">{words(used)} <span class="faint">" / " {words(total)}</span></span>
            <Progress value=part tone=use_tone(part) label=label />
        </span>
    }
}

/// Amber above 75 %, red above 90 %.
fn use_tone(part: f64) -> Tone {
    match part {
        part if part > 0.9 => Tone::Bad,
        part if part > 0.75 => Tone::Warn,
        _ => Tone::Accent,
    }
}

#[cfg(test)]
mod tests {
    use super::{ends, reason_lines};

    #[test]
    fn long_names_have_an_end() {
        assert_eq!(ends("shop"), None);
        assert_eq!(ends("checkout-7d4b9c6f5-x2x9q"), Some(("checkout-7d4b9c6f5", "-x2x9q")));
        assert_eq!(ends(&"é".repeat(30)).map(|(_, tail)| tail.chars().count()), Some(6));
    }

    #[test]
    fn a_reason_has_a_line_for_each_host() {
        let (head, lines) =
            reason_lines("No host fits. a: port 80 is already taken; b: it has no room.");
        assert_eq!(head, "No host fits.");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], ("b".to_owned(), "it has no room".to_owned()));
        for plain in ["The image is not there.", "It ended. Look at its log.", ""] {
            assert_eq!(reason_lines(plain), (plain.to_owned(), Vec::new()));
        }
    }
}
