use leptos::prelude::*;

use super::{Button, ButtonLink};
use crate::{
    api::ApiError,
    i18n::t,
    icons::{Glyph, Icon},
    remote::{Load, Remote},
    states::Tone,
};

/// Shows what a [`Remote`] has: a skeleton, the problem with a retry, or the children with the
/// answer as a signal (changes of it do not mount the children anew).
///
/// `view! { <Loaded remote=host let:host> <p>{move || host.get().name}</p> </Loaded> }`
#[component]
pub fn Loaded<T, V>(
    /// What is fetched.
    remote: Remote<T>,
    /// Lines of the skeleton.
    #[prop(default = 6)]
    lines: u8,
    /// Gets the answer.
    children: impl Fn(Signal<T>) -> V + Send + Sync + 'static,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    V: IntoView + 'static,
{
    enum Show {
        Skeleton,
        Problem(ApiError),
        Answer,
    }
    // Which of the three; the answer itself flows through `value`.
    let last = StoredValue::new(None::<T>);
    let value = Memo::new(move |_| {
        let newest = remote.get();
        if newest.is_some() {
            last.set_value(newest.clone());
        }
        // While the children are being taken down there may be no answer any more.
        newest.or_else(|| last.get_value())
    });
    let phase = Memo::new(move |_| match remote.state() {
        Load::Loading => (0, None),
        Load::Failed(error) => (1, Some(error)),
        Load::Ready(_) => (2, None),
    });
    let show = move || match phase.get() {
        (0, _) => Show::Skeleton,
        (_, Some(error)) => Show::Problem(error),
        _ => Show::Answer,
    };
    move || match show() {
        Show::Skeleton => view! { <Skeleton lines=lines /> }.into_any(),
        Show::Problem(error) => {
            view! { <ProblemCard error=error on_retry=move |()| remote.reload() /> }.into_any()
        }
        Show::Answer => match value.get_untracked() {
            Some(first) => {
                let answer = Signal::derive(move || value.get().unwrap_or_else(|| first.clone()));
                children(answer).into_any()
            }
            None => ().into_any(),
        },
    }
}

/// The children, unless what the page is about is not there (any more) or not to be seen: then that.
#[component]
pub fn Found<T>(
    /// What the page is about.
    remote: Remote<T>,
    /// The page's body.
    children: ChildrenFn,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let missing =
        Memo::new(move |_| remote.error().filter(|error| matches!(error.status, 403 | 404)));
    move || match missing.get() {
        Some(error) => view! { <ProblemCard error=error /> }.into_any(),
        None => children().into_any(),
    }
}

/// Grey lines where text will be.
#[component]
pub fn Skeleton(
    /// How many lines.
    #[prop(default = 4)]
    lines: u8,
) -> impl IntoView {
    view! {
        <div class="skeleton-lines" aria-busy="true" aria-label=t().common.loading>
            {(0..lines).map(|_| view! { <span class="skeleton"></span> }).collect_view()}
        </div>
    }
}

/// What went wrong, with a way to try again. Says "no such page" and "not allowed" in their own
/// words.
#[component]
pub fn ProblemCard(
    /// The failure.
    error: ApiError,
    /// Tries again.
    #[prop(optional, into)]
    on_retry: Option<Callback<()>>,
) -> impl IntoView {
    let words = &t().error;
    let (title, text) = match error.status {
        404 => (words.not_found, words.not_found_text.to_owned()),
        403 => (words.forbidden, error.message.clone()),
        _ => (words.title, error.message.clone()),
    };
    let retry = on_retry.filter(|_| error.status != 404).map(|retry| {
        view! {
            <Button label=t().common.retry icon=Glyph::Refresh on_click=move |_| retry.run(()) />
        }
    });
    let home =
        (error.status == 404).then(|| view! { <ButtonLink href="/" label=words.to_start /> });
    view! {
        <div class="problem" role="alert">
            <Icon glyph=Glyph::Error size=28 />
            <h2>{title}</h2>
            <p>{text}</p>
            {error.request_id.map(|id| {
                view! { <p class="small faint">{words.request_id} " " <code>{id}</code></p> }
            })}
            <div class="row-wrap">{retry} {home}</div>
        </div>
    }
}

/// A line that stands out.
#[component]
pub fn Notice(
    /// What its colour says.
    #[prop(default = Tone::Info)]
    tone: Tone,
    /// The text.
    children: Children,
) -> impl IntoView {
    let glyph = match tone {
        Tone::Bad => Glyph::Error,
        Tone::Warn => Glyph::Warning,
        Tone::Ok => Glyph::CheckCircle,
        _ => Glyph::Info,
    };
    view! {
        <div class=format!("notice notice-{}", tone.name()) role=(tone == Tone::Bad).then_some("alert")>
            <Icon glyph=glyph />
            <div class="grow">{children()}</div>
        </div>
    }
}

/// An empty page or list: what this is, and what to do next (buttons as children).
#[component]
pub fn Empty(
    /// What it is about.
    glyph: Glyph,
    /// A few words.
    #[prop(into)]
    title: String,
    /// What to do next, in a sentence.
    #[prop(optional, into)]
    text: Option<String>,
    /// Buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="empty">
            <div class="empty-icon"><Icon glyph=glyph size=22 /></div>
            <h2>{title}</h2>
            {text.map(|text| view! { <p>{text}</p> })}
            {children.map(|children| view! { <div class="row-wrap">{children()}</div> })}
        </div>
    }
}

/// A bar that fills.
#[component]
pub fn Progress(
    /// From 0 to 1.
    #[prop(into)]
    value: Signal<f64>,
    /// What its colour says.
    #[prop(default = Tone::Accent.into(), into)]
    tone: Signal<Tone>,
    /// Shimmers: something is under way.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// What it measures, for screen readers.
    #[prop(into)]
    label: String,
) -> impl IntoView {
    let percent = move || (value.get().clamp(0.0, 1.0) * 100.0).round();
    view! {
        <div
            class=move || {
                let busy = if busy.get() { " progress-busy" } else { "" };
                format!("progress progress-{}{busy}", tone.get().name())
            }
            role="progressbar"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || percent().to_string()
        >
            <div style:width=move || format!("{}%", percent())></div>
        </div>
    }
}
