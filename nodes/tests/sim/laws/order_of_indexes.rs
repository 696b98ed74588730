//! purged <= snapshot <= applied <= committed <= last, in every status a node gives.

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug)]
pub(super) struct OrderOfIndexes;

impl Law for OrderOfIndexes {
    fn name(&self) -> &'static str {
        "order of indexes"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let Seen::Status { last, committed, applied, snapshot, purged, .. } = sight.seen else {
            return Ok(());
        };
        let order = [purged, snapshot, applied, committed, last];
        if order.is_sorted() {
            return Ok(());
        }
        Err(format!(
            "node {}: purged {purged}, snapshot {snapshot}, applied {applied}, committed \
             {committed}, last {last}",
            sight.node
        ))
    }
}
