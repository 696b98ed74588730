//! A linearizable read sees everything that was acknowledged, or read, before it began.

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug)]
pub(super) struct LinearizableReads;

impl Law for LinearizableReads {
    fn name(&self) -> &'static str {
        "linearizable reads"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let Seen::Read { floor, index } = sight.seen else { return Ok(()) };
        if index >= floor {
            return Ok(());
        }
        Err(format!("node {} read at {index}, {floor} was acknowledged before", sight.node))
    }
}
