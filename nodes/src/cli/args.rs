//! What can be typed.

use super::output::{Format, exit_code};
use super::{
    alert, audit, cluster, demo, dev, events, feed, letters, model, report, rules, score, serve,
    simulate, sql, train, view,
};
use crate::client::Client;
use crate::validator::{self, ValidateArgs};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A district's sensor events, features, risk models, alerts and analytics in one cluster.
#[derive(Debug, Parser)]
#[command(name = "hearth", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where the cluster is, and how lists are printed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// gRPC addresses of some nodes, with commas between; any node will do
    #[arg(long, env = "HEARTH_ADDR", default_value = "127.0.0.1:7400", global = true)]
    pub(crate) addr: String,
    /// How lists are printed
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,
}

impl Remote {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.addr)?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one node
    Serve {
        #[arg(long)]
        config: PathBuf,
        /// Where this node's data are damaged or wrong: moves them aside and begins anew from the peers
        #[arg(long)]
        rebuild: bool,
    },
    /// Runs a local cluster, each node a child process; prints one line of JSON when it is ready
    Dev(dev::DevArgs),
    /// Runs a local cluster and the whole job on a simulated street
    Demo(demo::DemoArgs),
    /// Writes a simulated district: tables, events and, apart, the truth
    Simulate(simulate::SimulateArgs),
    /// Loads a simulated district into a cluster
    Load {
        dir: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// Replays a sensor file of any layout that a mapping file describes
    Replay(events::ReplayArgs),
    /// Department feeds: declare, load, see how far they have come
    Feed {
        #[command(subcommand)]
        command: feed::FeedCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// Events that could not be taken
    Events {
        #[command(subcommand)]
        command: letters::EventsCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// What the cluster is doing
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// Who belongs to the cluster; backups of it, and a new one from them
    Cluster {
        #[command(subcommand)]
        command: cluster::ClusterCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// Model files: push, look at, approve, activate
    Model {
        #[command(subcommand)]
        command: model::ModelCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// Feature views: push, look at, retire
    View {
        #[command(subcommand)]
        command: view::ViewCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// Looks at one package within limits; nodes start it for themselves
    #[command(hide = true)]
    ValidateModel(ValidateArgs),
    /// Fits a model by linfa from the answer of a query, measures it and writes a package
    Train(train::TrainArgs),
    /// Scores one entity
    Score(score::ScoreArgs),
    /// The decision ledger: verify, export, review
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// The 360 portrait of a resident
    Portrait {
        resident: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Asks the warehouse
    Sql {
        query: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Planning reports
    Report {
        #[command(subcommand)]
        command: report::ReportCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// Alerts: list, watch, act
    Alert {
        #[command(subcommand)]
        command: alert::AlertCommand,
        #[command(flatten)]
        remote: Remote,
    },
    /// What raises an alert: show, push, try on recorded events
    Rules {
        #[command(subcommand)]
        command: rules::RulesCommand,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Runs what was typed; the number is the exit status.
pub fn run() -> i32 {
    // Wrong usage is said by the parser, which ends with 2 as promised.
    let cli = Cli::parse();
    if let Command::ValidateModel(args) = &cli.command {
        return validator::run(args);
    }
    if matches!(cli.command, Command::Serve { .. }) {
        crate::native::without_telemetry();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hearth: the runtime cannot start: {error}");
            return crate::exit::UNAVAILABLE;
        }
    };
    let outcome = runtime.block_on(dispatch(cli.command));
    // Blocking work of a client that is done is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hearth: {}", one_line(&error));
            exit_code(&error)
        }
    }
}

/// An error and its causes in one line; a cause that the words before it end with is not said again.
fn one_line(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said.replace('\n', " ")
}

async fn dispatch(command: Command) -> anyhow::Result<i32> {
    match command {
        Command::Serve { config, rebuild } => return serve::run(&config, rebuild).await,
        Command::Dev(args) => return dev::run(args).await,
        Command::Demo(args) => demo::run(args).await?,
        Command::Simulate(args) => simulate::run(&args)?,
        Command::Load { dir, remote } => simulate::load(&dir, &remote).await?,
        Command::Replay(args) => events::replay(args).await?,
        Command::Feed { command, remote } => feed::run(command, &remote).await?,
        Command::Events { command, remote } => letters::run(command, &remote).await?,
        Command::Status { remote } => cluster::status(&remote).await?,
        Command::Cluster { command, remote } => cluster::run(command, &remote).await?,
        Command::Model { command, remote } => model::run(command, &remote).await?,
        Command::View { command, remote } => view::run(command, &remote).await?,
        // Ran before there was a runtime.
        Command::ValidateModel(_) => {}
        Command::Train(args) => train::run(args).await?,
        Command::Score(args) => score::run(args).await?,
        Command::Audit { command, remote } => audit::run(command, &remote).await?,
        Command::Portrait { resident, remote } => sql::portrait(&resident, &remote).await?,
        Command::Sql { query, remote } => sql::run(&query, &remote).await?,
        Command::Report { command, remote } => report::run(command, &remote).await?,
        Command::Alert { command, remote } => alert::run(command, &remote).await?,
        Command::Rules { command, remote } => rules::run(command, &remote).await?,
    }
    Ok(crate::exit::DONE)
}
