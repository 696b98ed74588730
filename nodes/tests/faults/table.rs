//! What the run showed, as a Markdown table.

use crate::fault::{ALL, Fault};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// All runs of one fault.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) count: usize,
    /// Runs in which the fault left a trace.
    pub(crate) shown: usize,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    pub(crate) stale: usize,
    /// From the fault to the first acknowledged write that was begun after it.
    pub(crate) recoveries: Vec<Duration>,
    /// From healing to all nodes level.
    pub(crate) levels: Vec<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) faults: BTreeMap<Fault, Runs>,
}

impl Table {
    pub(crate) fn of(&mut self, fault: Fault) -> &mut Runs {
        self.faults.entry(fault).or_default()
    }

    /// Faults that never had an effect: nothing was tested.
    pub(crate) fn idle(&self) -> Vec<&'static str> {
        let idle = self.faults.iter().filter(|(_, runs)| runs.shown == 0);
        idle.map(|(fault, _)| fault.name()).collect()
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| fault | runs | acknowledged | lost | duplicated | stale reads | first write p50 ms | p99 ms | all level p99 ms |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for fault in ALL {
            let Some(runs) = self.faults.get(&fault) else { continue };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                fault.name(),
                runs.count,
                runs.acknowledged,
                runs.lost,
                runs.duplicated,
                runs.stale,
                percentile(&runs.recoveries, 50),
                percentile(&runs.recoveries, 99),
                percentile(&runs.levels, 99),
            );
        }
        text
    }
}

/// In milliseconds; a dash where nothing was measured.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).map_or_else(|| "–".to_owned(), |time| time.as_millis().to_string())
}

/// Writes a table below `target/faults` and prints it.
pub(crate) fn publish(name: &str, text: &str) {
    println!("\n{text}");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_hearth"));
    let target = program.parent().and_then(|profile| profile.parent()).unwrap();
    let dir = target.join("faults");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(name), text).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), ("100".into(), "198".into()));
        assert_eq!(percentile(&times[..1], 99), "200");
        assert_eq!(percentile(&[], 50), "–");
    }

    #[test]
    fn a_fault_without_effect_is_named() {
        let mut table = Table::default();
        table.of(Fault::ByteFlip).count = 1;
        assert_eq!(table.idle(), ["bits flipped on the way"]);
        table.of(Fault::ByteFlip).shown = 1;
        assert!(table.idle().is_empty());
        assert!(table.markdown().contains("| bits flipped on the way | 1 | 0 | 0 |"));
    }
}
