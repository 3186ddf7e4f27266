//! The Drover browser app, rendered in the browser.
//!
//! `app` holds the routes, `frame` what is around every page, `pages` the pages, `components` the
//! parts that they are made of. `later` fetches the code of most pages when they are first opened. `api` and `remote` fetch, `live` keeps what was fetched up to date.
//! All strings are in `i18n`; all looks in `static/styles`.

mod api;
mod app;
mod boot;
mod components;
mod environment;
mod format;
mod frame;
mod i18n;
mod icons;
mod later;
mod live;
mod pages;
mod remote;
mod session;
mod states;
mod theme;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
