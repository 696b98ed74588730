//! Where the processes live: each in a network namespace of its own on one bridge where this machine
//! allows it, else all on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

/// Names of everything made here begin so, followed by the id of the process that made it.
const PREFIX: &str = "hf";
/// Networks for measurements between devices, used by nobody's own net (RFC 2544).
const NETWORKS: [u8; 2] = [18, 19];

/// The net of one run; everything in it goes when this is dropped.
#[derive(Debug)]
pub(crate) enum Ground {
    Loopback,
    Namespaces(Namespaces),
}

#[derive(Debug)]
pub(crate) struct Namespaces {
    run: String,
    network: [u8; 3],
    nodes: u64,
}

impl Ground {
    /// Tries namespaces first; `HEARTH_FAULTS_NET=loopback` does not.
    pub(crate) fn prepare(nodes: u64) -> Self {
        sweep();
        if std::env::var("HEARTH_FAULTS_NET").is_ok_and(|wanted| wanted == "loopback") {
            return Self::Loopback;
        }
        match Namespaces::make(nodes) {
            Ok(made) => Self::Namespaces(made),
            Err(why) => {
                println!("no network namespaces here ({why}): loopback it is");
                Self::Loopback
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Loopback => "loopback addresses",
            Self::Namespaces(_) => "a network namespace for each node",
        }
    }

    /// Where the proxies listen and the nodes reach them.
    pub(crate) fn host(&self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Namespaces(made) => made.address(1),
        }
    }

    /// Four addresses for a node's ports.
    pub(crate) fn ports(&self, node: u64) -> [SocketAddr; 4] {
        match self {
            Self::Loopback => {
                let held: [TcpListener; 4] =
                    std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
                held.each_ref().map(|listener| listener.local_addr().unwrap())
            }
            Self::Namespaces(made) => {
                std::array::from_fn(|at| (made.address(node + 1), 7001 + at as u16).into())
            }
        }
    }

    /// A command that runs in the node's namespace; its process has the id of what is run.
    pub(crate) fn command(&self, node: u64, program: &str) -> Command {
        match self {
            Self::Loopback => Command::new(program),
            Self::Namespaces(made) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &made.namespace(node), program]);
                command
            }
        }
    }

    /// Pulls or plugs the node's cable; false where there is none.
    pub(crate) fn cable(&self, node: u64, plugged: bool) -> bool {
        let Self::Namespaces(made) = self else { return false };
        let state = if plugged { "up" } else { "down" };
        ip(&["link", "set", &made.cable(node), state]).unwrap();
        true
    }
}

impl Namespaces {
    fn make(nodes: u64) -> Result<Self, String> {
        let run = format!("{PREFIX}{}", std::process::id());
        let network = free_network()?;
        // From here on a failure takes down what was made.
        let made = Self { run, network, nodes };
        let (bridge, host) = (made.bridge(), format!("{}/24", made.address(1)));
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &host, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for node in 1..=nodes {
            let (inside, cable) = (made.namespace(node), made.cable(node));
            let address = format!("{}/24", made.address(node + 1));
            ip(&["netns", "add", &inside])?;
            ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &inside])?;
            ip(&["link", "set", &cable, "master", &bridge])?;
            ip(&["link", "set", &cable, "up"])?;
            ip(&["-n", &inside, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &inside, "link", "set", "eth0", "up"])?;
            ip(&["-n", &inside, "link", "set", "lo", "up"])?;
        }
        made.try_out()?;
        Ok(made)
    }

    /// A namespace that nothing gets through to is of no use: a firewall may sit on the bridge.
    fn try_out(&self) -> Result<(), String> {
        let listener = TcpListener::bind((self.address(1), 0)).map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let dial = format!("exec 3<>/dev/tcp/{}/{port}", self.address(1));
        run("timeout", &["5", "ip", "netns", "exec", &self.namespace(1), "bash", "-c", &dial])
    }

    fn address(&self, last: u64) -> IpAddr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last as u8).into()
    }

    fn namespace(&self, node: u64) -> String {
        format!("{}n{node}", self.run)
    }

    fn cable(&self, node: u64) -> String {
        format!("{}v{node}", self.run)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.run)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for node in 1..=self.nodes {
            end_namespace(&self.namespace(node));
            let _ = ip(&["link", "del", &self.cable(node)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
}

fn says(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn free_network() -> Result<[u8; 3], String> {
    let known = says(&["-o", "-4", "addr"]) + &says(&["-4", "route"]);
    let first = std::process::id() as u8;
    let mut all = NETWORKS
        .into_iter()
        .flat_map(|second| (0..=255).map(move |n| [198, second, first.wrapping_add(n)]));
    all.find(|[a, b, c]| !known.contains(&format!("{a}.{b}.{c}.")))
        .ok_or_else(|| "no network is free".to_owned())
}

/// Takes down what runs that are dead have left.
fn sweep() {
    let namespaces = says(&["netns", "list"]);
    for name in namespaces.lines().filter_map(|line| line.split_whitespace().next()) {
        if is_orphan(name) {
            end_namespace(name);
        }
    }
    let links = says(&["-o", "link"]);
    for name in links.lines().filter_map(|line| line.split([':', '@']).nth(1)).map(str::trim) {
        if is_orphan(name) {
            let _ = ip(&["link", "del", name]);
        }
    }
}

/// Made here, by a process that is no more.
fn is_orphan(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let kind = rest[digits.len()..].chars().next();
    !digits.is_empty()
        && kind.is_some_and(|kind| "nvb".contains(kind))
        && !Path::new(&format!("/proc/{digits}")).exists()
}

/// Removes a namespace and ends whatever runs in it.
fn end_namespace(name: &str) {
    for pid in says(&["netns", "pids", name]).split_whitespace() {
        let _ = run("kill", &["-9", pid]);
    }
    let _ = ip(&["netns", "del", name]);
}
