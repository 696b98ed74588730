//! Keeps some of the disk free: a leader that could not write its log any more refuses commands
//! before it comes to that, and goes on voting and serving.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is free, as last seen.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    reserve_bytes: u64,
    free_bytes: AtomicU64,
}

impl Space {
    pub(crate) fn new(dir: PathBuf, reserve_bytes: u64) -> Self {
        let space = Self { dir, reserve_bytes, free_bytes: AtomicU64::new(u64::MAX) };
        space.look();
        space
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// The free bytes, if they are too few.
    pub(crate) fn shortage(&self) -> Option<u64> {
        let free = self.free_bytes();
        (free < self.reserve_bytes).then_some(free)
    }

    fn look(&self) {
        match rustix::fs::statvfs(&self.dir) {
            Ok(stat) => {
                let free = stat.f_bavail.saturating_mul(stat.f_frsize);
                self.free_bytes.store(free, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "cannot see how full the disk is"),
        }
    }
}

pub(crate) async fn watch(space: Arc<Space>, mut stop: watch::Receiver<bool>) {
    let mut was_short = false;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let looking = space.clone();
        if crate::blocking::spawn_blocking(move || looking.look()).await.is_err() {
            return;
        }
        let shortage = space.shortage();
        if shortage.is_some() != was_short {
            was_short = shortage.is_some();
            tracing::warn!(free_bytes = space.free_bytes(), short = was_short, "disk space");
        }
    }
}
