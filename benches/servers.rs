//! Three servers of somebody else's program on loopback; they stop with this.

use anyhow::Context as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const SERVERS: usize = 3;
/// How long they may take until they have a leader.
pub(crate) const START_MAX: Duration = Duration::from_secs(30);
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Servers {
    children: Vec<Child>,
    pub(crate) pids: Vec<u32>,
}

impl Servers {
    /// What each says goes to a file in the folder.
    pub(crate) fn start(commands: Vec<Command>, folder: &Path) -> anyhow::Result<Self> {
        let mut servers = Self::default();
        for (number, mut command) in commands.into_iter().enumerate() {
            let said = File::create(folder.join(format!("said-{number}")))?;
            command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
            let child = command.spawn()?;
            servers.pids.push(child.id());
            servers.children.push(child);
        }
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Its version, if there is such a program on the PATH.
pub(crate) fn version(program: &str) -> anyhow::Result<String> {
    let said = Command::new(program).arg("--version").output();
    let said = said.with_context(|| format!("no {program} on the PATH"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = said.lines().next().and_then(|line| line.rsplit([' ', 'v']).next());
    Ok(number.with_context(|| format!("{program} does not tell its version"))?.to_owned())
}

/// Ports that nobody listened on a moment ago, one for each server.
pub(crate) fn free_ports() -> anyhow::Result<[u16; SERVERS]> {
    let mut ports = [0; SERVERS];
    // All are held until the last is found, so that none comes twice.
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
