//! How many clusters run at once: more would measure the machine, not the program.

use std::sync::{Condvar, Mutex};

const CLUSTERS_AT_ONCE: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run a cluster; given back when dropped, also by a test that failed.
#[derive(Debug)]
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Self {
        let running = RUNNING.lock().unwrap();
        let mut running =
            ENDED.wait_while(running, |running| *running >= CLUSTERS_AT_ONCE).unwrap();
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Ok(mut running) = RUNNING.lock() {
            *running -= 1;
        }
        ENDED.notify_one();
    }
}
