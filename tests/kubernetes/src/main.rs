//! The stand-in as a program of its own: prints a kubeconfig, and serves until it is ended.

use clap::Parser;
use drover_test_kubernetes::{ApiServer, Load};

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
    /// Filled with so many pods, and without controllers.
    #[arg(long)]
    pods: Option<usize>,
    /// So many other objects beside them.
    #[arg(long, default_value_t = 3_000)]
    others: usize,
    /// So many changes of pods in a second.
    #[arg(long, default_value_t = 100)]
    changes: u32,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let mut builder = ApiServer::builder()
        .port(arguments.port)
        .nodes(arguments.nodes)
        .controllers(!arguments.no_controllers)
        .metrics(!arguments.no_metrics);
    if let Some(pods) = arguments.pods {
        let (others, changes_per_second) = (arguments.others, arguments.changes);
        builder = builder.load(Load { pods, others, changes_per_second });
    }
    let server = builder.start().await?;
    println!("{}", server.admin_kubeconfig()?);
    tokio::signal::ctrl_c().await
}
