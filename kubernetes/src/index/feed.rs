//! The tasks that feed an index.
use super::{Kept, Shared};
use std::sync::Arc;
pub(super) async fn supervise(_: Arc<Shared>) {}
pub(super) async fn keep_discovered(_: Arc<Shared>) {}
pub(super) async fn run(_: Arc<Shared>, _: Arc<Kept>) {}
