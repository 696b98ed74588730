//! The figures of a run as one table, and what is said about them.

use crate::latency::middle;
use crate::open_loop::Run;
use std::fmt::Write as _;

/// A rate is sustained where every call is answered and the 99th percentile stays below this.
pub(crate) const SUSTAINED_P99_US: f64 = 10_000.0;
/// Rates that every system is asked at, calls a second.
pub(crate) const RATES: [f64; 4] = [100.0, 500.0, 2_000.0, 8_000.0];

/// One system's figures.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) system: String,
    /// What a call carries.
    pub(crate) call: &'static str,
    /// Runs at each of [`RATES`] as far as it came.
    pub(crate) fixed: Vec<Vec<Run>>,
    pub(crate) most: Option<Run>,
}

pub(crate) fn is_sustained(run: &Run) -> bool {
    // Timed from the moment at which it was to begin, a call that waits behind others shows it.
    run.whole && run.p99_us <= SUSTAINED_P99_US
}

fn of(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    middle(runs.iter().map(figure).collect())
}

pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = "| system | a call carries |".to_owned();
    for rate in RATES {
        let _ = write!(text, " p50, p99 at {rate:.0}/s |");
    }
    text.push_str(
        " sustained most | processor us a call at 100/s, servers + client | at the most |\n",
    );
    text.push_str(&"|---".repeat(RATES.len() + 5));
    text.push_str("|\n");
    for line in lines {
        let _ = write!(text, "| {} | {} |", line.system, line.call);
        for at in 0..RATES.len() {
            let cell = match line.fixed.get(at).map(Vec::as_slice) {
                Some(runs @ [_, ..]) if runs.iter().any(|run| !is_sustained(run)) => {
                    format!("{} (not sustained)", both(runs))
                }
                Some(runs @ [_, ..]) => both(runs),
                _ => "not tried".to_owned(),
            };
            let _ = write!(text, " {cell} |");
        }
        let cpu = |runs: &[Run]| {
            format!("{:.0} + {:.0}", of(runs, |run| run.servers_us), of(runs, |run| run.client_us))
        };
        let most = line.most.as_ref().map(std::slice::from_ref);
        let _ = writeln!(
            text,
            " {} | {} | {} |",
            most.map_or_else(
                || "none".to_owned(),
                |run| format!("{:.0}/s", of(run, |run| run.answered))
            ),
            line.fixed.first().map_or_else(String::new, |runs| cpu(runs)),
            most.map_or_else(String::new, cpu),
        );
    }
    text
}

fn both(runs: &[Run]) -> String {
    format!("{}, {}", time(of(runs, |run| run.p50_us)), time(of(runs, |run| run.p99_us)))
}

fn time(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.0} us") } else { format!("{:.1} ms", us / 1_000.0) }
}

/// How true the figures are: the client's own lateness and what else the machine did.
pub(crate) fn conditions(lines: &[Line]) -> String {
    let runs = || lines.iter().flat_map(|line| line.fixed.iter().flatten().chain(&line.most));
    let most = |figure: fn(&Run) -> f64| runs().map(figure).fold(0.0, f64::max);
    format!(
        "The client began its calls at most {} late (p99 of the worst run); others had up to {:.0} % of the \
         processors.\n",
        time(most(|run| run.late_us)),
        most(|run| run.others) * 100.0
    )
}
