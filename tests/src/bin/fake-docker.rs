//! `fake-docker SOCKET COUNT`: a stand-in for a Docker Engine with made-up containers.

use std::{path::PathBuf, process::ExitCode};

use drover_tests::FakeDocker;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().map(PathBuf::from);
    let count = arguments.next().and_then(|count| count.parse().ok());
    let (Some(socket), Some(count)) = (socket, count) else {
        eprintln!("usage: fake-docker SOCKET COUNT");
        return ExitCode::FAILURE;
    };
    FakeDocker::start(&socket, count).wait().await;
    ExitCode::SUCCESS
}
