//! The outbox as Prometheus text.

use crate::node::Node;
use std::fmt::Write as _;

pub(crate) fn expose(node: &Node) -> String {
    let now_us = node.raft().now_us();
    let (waiting, oldest_us, totals) = {
        let state = node.machine().read();
        let outbox = &state.casework.outbox;
        let totals = [
            ("delivered", outbox.delivered),
            ("dead", outbox.dead),
            ("withdrawn", outbox.withdrawn),
            ("refused", outbox.refused),
        ];
        (outbox.len(), outbox.oldest_us(), (totals, outbox.failures))
    };
    let group = &node.config().node.group;
    let age_s = oldest_us.map_or(0, |since_us| (now_us - since_us).max(0) / 1_000_000);
    let mut text = String::new();
    // Writing into a string cannot fail.
    let mut line = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{{group=\"{group}\"{labels}}} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    line("hearth_notices_waiting", "gauge", "Notices not delivered yet.", &one(waiting as u64));
    line(
        "hearth_notices_oldest_seconds",
        "gauge",
        "How long the oldest of them has waited.",
        &one(age_s as u64),
    );
    line("hearth_notice_failures_total", "counter", "Attempts that failed.", &one(totals.1));
    let settled: Vec<(String, u64)> =
        totals.0.iter().map(|(state, count)| (format!(",state=\"{state}\""), *count)).collect();
    line(
        "hearth_notices_settled_total",
        "counter",
        "Notices by what became of them; alarm on dead and refused.",
        &settled,
    );
    text
}
