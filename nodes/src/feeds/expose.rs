//! Feeds and dead letters as Prometheus text.

use super::table::feed_rows;
use crate::node::Node;
use flight::FeedRow;
use std::fmt::Write as _;

type Figure = (&'static str, &'static str, &'static str, fn(&FeedRow) -> Option<f64>);

const FIGURES: &[Figure] = &[
    ("hearth_feed_rows_total", "Rows taken in, each time that they came.", "counter", |feed| {
        Some(feed.rows as f64)
    }),
    ("hearth_feed_applied_total", "Rows that changed what is known.", "counter", |feed| {
        Some(feed.applied as f64)
    }),
    ("hearth_feed_superseded_total", "Rows older than what stood there.", "counter", |feed| {
        Some(feed.superseded as f64)
    }),
    ("hearth_feed_duplicates_total", "Rows that had come before.", "counter", |feed| {
        Some(feed.duplicates as f64)
    }),
    ("hearth_feed_late_total", "Rows behind the watermark.", "counter", |feed| {
        Some(feed.late as f64)
    }),
    ("hearth_feed_rejected_total", "Rows refused.", "counter", |feed| Some(feed.rejected as f64)),
    ("hearth_feed_withdrawn_total", "Rows that took back what was said.", "counter", |feed| {
        Some(feed.withdrawn as f64)
    }),
    ("hearth_feed_missing", "Numbers of the feed that have not come.", "gauge", |feed| {
        Some(feed.missing as f64)
    }),
    ("hearth_feed_lag_seconds", "Age of the newest row at its source.", "gauge", |feed| feed.lag_s),
    ("hearth_feed_watermark_seconds", "The watermark, Unix time.", "gauge", |feed| {
        feed.watermark_us.map(|us| us as f64 / 1e6)
    }),
    ("hearth_feed_stale", "1 where nothing came for longer than declared.", "gauge", |feed| {
        Some(f64::from(u8::from(feed.stale)))
    }),
];

pub(crate) fn expose(node: &Node) -> String {
    let group = &node.config().node.group;
    let feeds = feed_rows(node);
    let mut text = String::new();
    for (name, help, kind, value) in FIGURES {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for feed in &feeds {
            if let Some(value) = value(feed) {
                let _ = writeln!(
                    text,
                    "{name}{{group=\"{group}\",feed=\"{}\",department=\"{}\"}} {value}",
                    feed.feed,
                    escaped(&feed.department)
                );
            }
        }
    }
    let name = "hearth_dead_letters_total";
    let _ =
        writeln!(text, "# HELP {name} What could not be taken, by door.\n# TYPE {name} counter");
    for (door, count) in node.machine().read().dead_letters.counts() {
        let _ = writeln!(text, "{name}{{group=\"{group}\",door=\"{door}\"}} {count}");
    }
    let gauges = [
        (
            "hearth_dead_letters_lost_total",
            "Dead letters of this node without room.",
            "counter",
            node.doors().letters.lost(),
        ),
        (
            "hearth_intake_bytes",
            "Events and rows on their way into the log.",
            "gauge",
            node.doors().room.taken_bytes() as u64,
        ),
    ];
    for (name, help, kind, value) in gauges {
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{group=\"{group}\"}} {value}"
        );
    }
    text
}

/// A label's value.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
