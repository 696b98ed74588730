//! Is the history of one register linearizable? Wing and Gong's search, with Lowe's memory of the
//! configurations that were tried.

use std::collections::HashSet;

/// Operations in one window; a set of them is a `u128`.
pub(crate) const WINDOW_MAX: usize = 128;
/// Configurations looked at before the search is given up.
const STEPS_MAX: usize = 4_000_000;

/// What was done; 0 is the value of a register that nobody wrote. Every write has its own value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Write(u64),
    Read(u64),
}

/// Times are microseconds since the run began. A write whose outcome is unknown has no end: it may
/// take effect at any later time, or never. A read without an answer says nothing and is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) begun: u64,
    pub(crate) ended: Option<u64>,
    pub(crate) act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    Wrong,
    /// The search was given up.
    Unknown,
}

/// Looks for an order of the operations that their times allow and that a register can have.
pub(crate) fn check(window: &[Operation]) -> Verdict {
    assert!(window.len() <= WINDOW_MAX, "a window of {}", window.len());
    let window = without_silent_writes(window);
    let end = |at: usize| window[at].ended.unwrap_or(u64::MAX);
    let closed = (0..window.len()).filter(|at| window[*at].ended.is_some());
    let closed = closed.fold(0_u128, |set, at| set | 1 << at);
    let mut tried = HashSet::from([(0, 0)]);
    let mut open = vec![(0_u128, 0_u64)];
    while let Some((done, value)) = open.pop() {
        if done & closed == closed {
            return Verdict::Linearizable;
        }
        if tried.len() > STEPS_MAX {
            return Verdict::Unknown;
        }
        let left = |at: &usize| done & (1 << *at) == 0;
        // Nothing may come before what had ended before it began.
        let first_end = (0..window.len()).filter(left).map(end).min().unwrap_or(u64::MAX);
        let mut next: Vec<usize> =
            (0..window.len()).filter(left).filter(|at| window[*at].begun <= first_end).collect();
        // A read that fits now costs nothing now: no other order is better.
        if let Some(read) = next.iter().find(|at| window[**at].act == Act::Read(value)) {
            next = vec![*read];
        }
        // The stack gives back first what ended first.
        next.sort_by_key(|at| std::cmp::Reverse(end(*at)));
        for at in next {
            let value = match window[at].act {
                Act::Write(written) => written,
                Act::Read(read) if read == value => value,
                Act::Read(_) => continue,
            };
            let next = (done | 1 << at, value);
            if tried.insert(next) {
                open.push(next);
            }
        }
    }
    Verdict::Wrong
}

/// A window in short, in milliseconds: `w7@12-15`, and `?` for an end that is unknown.
pub(crate) fn text(window: &[Operation]) -> String {
    let one = |each: &Operation| {
        let (kind, value) = match each.act {
            Act::Write(value) => ('w', value),
            Act::Read(value) => ('r', value),
        };
        let end = each.ended.map_or("?".to_owned(), |us| (us / 1000).to_string());
        format!("{kind}{value}@{}-{end}", each.begun / 1000)
    };
    window.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A write of unknown outcome that no read saw may be left out: if there is an order with it, there
/// is one without it.
fn without_silent_writes(window: &[Operation]) -> Vec<Operation> {
    let is_heard = |each: &&Operation| match each.act {
        Act::Write(value) if each.ended.is_none() => {
            window.iter().any(|other| other.act == Act::Read(value))
        }
        Act::Write(_) | Act::Read(_) => true,
    };
    window.iter().filter(is_heard).copied().collect()
}

/// Reads of a value that had been overwritten for certain before they began.
pub(crate) fn stale_reads(window: &[Operation]) -> Vec<Operation> {
    let has_gone = |value: u64, other: &Operation| {
        value == 0
            || window.iter().any(|each| {
                each.act == Act::Write(value) && each.ended.is_some_and(|ended| ended < other.begun)
            })
    };
    let is_stale = |read: &Operation, value: u64| {
        window.iter().any(|other| {
            matches!(other.act, Act::Write(another) if another != value)
                && other.ended.is_some_and(|ended| ended < read.begun)
                && has_gone(value, other)
        })
    };
    let stale = window.iter().filter(|read| match read.act {
        Act::Read(value) => is_stale(read, value),
        Act::Write(_) => false,
    });
    stale.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Act::{Read, Write};

    fn done(begun: u64, ended: u64, act: Act) -> Operation {
        Operation { begun, ended: Some(ended), act }
    }

    fn open(begun: u64, act: Act) -> Operation {
        Operation { begun, ended: None, act }
    }

    #[test]
    fn a_correct_history_passes() {
        let window = [
            done(0, 5, Read(0)),
            done(1, 10, Write(1)),
            done(2, 12, Write(2)),
            done(11, 14, Read(1)),
            done(13, 20, Write(3)),
            done(15, 30, Read(3)),
        ];
        assert_eq!(check(&window), Verdict::Linearizable);
        assert!(stale_reads(&window).is_empty());
    }

    #[test]
    fn a_stale_read_is_found() {
        let window = [done(0, 1, Write(1)), done(2, 3, Write(2)), done(4, 5, Read(1))];
        assert_eq!(check(&window), Verdict::Wrong);
        assert_eq!(stale_reads(&window).len(), 1);
        let never = [done(0, 1, Write(1)), done(4, 5, Read(0))];
        assert_eq!(check(&never), Verdict::Wrong);
        assert_eq!(stale_reads(&never).len(), 1);
    }

    #[test]
    fn a_lost_write_is_found() {
        assert_eq!(check(&[done(0, 1, Write(1)), done(2, 3, Read(0))]), Verdict::Wrong);
    }

    #[test]
    fn reads_that_go_back_during_a_write_are_found() {
        let window = [
            done(0, 1, Write(1)),
            done(2, 100, Write(2)),
            done(10, 20, Read(2)),
            done(30, 40, Read(1)),
        ];
        assert_eq!(check(&window), Verdict::Wrong);
        assert!(stale_reads(&window).is_empty(), "no single read shows it");
    }

    #[test]
    fn a_write_that_counts_twice_is_found() {
        let window = [
            done(0, 100, Write(1)),
            done(10, 20, Write(2)),
            done(5, 8, Read(1)),
            done(30, 40, Read(2)),
            done(50, 60, Read(1)),
        ];
        assert_eq!(check(&window), Verdict::Wrong);
    }

    #[test]
    fn an_unknown_outcome_may_be_either() {
        let lost = [done(0, 1, Write(1)), open(2, Write(2)), done(50, 60, Read(1))];
        assert_eq!(check(&lost), Verdict::Linearizable);
        let late =
            [done(0, 1, Write(1)), open(2, Write(2)), done(50, 60, Read(1)), done(70, 80, Read(2))];
        assert_eq!(check(&late), Verdict::Linearizable);
        let back = [late[0], late[1], late[3], done(90, 95, Read(1))];
        assert_eq!(check(&back), Verdict::Wrong);
    }

    #[test]
    fn a_full_window_is_searched_in_time() {
        // Five clients at once, some outcomes unknown; every read sees the last write.
        let mut window = Vec::new();
        for round in 0..16_u64 {
            let at = round * 100;
            for client in 0..5 {
                let value = round * 5 + client + 1;
                let begun = at + client;
                match client {
                    4 if round % 2 == 0 => window.push(open(begun, Write(value))),
                    _ => window.push(done(begun, at + 50, Write(value))),
                }
            }
            let seen = round * 5 + 1 + round % 4;
            window.extend([done(at + 60, at + 70, Read(seen)), done(at + 65, at + 75, Read(seen))]);
        }
        assert_eq!(window.len(), 112);
        assert_eq!(check(&window), Verdict::Linearizable);
        window.push(done(1_690, 1_700, Read(2)));
        assert_eq!(check(&window), Verdict::Wrong);
    }
}
