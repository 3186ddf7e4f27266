//! The parts that pages are made of. Their looks are in `static/styles/components.css`.
//!
//! A page is a [`Page`](page::Page) with a title and actions; a [`Remote`](crate::remote::Remote)
//! shown by [`Loaded`](feedback::Loaded) or a [`table`]; forms of [`form`] fields around a
//! [`Form`](form::Form); questions asked with [`confirm`](dialog::Confirm).

mod badge;
mod button;
mod card;
mod chart;
mod dialog;
mod diff;
mod display;
mod feedback;
mod form;
mod menu;
mod modules;
mod page;
mod table;
mod tabs;
mod toast;

pub use badge::*;
pub use button::*;
pub use card::*;
pub use chart::*;
pub use dialog::*;
pub use diff::*;
pub use display::*;
pub use feedback::*;
pub use form::*;
pub use menu::*;
pub use modules::*;
pub use page::*;
pub use table::*;
pub use tabs::*;
pub use toast::*;
