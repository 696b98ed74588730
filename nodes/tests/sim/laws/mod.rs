//! The laws of Raft and of hearth, one file each. A law is shown everything that happens, and says
//! what breaks it.

use crate::seen::Sight;

mod acknowledged_never_lost;
mod alive;
mod election_safety;
mod equal_states;
mod exactly_once;
mod leader_append_only;
mod leader_completeness;
mod linearizable_reads;
mod log;
mod log_matching;
mod monotonic;
mod order_of_indexes;
mod state_machine_safety;
mod vote_durability;

pub(crate) trait Law {
    fn name(&self) -> &'static str;

    fn judge(&mut self, sight: &Sight) -> Result<(), String>;
}

/// Every law, with nothing seen yet.
pub(crate) fn all() -> Vec<Box<dyn Law>> {
    vec![
        Box::new(election_safety::ElectionSafety::default()),
        Box::new(vote_durability::VoteDurability::default()),
        Box::new(log_matching::LogMatching::default()),
        Box::new(leader_append_only::LeaderAppendOnly::default()),
        Box::new(leader_completeness::LeaderCompleteness::default()),
        Box::new(state_machine_safety::StateMachineSafety::default()),
        Box::new(monotonic::Monotonic::default()),
        Box::new(order_of_indexes::OrderOfIndexes),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(acknowledged_never_lost::AcknowledgedNeverLost::default()),
        Box::new(linearizable_reads::LinearizableReads),
        Box::new(equal_states::EqualStates::default()),
        Box::new(alive::Alive),
    ]
}
