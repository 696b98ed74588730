//! Counters of this node, as Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the node counts since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    events_rejected: AtomicU64,
    inferences: AtomicU64,
    inference_failures: AtomicU64,
    commands: AtomicU64,
    command_us: AtomicU64,
}

impl Metrics {
    pub(crate) fn rejected(&self, events: usize) {
        self.events_rejected.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn inferred(&self, good: bool) {
        let counter = if good { &self.inferences } else { &self.inference_failures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took_us: u64) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.command_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// The counters and the given gauges in the exposition format, each with the group's label.
    pub(crate) fn expose(&self, group: &str, gauges: &[(&str, &str, u64)]) -> String {
        let mut text = String::new();
        let counters = [
            (
                "hearth_events_rejected_total",
                "Events refused at this node's door.",
                &self.events_rejected,
            ),
            ("hearth_inferences_total", "Scores answered by this node.", &self.inferences),
            (
                "hearth_inference_failures_total",
                "Scores refused or failed.",
                &self.inference_failures,
            ),
            ("hearth_commands_total", "Commands committed through this node.", &self.commands),
            (
                "hearth_command_microseconds_total",
                "Time from proposal to answer, summed.",
                &self.command_us,
            ),
        ];
        for (name, help, counter) in counters {
            line(&mut text, group, (name, help, "counter"), counter.load(Ordering::Relaxed));
        }
        for (name, help, value) in gauges {
            line(&mut text, group, (name, help, "gauge"), *value);
        }
        text
    }
}

fn line(text: &mut String, group: &str, (name, help, kind): (&str, &str, &str), value: u64) {
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{group=\"{group}\"}} {value}"
    );
}
