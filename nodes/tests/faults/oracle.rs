//! What appends were told, and whether all of it can be true.

use std::collections::{BTreeMap, BTreeSet};

/// One try to append a batch. Times are microseconds since the run began.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) batch: usize,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// None where the outcome is unknown.
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) log_index: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
}

/// Every batch, by its number, and every try.
#[derive(Clone, Debug, Default)]
pub(crate) struct Appends {
    /// Event ids of each batch, and the round that it belongs to.
    pub(crate) batches: Vec<(u64, Vec<String>)>,
    pub(crate) attempts: Vec<Attempt>,
}

/// What is wrong. Everything is empty where all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) lost: BTreeSet<String>,
    pub(crate) duplicated: BTreeSet<String>,
    /// Reads of the past, and indexes that went back.
    pub(crate) stale: Vec<String>,
    /// Everything else, each in a sentence.
    pub(crate) others: Vec<String>,
}

impl Wrong {
    pub(crate) fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn merge(&mut self, more: Self) {
        self.lost.extend(more.lost);
        self.duplicated.extend(more.duplicated);
        self.stale.extend(more.stale);
        self.others.extend(more.others);
    }
}

impl Appends {
    /// Ids of acknowledged events; of one round or of all.
    pub(crate) fn acknowledged(&self, round: Option<u64>) -> BTreeSet<String> {
        let answered = self.attempts.iter().filter(|attempt| attempt.answer.is_some());
        let batches: BTreeSet<usize> = answered.map(|attempt| attempt.batch).collect();
        let batches = batches.into_iter().map(|at| &self.batches[at]);
        let wanted = batches.filter(|(of, _)| round.is_none_or(|round| round == *of));
        wanted.flat_map(|(_, ids)| ids.iter().cloned()).collect()
    }

    pub(crate) fn highest_index(&self) -> u64 {
        let answers = self.attempts.iter().filter_map(|attempt| attempt.answer);
        answers.map(|answer| answer.log_index).max().unwrap_or(0)
    }

    /// Checks the answers against each other.
    pub(crate) fn check_answers(&self) -> Wrong {
        let mut wrong = Wrong { stale: self.backward_steps(), ..Wrong::default() };
        let mut accepted = vec![0; self.batches.len()];
        for attempt in &self.attempts {
            let Some(answer) = attempt.answer else { continue };
            let ids = &self.batches[attempt.batch].1;
            if answer.accepted + answer.duplicates != ids.len() as u64 {
                let said = format!("{answer:?} for a batch of {}: {ids:?}", ids.len());
                wrong.others.push(said);
            }
            accepted[attempt.batch] += answer.accepted;
        }
        for (times, (_, ids)) in accepted.iter().zip(&self.batches) {
            if *times > ids.len() as u64 {
                wrong.duplicated.extend(ids.iter().cloned());
            }
        }
        wrong
    }

    /// What began after something else was acknowledged stands behind it in the log.
    fn backward_steps(&self) -> Vec<String> {
        let mut answered: Vec<(&Attempt, u64)> = self
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt, attempt.answer?.log_index)))
            .collect();
        let mut by_end = answered.clone();
        answered.sort_by_key(|(attempt, _)| attempt.begun);
        by_end.sort_by_key(|(attempt, _)| attempt.ended);
        let mut ended = by_end.into_iter().peekable();
        let mut highest = 0;
        let mut steps = Vec::new();
        for (attempt, index) in answered {
            while let Some((_, earlier)) = ended.next_if(|(past, _)| past.ended < attempt.begun) {
                highest = highest.max(earlier);
            }
            if index <= highest {
                steps.push(format!("{attempt:?} began after index {highest} was acknowledged"));
            }
        }
        steps
    }

    /// Checks what a node's table holds of one round, or of all: event id and how often. What was
    /// acknowledged is noted before the table is read: more may be by the time it answers.
    pub(crate) fn check_table(
        &self,
        round: Option<u64>,
        acknowledged: &BTreeSet<String>,
        rows: &BTreeMap<String, i64>,
    ) -> Wrong {
        let missing = acknowledged.iter().filter(|id| !rows.contains_key(*id));
        let mut wrong = Wrong { lost: missing.cloned().collect(), ..Wrong::default() };
        let batches = self.batches.iter().filter(|(of, _)| round.is_none_or(|round| round == *of));
        let sent: BTreeSet<&str> =
            batches.flat_map(|(_, ids)| ids.iter().map(String::as_str)).collect();
        for (id, times) in rows {
            if *times != 1 {
                wrong.duplicated.insert(id.clone());
            }
            if !sent.contains(id.as_str()) {
                wrong.others.push(format!("event {id:?} was never sent"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(batch: usize, begun: u64, index: u64, accepted: u64, duplicates: u64) -> Attempt {
        let answer = Some(Answer { log_index: index, accepted, duplicates });
        Attempt { batch, begun, ended: begun + 5, answer }
    }

    /// Two batches: the first was sent twice, for its first answer was lost.
    fn good() -> Appends {
        let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let lost = Attempt { answer: None, ..attempt(0, 0, 0, 0, 0) };
        Appends {
            batches: vec![(1, ids(&["a", "b"])), (2, ids(&["c"]))],
            attempts: vec![lost, attempt(0, 10, 7, 0, 2), attempt(1, 20, 8, 1, 0)],
        }
    }

    fn table(history: &Appends, round: Option<u64>, all: &[(&str, i64)]) -> Wrong {
        history.check_table(round, &history.acknowledged(round), &rows(all))
    }

    fn rows(all: &[(&str, i64)]) -> BTreeMap<String, i64> {
        all.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect()
    }

    #[test]
    fn a_correct_history_passes() {
        assert!(good().check_answers().is_empty());
        assert!(table(&good(), None, &[("a", 1), ("b", 1), ("c", 1)]).is_empty());
        assert!(table(&good(), Some(1), &[("a", 1), ("b", 1)]).is_empty());
    }

    #[test]
    fn an_event_that_nobody_acknowledged_may_be_there_or_not() {
        let mut history = good();
        history.attempts.remove(1);
        assert!(table(&history, None, &[("c", 1)]).is_empty());
        assert!(table(&history, None, &[("a", 1), ("b", 1), ("c", 1)]).is_empty());
    }

    #[test]
    fn a_lost_write_is_found() {
        let wrong = table(&good(), None, &[("a", 1), ("c", 1)]);
        assert_eq!(wrong.lost, BTreeSet::from(["b".to_owned()]));
    }

    #[test]
    fn a_duplicate_is_found_in_the_table_and_in_the_answers() {
        let wrong = table(&good(), None, &[("a", 1), ("b", 2), ("c", 1)]);
        assert_eq!(wrong.duplicated, BTreeSet::from(["b".to_owned()]));
        let mut history = good();
        history.attempts.push(attempt(1, 40, 9, 1, 0));
        assert_eq!(history.check_answers().duplicated, BTreeSet::from(["c".to_owned()]));
    }

    #[test]
    fn an_index_that_goes_back_is_found() {
        let mut history = good();
        history.attempts.push(attempt(1, 40, 8, 0, 1));
        assert_eq!(history.check_answers().stale.len(), 1);
        // At the same time they may share an entry.
        history.attempts.last_mut().unwrap().begun = 24;
        assert!(history.check_answers().is_empty());
    }

    #[test]
    fn what_was_never_sent_is_found() {
        let wrong = table(&good(), None, &[("a", 1), ("b", 1), ("c", 1), ("x", 1)]);
        assert_eq!(wrong.others.len(), 1);
    }
}
