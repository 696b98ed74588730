//! Commands that must not be carried out again when they are proposed again.
//!
//! A proposal whose leader died is proposed once more, though it may have been applied. Events, ticks
//! and scores are harmless then; a rollback, or an old row over a newer one, is not.

use super::Reply;
use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

/// Proposals remembered: far more than can be open at once.
const KEPT: usize = 4_096;

/// A clone shares what it holds, so that freezing the state costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Once {
    replies: OrdMap<u128, Reply>,
    order: Vector<u128>,
}

impl Once {
    /// What was answered the first time.
    pub(crate) fn reply(&self, id: u128) -> Option<&Reply> {
        self.replies.get(&id)
    }

    pub(crate) fn remember(&mut self, id: u128, reply: Reply) {
        if self.replies.insert(id, reply).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.replies.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_kept_for_a_bounded_while() {
        let mut once = Once::default();
        for id in 0..=KEPT as u128 {
            once.remember(id, Reply::Upserted { rows: id as u32 });
        }
        assert_eq!(once.reply(0), None);
        assert_eq!(once.reply(KEPT as u128), Some(&Reply::Upserted { rows: KEPT as u32 }));
        assert_eq!((once.replies.len(), once.order.len()), (KEPT, KEPT));
    }
}
