//! [`RealNode`]: a bitcoind that the demo starts and stops.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lastword_sim::world::bitcoind::Bitcoind;
use lastword_sim::{SimError, Trying as _};

/// How often its RPC is tried before it counts as dead, and how long between.
const TRIES: u32 = 300;
const TRY_EVERY: Duration = Duration::from_millis(100);

/// How long it may take to stop before it is killed.
const STOP_TRIES: u32 = 100;

/// What a node must relay for packages of version 3, where it does not by default: packages whose
/// parent has an anchor of any value up to dust. In a file, where a node leaves what it does not know.
const POLICY: &str = "[regtest]\nmempooltruc=enforce\npermitephemeral=anchor,dust\n";

/// A running bitcoind with a chain of its own.
pub(crate) struct RealNode {
    process: Child,
    pub(crate) url: String,
    pub(crate) cookie: PathBuf,
}

impl RealNode {
    /// Starts it on an empty regtest chain in `folder`.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self, SimError> {
        std::fs::create_dir_all(folder).trying("make bitcoind's folder")?;
        let port = free_port()?;
        std::fs::write(folder.join("bitcoin.conf"), POLICY).trying("write bitcoind's policy")?;
        let log = File::create(folder.join("stdout.log")).trying("make bitcoind's log")?;
        let errors = log.try_clone().trying("make bitcoind's log")?;
        let process = Command::new(program)
            .args(["-regtest", "-server", "-listen=0", "-connect=0", "-dnsseed=0"])
            .args(["-fixedseeds=0", "-persistmempool=0", "-disablewallet=1", "-txindex=1"])
            .arg(format!("-rpcport={port}"))
            .arg(format!("-datadir={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .trying("start bitcoind")?;
        let cookie = folder.join("regtest").join(".cookie");
        Ok(Self { process, url: format!("http://127.0.0.1:{port}"), cookie })
    }

    /// Waits until it answers, and connects.
    pub(crate) fn connect(&mut self) -> Result<Bitcoind, SimError> {
        let mut last = SimError::new("bitcoind does not answer");
        for _ in 0..TRIES {
            if let Some(status) = self.process.try_wait().trying("look after bitcoind")? {
                return Err(SimError::with("bitcoind ended", status.to_string()));
            }
            match Bitcoind::connect(&self.url, &self.cookie) {
                Ok(world) => return Ok(world),
                Err(error) => last = error,
            }
            std::thread::sleep(TRY_EVERY);
        }
        Err(last)
    }
}

impl Drop for RealNode {
    fn drop(&mut self) {
        // It writes nothing that anybody needs afterwards, so it is simply killed; what it may
        // still answer to that is nobody's concern.
        drop(self.process.kill());
        for _ in 0..STOP_TRIES {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TRY_EVERY);
        }
    }
}

/// Finds a port that nobody listens on.
fn free_port() -> Result<u16, SimError> {
    let listener = TcpListener::bind("127.0.0.1:0").trying("find a free port")?;
    Ok(listener.local_addr().trying("find a free port")?.port())
}
