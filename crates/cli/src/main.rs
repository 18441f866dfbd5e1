#![doc = include_str!("../README.md")]

mod boundary;
mod child;
mod closings;
mod demo;
mod node;
mod real;
mod report;
mod verify;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Gives every Lightning payment exactly one last word, whatever crashes, whenever.
#[derive(Debug, Parser)]
#[command(name = "lastword", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Closes channels on a chain, kills the node again and again, and shows that every payment
    /// reaches exactly one outcome.
    Demo(DemoArgs),
    /// Closes a channel in every way there is, all of one format at once, and shows what the node
    /// put on chain.
    Closings(ClosingsArgs),
    /// Reads stores whole, says what they hold, and names every place that is damaged.
    #[command(visible_alias = "stats")]
    Verify(VerifyArgs),
    /// The node of the demo; the demo starts it.
    #[command(hide = true)]
    Node(NodeArgs),
}

/// What `lastword demo` may be told.
#[derive(Debug, Clone, Args)]
struct DemoArgs {
    /// Print one JSON object a payment, and last a summary.
    #[arg(long)]
    json: bool,
    /// Repeat the run of this number; without it one is drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// Run on a real regtest node: the path of a bitcoind, which is started and stopped.
    #[arg(long, value_name = "PATH")]
    bitcoind: Option<PathBuf>,
    /// Say at the end what the node holds in memory, by kind.
    #[arg(long)]
    stats: bool,
    /// Keep the node's stores in this folder, which must be new or empty.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// What `lastword verify` may be told.
#[derive(Debug, Clone, Args)]
struct VerifyArgs {
    /// Print one JSON object a store.
    #[arg(long)]
    json: bool,
    /// The files of the stores. No node may have them open.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What `lastword closings` may be told.
#[derive(Debug, Clone, Args)]
struct ClosingsArgs {
    /// Print one JSON object a format.
    #[arg(long)]
    json: bool,
    /// Run on a real regtest node: the path of a bitcoind, which is started and stopped.
    #[arg(long, value_name = "PATH")]
    bitcoind: Option<PathBuf>,
}

/// What the demo tells its node.
#[derive(Debug, Clone, Args)]
struct NodeArgs {
    /// Where the demo listens.
    #[arg(long)]
    connect: SocketAddr,
    /// The number that everything is made from.
    #[arg(long)]
    seed: u64,
    /// The folder of the stores.
    #[arg(long)]
    folder: PathBuf,
    /// Where the in-process chain listens.
    #[arg(long, required_unless_present = "rpc")]
    chain: Option<SocketAddr>,
    /// The URL of a bitcoind.
    #[arg(long, requires = "cookie")]
    rpc: Option<String>,
    /// Its cookie file.
    #[arg(long)]
    cookie: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Closings(arguments) => closings::run(&arguments).map(|()| true),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Node(arguments) => node::run(&arguments).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::complain(&error.chain());
            ExitCode::FAILURE
        }
    }
}
