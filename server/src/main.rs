//! The command line: `drover serve` and its helpers.

use std::{
    io::{IsTerminal, Read, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::serve::ListenerExt;
use clap::Parser;
use drover_api::{Change, Topic};
use drover_server::{
    agent,
    app::{self, App},
    auth, catalog,
    config::{AgentArgs, AgentCommand, CatalogCommand, Cli, Command, LogFormat, Settings},
    database, environments, events, hosts, openapi, shutdown, tunnel,
};
use secrecy::SecretString;
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

/// How long answers that are under way may take when the server is stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS stack for everything; a second call cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // To people first: the log's format is for machines.
            let _ = writeln!(std::io::stderr(), "drover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(settings) => {
            start_log("DROVER_LOG", &settings.log, settings.log_format)?;
            on_runtime(serve(*settings))??;
        }
        Command::ResetPassword { login, generate, settings } => {
            start_log("DROVER_LOG", &settings.log, settings.log_format)?;
            on_runtime(reset_password(*settings, login, generate))??;
        }
        Command::Catalog { command: CatalogCommand::Lint { directory } } => {
            return lint(&directory);
        }
        Command::Agent(arguments) => return agent_command(*arguments),
        Command::Openapi => println!("{}", openapi::document()),
    }
    Ok(ExitCode::SUCCESS)
}

fn agent_command(arguments: AgentArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(AgentCommand::Status { state_dir }) => {
            let report = agent::status::look(&state_dir);
            report.lines.iter().for_each(|line| println!("{line}"));
            return Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(AgentCommand::Register(options)) => {
            let host = on_one_thread(agent::register(*options))??;
            println!("This machine is the host {} in {}.", host.name, host.environment);
        }
        None => {
            start_log("DROVER_AGENT_LOG", &arguments.options.log, LogFormat::Text)?;
            on_one_thread(agent::run(arguments.options))??;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An agent is small, and its work is waiting.
fn on_one_thread<T>(work: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// Prints what is wrong with a catalog, as compilers do.
fn lint(directory: &std::path::Path) -> Result<ExitCode, Failure> {
    let (problems, wrong) = catalog::lint_folder(directory)?;
    problems.iter().for_each(|problem| println!("{problem}"));
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn on_runtime<T>(work: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work))
}

fn start_log(setting: &str, log: &str, format: LogFormat) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(log).map_err(|error| format!("{setting} (--log) `{log}`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    // Before anything slow: a port that is taken must be named at once.
    let listener = tokio::net::TcpListener::bind(settings.listen).await.map_err(|error| {
        format!("cannot listen on {} (DROVER_LISTEN): {error}", settings.listen)
    })?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let database = database::open(&settings).await?;
    let cipher = app::cipher(&settings)?;
    app::check_key(&database.pool, &cipher).await?;
    let app = App::new(settings, database.pool.clone(), cipher, metrics);
    if let Some(environment) = environments::ensure_default(&app.db).await? {
        hosts::ensure_local_host(&app, environment, &app.settings.docker_socket).await?;
    }
    app.spawn_tasks();
    let setup_link = auth::announce_setup(&app).await?;
    announce(&app, setup_link.as_deref());
    let listener = listener.tap_io(|tcp| tunnel::dial::tune(tcp));
    let service = app::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = Arc::new(Notify::new());
    let stop = stopping.clone();
    let tunnels = app.tunnels.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        shutdown().await;
        tracing::info!("stopping");
        tunnels.cut_all();
        stop.notify_one();
    });
    tokio::select! {
        served = serving => served?,
        // Events, logs and shells have no end of their own: browsers open them again elsewhere.
        () = async { stopping.notified().await; tokio::time::sleep(LAST_ANSWERS).await } => {}
    }
    if let Err(error) = tunnel::store::leave(&app.db, app.events.replica()).await {
        tracing::debug!(%error, "cannot say goodbye to the other replicas");
    }
    app.db.close().await;
    if let Some(postgres) = database.private {
        postgres.stop().await?;
    }
    Ok(())
}

fn announce(app: &App, setup_link: Option<&str>) {
    let mut out = std::io::stdout();
    let _ =
        writeln!(out, "Drover {} is at {}", env!("CARGO_PKG_VERSION"), app.settings.public_url());
    if let Some(link) = setup_link {
        let _ = writeln!(out, "Make the first administrator (this link works once): {link}");
    }
    if !app.settings.docker_socket.exists() {
        let _ = writeln!(
            out,
            "There is no Docker Engine at {}: install it (Debian, Ubuntu: `apt-get install docker.io`) or add hosts in the browser.",
            app.settings.docker_socket.display()
        );
    }
    let _ = out.flush();
}

async fn reset_password(settings: Settings, login: String, generate: bool) -> Result<(), Failure> {
    let password = if generate {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>())
    } else {
        let mut text = String::new();
        std::io::stdin().take(1024).read_to_string(&mut text)?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    };
    if let Some(error) = auth::check_new_password("password", &password) {
        return Err(error.message.into());
    }
    let database = database::open(&settings).await?;
    let done =
        auth::reset_password(&database.pool, &login, &SecretString::from(password.clone())).await?;
    if !done {
        return Err(format!("there is no user `{login}`").into());
    }
    // Servers that run remember sessions for a while: tell them.
    let ended = events::event(Topic::User, None, "", Change::Updated);
    events::Bus::new(database.pool.clone()).publish_access(ended).await;
    if generate {
        println!("{password}");
    }
    eprintln!("The password of `{login}` is changed, and the sessions have ended.");
    Ok(())
}
