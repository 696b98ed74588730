//! A way to a node that can be blocked (connections stay open, nothing moves), cut, shut (new
//! connections are closed, too), and measured.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    blocked: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    shut: Arc<AtomicBool>,
    meter: Arc<Mutex<Meter>>,
}

/// What has gone to the node, and after how many bytes the way is cut.
#[derive(Default)]
struct Meter {
    sent: u64,
    cut_at: VecDeque<u64>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let blocked = watch::Sender::new(false);
        let gate = blocked.subscribe();
        let cuts = watch::Sender::new(0);
        let cut = cuts.clone();
        let shut = Arc::new(AtomicBool::new(false));
        let closed = shut.clone();
        let meter = Arc::new(Mutex::new(Meter::default()));
        let metered = meter.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if closed.load(Ordering::Relaxed) {
                    continue;
                }
                let gate = gate.clone();
                let meter = metered.clone();
                let cutting = cut.clone();
                let mut cut = cut.subscribe();
                tokio::spawn(async move {
                    let far = TcpStream::connect(target).await?;
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    let count = |read: usize| {
                        let mut meter = meter.lock();
                        meter.sent += read as u64;
                        if meter.cut_at.front().is_some_and(|at| meter.sent >= *at) {
                            meter.cut_at.pop_front();
                            cutting.send_modify(|cuts| *cuts += 1);
                        }
                    };
                    tokio::select! {
                        done = pump(near_read, far_write, gate.clone(), count) => done,
                        done = pump(far_read, near_write, gate, |_| ()) => done,
                        _ = cut.changed() => Ok(()),
                    }
                });
            }
        });
        Self { address, blocked, cuts, shut, meter }
    }

    /// Closes every connection each time so many bytes have gone to the node in all.
    pub(crate) fn cut_at(&self, bytes: impl IntoIterator<Item = u64>) {
        self.meter.lock().cut_at.extend(bytes);
    }

    /// Bytes that have gone to the node, and cuts that are still to come.
    pub(crate) fn sent(&self) -> (u64, usize) {
        let meter = self.meter.lock();
        (meter.sent, meter.cut_at.len())
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes every connection, also each new one until it is opened again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::Relaxed);
        self.cut();
    }

    pub(crate) fn block(&self, blocked: bool) {
        self.blocked.send_replace(blocked);
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut gate: watch::Receiver<bool>,
    count: impl Fn(usize),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if gate.wait_for(|blocked| !*blocked).await.is_err() || read == 0 {
            return Ok(());
        }
        count(read);
        to.write_all(&buffer[..read]).await?;
    }
}
