//! The wires between nodes. Every directed link i→j is a listener of its own that node i dials in
//! place of node j; what becomes of the bytes is decided for each direction by itself.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const BUFFER_BYTES: usize = 64 << 10;
/// Pieces on their way on a slow wire.
const PIECES_IN_FLIGHT: usize = 256;

/// What becomes of bytes from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Wire {
    #[default]
    Pass,
    /// Late by the first, and by up to the second more.
    Delay(Duration, Duration),
    /// Held until the wire passes again, as TCP does with what is lost.
    Stall,
    /// One bit of a piece is wrong, with this probability.
    Flip(f64),
}

type Way = (u64, u64);

#[derive(Debug)]
struct Shared {
    wires: BTreeMap<Way, watch::Sender<Wire>>,
    /// Connections closed with a reset; while the flag is up, new ones as well.
    resets: BTreeMap<Way, watch::Sender<bool>>,
    flipped: AtomicU64,
    connections: AtomicU64,
    seed: u64,
}

/// All links of a cluster.
#[derive(Debug)]
pub(crate) struct Net {
    shared: Arc<Shared>,
    /// Where node i of (i, j) dials to reach node j.
    pub(crate) doors: BTreeMap<Way, SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Net {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Net {
    /// Doors to these nodes' raft ports.
    pub(crate) async fn between(host: IpAddr, raft: &BTreeMap<u64, SocketAddr>, seed: u64) -> Self {
        let ways: Vec<Way> = raft
            .keys()
            .flat_map(|from| raft.keys().map(|to| (*from, *to)))
            .filter(|(from, to)| from != to)
            .collect();
        let shared = Arc::new(Shared {
            wires: ways.iter().map(|way| (*way, watch::Sender::new(Wire::Pass))).collect(),
            resets: ways.iter().map(|way| (*way, watch::Sender::new(false))).collect(),
            flipped: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            seed,
        });
        let (mut doors, mut tasks) = (BTreeMap::new(), Vec::new());
        for way in ways {
            let listener = TcpListener::bind((host, 0)).await.unwrap();
            doors.insert(way, listener.local_addr().unwrap());
            tasks.push(tokio::spawn(stand(listener, way, raft[&way.1], Arc::clone(&shared))));
        }
        Self { shared, doors, tasks }
    }

    pub(crate) fn set(&self, from: u64, to: u64, wire: Wire) {
        self.shared.wires[&(from, to)].send_replace(wire);
    }

    /// Both directions between two nodes.
    pub(crate) fn set_both(&self, a: u64, b: u64, wire: Wire) {
        self.set(a, b, wire);
        self.set(b, a, wire);
    }

    /// Every wire that passes becomes another one.
    pub(crate) fn disturb(&self, wire: Wire) {
        for each in self.shared.wires.values() {
            each.send_if_modified(|now| *now == Wire::Pass && std::mem::replace(now, wire) != wire);
        }
    }

    /// Resets the connections that either of the two has dialled, and while `closed`, new ones.
    pub(crate) fn reset(&self, a: u64, b: u64, closed: bool) {
        for way in [(a, b), (b, a)] {
            self.shared.resets[&way].send_replace(closed);
        }
    }

    /// All wires pass.
    pub(crate) fn heal(&self) {
        for wire in self.shared.wires.values() {
            wire.send_replace(Wire::Pass);
        }
        for reset in self.shared.resets.values() {
            reset.send_if_modified(std::mem::take);
        }
    }

    /// Bits that were flipped so far.
    pub(crate) fn flipped(&self) -> u64 {
        self.shared.flipped.load(Ordering::Relaxed)
    }
}

async fn stand(listener: TcpListener, way: Way, target: SocketAddr, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut reset = shared.resets[&way].subscribe();
            if *reset.borrow_and_update() {
                return end(&near);
            }
            // A handshake takes both directions, and is lost as anything else is.
            for direction in [way, (way.1, way.0)] {
                let mut gate = shared.wires[&direction].subscribe();
                if gate.wait_for(|wire| *wire != Wire::Stall).await.is_err() {
                    return;
                }
            }
            let Ok(far) = TcpStream::connect(target).await else { return };
            if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
                return;
            }
            carry(near, far, way, &shared, reset).await;
        });
    }
}

/// Lets the connection end with a reset once it is dropped.
fn end(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    (from, to): Way,
    shared: &Arc<Shared>,
    mut reset: watch::Receiver<bool>,
) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let dice = |n| ChaCha8Rng::seed_from_u64(shared.seed ^ (2 * number + n));
    let is_reset = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        tokio::select! {
            _ = pump(near_read, far_write, shared, (from, to), dice(0)) => false,
            _ = pump(far_read, near_write, shared, (to, from), dice(1)) => false,
            _ = reset.changed() => true,
        }
    };
    if is_reset {
        end(&near);
        end(&far);
    }
}

/// Moves bytes one way until either end closes.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Arc<Shared>,
    way: Way,
    mut dice: ChaCha8Rng,
) -> std::io::Result<()> {
    let wire = &shared.wires[&way];
    let (queue, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_IN_FLIGHT);
    let reading = async move {
        let now = wire.subscribe();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from.read(&mut buffer).await?;
            let mut piece = buffer[..read].to_vec();
            let mut due = Instant::now();
            match *now.borrow() {
                Wire::Delay(least, jitter) => due += least + jitter.mul_f64(dice.random()),
                Wire::Flip(probability) if read > 0 && dice.random_bool(probability) => {
                    piece[dice.random_range(0..read)] ^= 1 << dice.random_range(0..8);
                    shared.flipped.fetch_add(1, Ordering::Relaxed);
                }
                Wire::Pass | Wire::Stall | Wire::Flip(_) => {}
            }
            if queue.send((due, piece)).await.is_err() || read == 0 {
                return Ok::<_, std::io::Error>(());
            }
        }
    };
    let writing = async move {
        let mut gate = wire.subscribe();
        while let Some((due, piece)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            let open = gate.wait_for(|wire| *wire != Wire::Stall).await.is_ok();
            if !open || piece.is_empty() {
                break;
            }
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}
