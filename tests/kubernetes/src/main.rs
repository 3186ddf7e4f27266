//! The stand-in as a program of its own: prints a kubeconfig, and serves until it is ended.

use clap::Parser;
use drover_test_kubernetes::ApiServer;

/// A strict stand-in for the Kubernetes API server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port on the loopback address; any that is free, if none is given.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Without controllers and kubelets.
    #[arg(long)]
    no_controllers: bool,
    /// Without metrics.k8s.io.
    #[arg(long)]
    no_metrics: bool,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let server = ApiServer::builder()
        .port(arguments.port)
        .nodes(arguments.nodes)
        .controllers(!arguments.no_controllers)
        .metrics(!arguments.no_metrics)
        .start()
        .await?;
    println!("{}", server.admin_kubeconfig()?);
    tokio::signal::ctrl_c().await
}
