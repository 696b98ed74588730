//! Three NATS servers with one JetStream stream of three replicas, asked at its leader in NATS' own text
//! protocol over one connection.

use crate::latency::Taken;
use crate::load::{Load, System};
use crate::servers::{ASK_AGAIN, SERVERS, START_MAX, Servers, free_ports};
use anyhow::Context as _;
use nodes::proto::hearth::{AppendRequest, Event};
use prost::Message as _;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = "nats-server";
const STREAM: &str = "EVENTS";
const SUBJECT: &str = "events";
const INBOX: &str = "_INBOX.bench.";
/// Past it the run has failed.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const MAKE_STREAM: &str = r#"{"name":"EVENTS","subjects":["events"],"storage":"file","num_replicas":3,
"retention":"limits","discard":"old"}"#;

/// When the servers flush what they write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// As they come: every minute or two.
    Later,
    /// Before each acknowledgement, by the server's own `sync_interval: always`.
    Always,
    /// On every write, by the file system: the servers' folders are marked as synchronous.
    Marked,
}

impl Flush {
    /// The strictest that these servers and this disk can do: version 2.9 has no setting for it.
    pub(crate) fn strictest(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("tried.conf");
        std::fs::write(&file, "jetstream { sync_interval: always }\n")?;
        let tried = Command::new(PROGRAM).arg("-t").arg("-c").arg(&file).output()?;
        if tried.status.success() {
            return Ok(Self::Always);
        }
        let marked = folder.join("tried");
        std::fs::create_dir(&marked)?;
        Ok(if mark(&marked).is_ok() { Self::Marked } else { Self::Later })
    }

    pub(crate) fn words(self, version: &str) -> String {
        match self {
            Self::Later => format!(
                "three copies, acknowledged BEFORE the flush ({version} as it comes), which flatters it"
            ),
            Self::Always => "flushed by `sync_interval: always` before the answer".to_owned(),
            Self::Marked => format!(
                "each write flushed by the file system (`chattr +S`; {version} has no setting for it)"
            ),
        }
    }
}

/// Files made in the folder from now on are written through to the disk.
fn mark(folder: &Path) -> anyhow::Result<()> {
    let done = Command::new("chattr").arg("+S").arg(folder).output()?;
    anyhow::ensure!(done.status.success(), "the file system marks no folder as synchronous");
    Ok(())
}

#[derive(Debug)]
pub(crate) struct Nats {
    servers: Servers,
    leader: Connection,
}

impl Nats {
    pub(crate) fn start(folder: &Path, flush: Flush) -> anyhow::Result<Self> {
        let (clients, routes) = (free_ports()?, free_ports()?);
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut commands = Vec::new();
        for n in 0..SERVERS {
            let data = folder.join(format!("data-{n}"));
            std::fs::create_dir_all(&data)?;
            if flush == Flush::Marked {
                mark(&data)?;
            }
            let sync = if flush == Flush::Always { "sync_interval: always" } else { "" };
            let settings = format!(
                "server_name: n{n}\nlisten: 127.0.0.1:{}\n\
                 jetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n\
                 cluster {{\n  name: bench\n  listen: 127.0.0.1:{}\n  routes: [{}]\n}}\n",
                clients[n],
                data.display(),
                routes[n],
                all.join(", ")
            );
            let file = folder.join(format!("n{n}.conf"));
            std::fs::write(&file, settings)?;
            let mut command = Command::new(PROGRAM);
            command.arg("-c").arg(file);
            commands.push(command);
        }
        let servers = Servers::start(commands, folder)?;
        let begun = Instant::now();
        let mut last = anyhow::anyhow!("NATS does not listen");
        while begun.elapsed() < START_MAX {
            match leader(&clients) {
                Ok(leader) => return Ok(Self { servers, leader }),
                Err(error) => last = error,
            }
            std::thread::sleep(ASK_AGAIN);
        }
        Err(last.context(format!("NATS has no stream after {START_MAX:?}")))
    }
}

/// A connection to the server that leads the stream, which is made if it is not there yet.
fn leader(clients: &[u16]) -> anyhow::Result<Connection> {
    let mut any = Connection::open(clients[0], Duration::from_secs(2))?;
    any.ask(&format!("$JS.API.STREAM.CREATE.{STREAM}"), MAKE_STREAM)?;
    let stream = any.ask(&format!("$JS.API.STREAM.INFO.{STREAM}"), "")?;
    let name = stream["cluster"]["leader"].as_str().context("the stream has no leader")?;
    let number: usize = name.trim_start_matches('n').parse()?;
    let port = clients.get(number).context("a stranger leads the stream")?;
    Connection::open(*port, ANSWER_MAX)
}

impl System for Nats {
    type Request = Vec<u8>;

    fn pids(&self) -> &[u32] {
        &self.servers.pids
    }

    fn request(&self, events: Vec<Event>, _: &Load) -> Vec<u8> {
        match events.as_slice() {
            [only] => only.encode_to_vec(),
            _ => AppendRequest { events, ..AppendRequest::default() }.encode_to_vec(),
        }
    }

    async fn send(&mut self, requests: Vec<Vec<u8>>, in_flight: usize) -> anyhow::Result<Taken> {
        // The runtime has nothing else to do meanwhile.
        self.leader.publish(&requests, in_flight)
    }
}

/// One client connection, which reads the answers to its own inbox.
#[derive(Debug)]
struct Connection {
    reading: BufReader<TcpStream>,
    writing: TcpStream,
    /// Of the inbox: the number that the next message is answered under.
    next: usize,
}

impl Connection {
    fn open(port: u16, answer_max: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(answer_max))?;
        let mut writing = stream.try_clone()?;
        writing.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
        writing.write_all(format!("SUB {INBOX}* 1\r\n").as_bytes())?;
        Ok(Self { reading: BufReader::with_capacity(1 << 16, stream), writing, next: 0 })
    }

    /// Keeps so many messages in flight until the last is acknowledged.
    fn publish(&mut self, messages: &[Vec<u8>], in_flight: usize) -> anyhow::Result<Taken> {
        let first = self.next;
        let whole = Instant::now();
        let mut begun = Vec::with_capacity(messages.len());
        let mut took = Vec::with_capacity(messages.len());
        let mut waiting = messages.iter();
        let mut framed = Vec::new();
        while took.len() < messages.len() {
            for message in waiting.by_ref().take(in_flight + took.len() - begun.len()) {
                begun.push(Instant::now());
                self.frame(&mut framed, SUBJECT, message);
            }
            self.writing.write_all(&framed)?;
            framed.clear();
            // One answer, and all that came with it.
            loop {
                let (number, answer) = self.answer()?;
                if let Some(begun) = number.checked_sub(first).and_then(|at| begun.get(at)) {
                    took.push(begun.elapsed());
                    // Parsed only where it is not what it should be: the client's time counts.
                    let refused = answer.windows(7).any(|word| word == b"\"error\"");
                    anyhow::ensure!(!refused, "NATS: {}", String::from_utf8_lossy(&answer));
                }
                if self.reading.buffer().is_empty() || took.len() == messages.len() {
                    break;
                }
            }
        }
        Ok(Taken::new(took, whole.elapsed()))
    }

    fn ask(&mut self, subject: &str, body: &str) -> anyhow::Result<Value> {
        let mut framed = Vec::new();
        let asked = self.next;
        self.frame(&mut framed, subject, body.as_bytes());
        self.writing.write_all(&framed)?;
        loop {
            let (number, answer) = self.answer()?;
            if number == asked {
                let answer: Value = serde_json::from_slice(&answer)?;
                anyhow::ensure!(answer["error"].is_null(), "{}", answer["error"]);
                return Ok(answer);
            }
        }
    }

    fn frame(&mut self, framed: &mut Vec<u8>, subject: &str, body: &[u8]) {
        let head = format!("PUB {subject} {INBOX}{} {}\r\n", self.next, body.len());
        framed.extend_from_slice(head.as_bytes());
        framed.extend_from_slice(body);
        framed.extend_from_slice(b"\r\n");
        self.next += 1;
    }

    /// The next message for the inbox: its number there and its bytes.
    fn answer(&mut self) -> anyhow::Result<(usize, Vec<u8>)> {
        loop {
            let mut line = String::new();
            let read = self.reading.read_line(&mut line).context("NATS gives no answer")?;
            anyhow::ensure!(read > 0, "NATS closed the connection");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("MSG") => {
                    let number = words.next().and_then(|subject| subject.strip_prefix(INBOX));
                    let bytes: usize =
                        words.next_back().context("a message of no size")?.parse()?;
                    let mut body = vec![0; bytes + 2];
                    self.reading.read_exact(&mut body)?;
                    body.truncate(bytes);
                    return Ok((number.context("a message for somebody else")?.parse()?, body));
                }
                Some("PING") => self.writing.write_all(b"PONG\r\n")?,
                Some("-ERR") => anyhow::bail!("NATS: {}", line.trim()),
                _ => {}
            }
        }
    }
}
