//! Rows of `feed_status`.

use crate::node::Node;
use flight::FeedRow;

/// Every feed as it stands now, in the order of their names.
pub(crate) fn feed_rows(node: &Node) -> Vec<FeedRow> {
    let now_us = node.raft().now_us();
    let state = node.machine().read();
    let rows = state.feeds.iter().map(|feed| {
        let status = &feed.status;
        let any = status.rows > 0;
        FeedRow {
            feed: feed.spec.feed.clone(),
            department: feed.spec.department.clone(),
            table: feed.spec.table.clone(),
            version: u64::from(feed.spec.version),
            rows: status.rows,
            applied: status.applied,
            superseded: status.superseded,
            duplicates: status.duplicates,
            late: status.late,
            rejected: status.rejected,
            withdrawn: status.withdrawn,
            missing: status.seen.missing(),
            last_event_us: any.then_some(status.newest_us),
            watermark_us: feed.watermark_us(),
            received_us: any.then_some(status.received_us),
            lag_s: feed.lag_us(now_us).map(|us| us as f64 / 1e6),
            stale: feed.is_stale(now_us),
        }
    });
    rows.collect()
}
