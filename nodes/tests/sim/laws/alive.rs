//! No core ends by itself, and every node comes up again after a crash.

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug)]
pub(super) struct Alive;

impl Law for Alive {
    fn name(&self) -> &'static str {
        "alive"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match &sight.seen {
            Seen::Died(why) => Err(format!("node {} has died: {why}", sight.node)),
            _ => Ok(()),
        }
    }
}
