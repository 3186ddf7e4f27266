//! Drover's own icons: strokes on a grid of 24, in the colour of the text around them.

use leptos::prelude::*;

macro_rules! icons {
    ($($(#[$doc:meta])* $name:ident $paths:literal)*) => {
        /// An icon; draw it with [`Icon`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Glyph { $($(#[$doc])* $name,)* }
        impl Glyph {
            fn paths(self) -> &'static str {
                match self { $(Self::$name => $paths,)* }
            }
        }
    };
}

icons! {
    Overview r#"<rect x="3.5" y="3.5" width="7" height="9" rx="1.5"/><rect x="13.5" y="3.5" width="7" height="5" rx="1.5"/><rect x="13.5" y="11.5" width="7" height="9" rx="1.5"/><rect x="3.5" y="15.5" width="7" height="5" rx="1.5"/>"#
    Stack r#"<path d="M12 3 3.5 7.5 12 12l8.5-4.5z"/><path d="m3.5 12 8.5 4.5 8.5-4.5"/><path d="m3.5 16.5 8.5 4.5 8.5-4.5"/>"#
    Container r#"<path d="M12 2.8 4 7v10l8 4.2 8-4.2V7z"/><path d="m4 7 8 4.2L20 7M12 11.2v10"/>"#
    Catalog r#"<rect x="3.5" y="3.5" width="7" height="7" rx="1.7"/><rect x="13.5" y="3.5" width="7" height="7" rx="1.7"/><rect x="3.5" y="13.5" width="7" height="7" rx="1.7"/><path d="M17 13.5v7M13.5 17h7"/>"#
    Host r#"<rect x="3" y="4" width="18" height="7" rx="1.8"/><rect x="3" y="13" width="18" height="7" rx="1.8"/><path d="M7 7.5h.01M7 16.5h.01M11 7.5h6M11 16.5h6"/>"#
    Key r#"<circle cx="8" cy="15.5" r="4.5"/><path d="m11.2 12.3 8.3-8.3M16 7.5l3 3M13.5 10l1.8 1.8"/>"#
    Users r#"<circle cx="9" cy="8" r="3.6"/><path d="M2.5 20c.5-3.8 3-5.8 6.5-5.8s6 2 6.5 5.8M16 4.7a3.6 3.6 0 0 1 0 6.6M18.3 14.8c1.8.8 2.9 2.5 3.2 5.2"/>"#
    User r#"<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5c.6-4.2 3.4-6.3 7.5-6.3s6.9 2.1 7.5 6.3"/>"#
    Operation r#"<path d="M3 12h4l3-8 4 16 3-8h4"/>"#
    Settings r#"<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>"#
    Shield r#"<path d="M12 3 5 5.8v5.4c0 4.5 2.8 7.9 7 9.8 4.2-1.9 7-5.3 7-9.8V5.8z"/>"#
    Globe r#"<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c2.5 2.5 3.8 5.5 3.8 9s-1.3 6.5-3.8 9c-2.5-2.5-3.8-5.5-3.8-9S9.5 5.5 12 3z"/>"#
    Environment r#"<path d="M4 20V9.5L12 4l8 5.5V20z"/><path d="M9.5 20v-6h5v6"/>"#
    Library r#"<path d="M5 4v16M9.5 4v16"/><path d="m13.5 5 4.6 14.8"/><path d="M3 20h18"/>"#
    Audit r#"<path d="M6 3h9l4 4v14H6z"/><path d="M14.5 3v4.5H19M9 12h7M9 16h5"/>"#
    Search r#"<circle cx="10.8" cy="10.8" r="6.3"/><path d="m15.5 15.5 5 5"/>"#
    Plus r#"<path d="M12 5v14M5 12h14"/>"#
    Minus r#"<path d="M5 12h14"/>"#
    Close r#"<path d="m6 6 12 12M18 6 6 18"/>"#
    Check r#"<path d="m4.5 12.5 5 5 10-11"/>"#
    CheckCircle r#"<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.8 5.2-5.7"/>"#
    Warning r#"<path d="M12 4 2.8 19.5h18.4z"/><path d="M12 10v4.5M12 17h.01"/>"#
    Info r#"<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.8h.01"/>"#
    Error r#"<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5.5M12 16.2h.01"/>"#
    ChevronDown r#"<path d="m6 9.5 6 6 6-6"/>"#
    ChevronRight r#"<path d="m9.5 6 6 6-6 6"/>"#
    UpDown r#"<path d="m8 9.5 4-4 4 4M8 14.5l4 4 4-4"/>"#
    ArrowUp r#"<path d="M12 20V5M6 11l6-6 6 6"/>"#
    ArrowDown r#"<path d="M12 4v15M6 13l6 6 6-6"/>"#
    ArrowRight r#"<path d="M4 12h15M13 6l6 6-6 6"/>"#
    More r#"<path d="M6 12h.01M12 12h.01M18 12h.01" stroke-width="2.6"/>"#
    Play r#"<path d="M7 4.5v15l12-7.5z"/>"#
    Stop r#"<rect x="5.5" y="5.5" width="13" height="13" rx="2"/>"#
    Pause r#"<path d="M8.5 5v14M15.5 5v14"/>"#
    Restart r#"<path d="M20 12a8 8 0 1 1-2.4-5.7L20 8.5"/><path d="M20 3.5v5h-5"/>"#
    Bolt r#"<path d="M13 3 5 13.5h6L10 21l8.5-11H12z"/>"#
    Trash r#"<path d="M4 6.5h16M9.5 6V4h5v2M6 6.5 7 20.5h10l1-14M10 10.5v6M14 10.5v6"/>"#
    Edit r#"<path d="M4 20h4.5L20 8.5 15.5 4 4 15.5zM13 6.5l4.5 4.5"/>"#
    Copy r#"<rect x="8.5" y="8.5" width="12" height="12" rx="2"/><path d="M15.5 8.5v-3a2 2 0 0 0-2-2h-8a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h3"/>"#
    Download r#"<path d="M12 4v11M7 10.5l5 5 5-5M4.5 20h15"/>"#
    Refresh r#"<path d="M4.5 10a8 8 0 0 1 14-3.3L20.5 9M19.5 14a8 8 0 0 1-14 3.3L3.5 15"/><path d="M20.5 4v5h-5M3.5 20v-5h5"/>"#
    Eye r#"<path d="M2.5 12C4.8 7.7 8 5.5 12 5.5s7.2 2.2 9.5 6.5c-2.3 4.3-5.5 6.5-9.5 6.5S4.8 16.3 2.5 12z"/><circle cx="12" cy="12" r="3"/>"#
    EyeOff r#"<path d="M9.8 5.7A9.8 9.8 0 0 1 12 5.5c4 0 7.2 2.2 9.5 6.5a15 15 0 0 1-2.7 3.6M6.2 7.5A14 14 0 0 0 2.5 12c2.3 4.3 5.5 6.5 9.5 6.5 1.9 0 3.6-.5 5.1-1.4M4 4l16 16M9.9 9.9a3 3 0 0 0 4.2 4.2"/>"#
    Sun r#"<circle cx="12" cy="12" r="4"/><path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"/>"#
    Moon r#"<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>"#
    Menu r#"<path d="M4 7h16M4 12h16M4 17h16"/>"#
    SignOut r#"<path d="M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M15 8l4.5 4-4.5 4M9.5 12h10"/>"#
    Network r#"<rect x="9" y="3.5" width="6" height="5" rx="1.3"/><rect x="3" y="15.5" width="6" height="5" rx="1.3"/><rect x="15" y="15.5" width="6" height="5" rx="1.3"/><path d="M12 8.5V12M6 15.5V12h12v3.5"/>"#
    Volume r#"<ellipse cx="12" cy="5.8" rx="7.5" ry="2.8"/><path d="M4.5 5.8v12.4c0 1.5 3.4 2.8 7.5 2.8s7.5-1.3 7.5-2.8V5.8M4.5 12c0 1.5 3.4 2.8 7.5 2.8s7.5-1.3 7.5-2.8"/>"#
    Image r#"<circle cx="12" cy="12" r="9"/><circle cx="12" cy="12" r="2.8"/><path d="M12 5.5A6.5 6.5 0 0 1 18.5 12"/>"#
    Spinner r#"<path d="M12 3.5a8.5 8.5 0 1 1-8.5 8.5"/>"#
    Rollback r#"<path d="M4 10.5h10a5.5 5.5 0 0 1 0 11h-3"/><path d="M8.5 6 4 10.5 8.5 15"/>"#
    Upgrade r#"<circle cx="12" cy="12" r="9"/><path d="M12 16.5v-8.5M8.5 11.3 12 7.8l3.5 3.5"/>"#
    Drain r#"<path d="M4 5h16M6.5 9.5h11M9 14h6M12 17v4M9.8 19l2.2 2.2 2.2-2.2"/>"#
    Book r#"<path d="M12 6.5C10.3 5 8 4.5 4 4.5v13.5c4 0 6.3.5 8 2 1.7-1.5 4-2 8-2V4.5c-4 0-6.3.5-8 2zM12 6.5V20"/>"#
    Cpu r#"<rect x="6" y="6" width="12" height="12" rx="2"/><rect x="10" y="10" width="4" height="4" rx=".8"/><path d="M9 3v3M15 3v3M9 18v3M15 18v3M3 9h3M3 15h3M18 9h3M18 15h3"/>"#
    Memory r#"<rect x="3" y="7" width="18" height="9" rx="1.5"/><path d="M7.5 10v3M12 10v3M16.5 10v3M6 16v2.5M10 16v2.5M14 16v2.5M18 16v2.5"/>"#
    Directory r#"<rect x="5" y="3" width="14" height="18" rx="2"/><path d="M2.8 7.5H5M2.8 12H5M2.8 16.5H5M8.8 17c.3-2 1.5-3.1 3.2-3.1s2.9 1.1 3.2 3.1"/><circle cx="12" cy="9.5" r="2"/>"#
    Branch r#"<circle cx="6.5" cy="5.5" r="2.3"/><circle cx="6.5" cy="18.5" r="2.3"/><circle cx="17.5" cy="7.5" r="2.3"/><path d="M6.5 7.8v8.4M17.5 9.8c0 3.2-2.4 4.4-5.5 4.6-3 .2-5.5.4-5.5 1.8"/>"#
    IdCard r#"<rect x="3" y="5" width="18" height="14" rx="2"/><circle cx="8.5" cy="10.5" r="2"/><path d="M5.5 16c.3-1.7 1.4-2.6 3-2.6s2.7.9 3 2.6M14.5 10h3.5M14.5 14h3.5"/>"#
    Swarm r#"<circle cx="12" cy="5" r="2.2"/><circle cx="5" cy="17" r="2.2"/><circle cx="19" cy="17" r="2.2"/><path d="M10.9 6.9 6.1 15.1M13.1 6.9l4.8 8.2M7.2 17h9.6"/>"#
    Kubernetes r#"<path d="M12 2.8 19.6 6.4l1.9 8.2-5.3 6.6H7.8l-5.3-6.6 1.9-8.2z"/><circle cx="12" cy="12.2" r="3"/><path d="M12 9.2V6.4M14.6 13.7l2.5 1.5M9.4 13.7l-2.5 1.5"/>"#
    Terminal r#"<rect x="3" y="4.5" width="18" height="15" rx="2"/><path d="m7 9.5 3 2.5-3 2.5M12.5 15H17"/>"#
    Lock r#"<rect x="5" y="10.5" width="14" height="10" rx="2"/><path d="M8 10.5V8a4 4 0 0 1 8 0v2.5"/>"#
}

/// Draws a [`Glyph`]. Decorative: give what it stands in a text or an `aria-label`.
#[component]
pub fn Icon(
    /// Which one.
    glyph: Glyph,
    /// Width and height in pixels; 16 when left out.
    #[prop(optional)]
    size: Option<u8>,
    /// Turns round and round.
    #[prop(optional)]
    spin: bool,
    /// More classes, e.g. `tone-ok`.
    #[prop(optional)]
    class: &'static str,
) -> impl IntoView {
    let size = size.unwrap_or(16).to_string();
    view! {
        <svg
            width=size.clone()
            height=size
            viewBox="0 0 24 24"
            fill="none"
            stroke="currentColor"
            stroke-width="1.7"
            stroke-linecap="round"
            stroke-linejoin="round"
            aria-hidden="true"
            class=if spin { "spin" } else { class }
            inner_html=glyph.paths()
        ></svg>
    }
}

/// Drover's mark: three of a herd, going one way.
#[component]
pub fn Logo(
    /// Width and height in pixels.
    size: u8,
) -> impl IntoView {
    let size = size.to_string();
    view! {
        <svg
            width=size.clone()
            height=size
            viewBox="0 0 24 24"
            aria-hidden="true"
            inner_html=r#"<path d="M3 6.2 9.3 12 3 17.8z" fill="currentColor" opacity=".38"/><path d="M8.6 6.2 14.9 12l-6.3 5.8z" fill="currentColor" opacity=".65"/><path d="M14.2 6.2 21 12l-6.8 5.8z" fill="currentColor"/>"#
        ></svg>
    }
}
