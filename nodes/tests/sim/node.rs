//! What runs on a simulated host: raft, and a door for the clients.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raft::sim::Host;
use raft::{Config, Error, Member, Raft};
use tokio::sync::mpsc;

use crate::machine::Machine;
use crate::seen::{Journal, Seen};

const PORT: u16 = 7000;

/// What can be asked of a node.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Propose(Bytes, Duration),
    Read,
    Snapshot,
    AddLearner(u64),
    Promote(u64),
    Demote(u64),
    Remove(u64),
    Transfer(u64),
}

/// An index, and the reply of a command.
pub(crate) type Answer = Result<(u64, Bytes), String>;

/// Answers by the number of the question.
pub(crate) type Answers = Arc<Mutex<Vec<(u64, Answer)>>>;

/// The way in to a running node.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) raft: Raft,
    pub(crate) machine: Arc<Machine>,
    pub(crate) questions: mpsc::UnboundedSender<(u64, Question)>,
}

/// What a node keeps across crashes, and shares with the simulation.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) host: Host,
    pub(crate) door: Arc<Mutex<Option<Door>>>,
    pub(crate) config: Config,
    /// Empty for a node that joins later.
    pub(crate) founders: BTreeMap<u64, Member>,
    pub(crate) answers: Answers,
    pub(crate) journal: Journal,
}

pub(crate) fn name(id: u64) -> String {
    format!("node{id}")
}

pub(crate) fn member(id: u64) -> Member {
    Member::new(format!("{}:{PORT}", name(id)))
}

/// Small limits, so that everything that happens seldom happens often.
pub(crate) fn config(id: u64, dir: PathBuf, host: &Host) -> Config {
    Config {
        node_id: id,
        dir,
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        heartbeat_ms: 50,
        election_min_ms: 200,
        election_max_ms: 400,
        disk_reserve_bytes: 0,
        propose_timeout_ms: 1_000,
        connect_timeout_ms: 300,
        sim: host.clone(),
        ..Config::default()
    }
}

impl Node {
    /// Runs until it is crashed.
    pub(crate) async fn run(self) -> turmoil::Result {
        let machine = Arc::new(Machine::new(self.id, self.journal.clone()));
        let raft = match Raft::start(self.config.clone(), machine.clone()).await {
            Ok(raft) => raft,
            Err(error) => {
                self.journal.note(self.id, Seen::Died(error.to_string()));
                return Ok(());
            }
        };
        self.journal.note(self.id, Seen::Started);
        if !self.founders.is_empty() {
            // A founder that cannot write its log tells so by dying.
            drop(raft.bootstrap(self.founders.clone()).await);
        }
        let (questions, mut asked) = mpsc::unbounded_channel();
        *self.door.lock() = Some(Door { raft: raft.clone(), machine, questions });
        loop {
            tokio::select! {
                biased;
                why = raft.failed() => {
                    self.journal.note(self.id, Seen::Died(why));
                    return Ok(());
                }
                question = asked.recv() => {
                    let Some((number, question)) = question else { return Ok(()) };
                    let (raft, answers) = (raft.clone(), self.answers.clone());
                    tokio::spawn(async move {
                        let answer = ask(&raft, question).await.map_err(|e| e.to_string());
                        answers.lock().push((number, answer));
                    });
                }
            }
        }
    }
}

async fn ask(raft: &Raft, question: Question) -> Result<(u64, Bytes), Error> {
    let done = |()| (0, Bytes::new());
    match question {
        Question::Propose(command, timeout) => {
            raft.propose_within(command, timeout).await.map(|done| (done.index, done.reply))
        }
        Question::Read => raft.linearize().await.map(|index| (index, Bytes::new())),
        Question::Snapshot => raft.snapshot_now().await.map(done),
        Question::AddLearner(id) => raft.add_learner(id, member(id)).await.map(done),
        Question::Promote(id) => raft.promote(id).await.map(done),
        Question::Demote(id) => raft.demote(id).await.map(done),
        Question::Remove(id) => raft.remove(id).await.map(done),
        Question::Transfer(id) => raft.transfer_leader(id).await.map(done),
    }
}
