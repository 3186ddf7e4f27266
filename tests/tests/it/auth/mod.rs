//! Sign-in through a company's own accounts.

mod github;
mod openid;
