//! Prepared statements that clients hold, each in its owner's session.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use features::table::Cell;
use parking_lot::Mutex;
use tonic::Status;

use crate::Checked;

/// Beyond it a session's longest unused handle is dropped.
const HANDLES_PER_SESSION_MAX: usize = 1024;
const HANDLES_MAX: usize = 16 * 1024;
const HANDLE_IDLE_MAX: Duration = Duration::from_mins(30);

/// What a handle stands for.
#[derive(Clone, Debug)]
pub(super) enum Prepared {
    Statement(Checked),
    Portrait,
    PortraitOf(String),
}

#[derive(Debug)]
struct Held {
    session: String,
    prepared: Prepared,
    params: Vec<Vec<Cell>>,
    used: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Handles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: BTreeMap<u64, Held>,
}

impl Handles {
    pub(super) fn add(&self, session: &str, prepared: Prepared) -> Result<Vec<u8>, Status> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.held.retain(|_, each| now.duration_since(each.used) < HANDLE_IDLE_MAX);
        let own = state.held.iter().filter(|(_, each)| each.session == session);
        if own.clone().count() >= HANDLES_PER_SESSION_MAX {
            let oldest = own.min_by_key(|(_, each)| each.used).map(|(number, _)| *number);
            oldest.map(|number| state.held.remove(&number));
        }
        if state.held.len() >= HANDLES_MAX {
            return Err(Status::resource_exhausted(format!(
                "this node holds {HANDLES_MAX} prepared statements; close some"
            )));
        }
        state.next += 1;
        let number = state.next;
        let held = Held { session: session.to_owned(), prepared, params: Vec::new(), used: now };
        state.held.insert(number, held);
        Ok(number.to_be_bytes().to_vec())
    }

    /// What a handle stands for, and the parameters that were bound to it.
    pub(super) fn find(
        &self,
        session: &str,
        handle: &[u8],
    ) -> Result<(Prepared, Vec<Vec<Cell>>), Status> {
        self.with(session, handle, |held| (held.prepared.clone(), held.params.clone()))
    }

    pub(super) fn bind(
        &self,
        session: &str,
        handle: &[u8],
        params: Vec<Vec<Cell>>,
    ) -> Result<(), Status> {
        self.with(session, handle, |held| held.params = params)
    }

    pub(super) fn remove(&self, session: &str, handle: &[u8]) {
        if let Some(number) = number_of(handle) {
            let mut state = self.state.lock();
            if state.held.get(&number).is_some_and(|held| held.session == session) {
                state.held.remove(&number);
            }
        }
    }

    fn with<T>(
        &self,
        session: &str,
        handle: &[u8],
        each: impl FnOnce(&mut Held) -> T,
    ) -> Result<T, Status> {
        let mut state = self.state.lock();
        let held = number_of(handle).and_then(|number| state.held.get_mut(&number));
        match held.filter(|held| held.session == session) {
            Some(held) => {
                held.used = Instant::now();
                Ok(each(held))
            }
            None => Err(Status::not_found(
                "this prepared statement is not known here (any more); prepare it again",
            )),
        }
    }
}

fn number_of(handle: &[u8]) -> Option<u64> {
    handle.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_bounded_and_belong_to_a_session() {
        let handles = Handles::default();
        let first = handles.add("a", Prepared::Portrait).unwrap();
        assert!(handles.find("b", &first).is_err());
        assert!(handles.find("a", &first).is_ok());
        assert!(handles.find("a", b"??").is_err());
        for _ in 0..HANDLES_PER_SESSION_MAX {
            handles.add("a", Prepared::Portrait).unwrap();
        }
        assert!(handles.find("a", &first).is_err());
        let other = handles.add("b", Prepared::Portrait).unwrap();
        handles.remove("a", &other);
        assert!(handles.find("b", &other).is_ok());
    }
}
