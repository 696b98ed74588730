//! A part of the entities, so that a night is enough for what a district has.

use crate::clock;
use std::fmt;
use std::str::FromStr;

const DAY_US: i64 = 86_400_000_000;
/// More parts than that nobody lives to see the end of.
const PARTS_MAX: u64 = 10_000;

/// One of so many parts, by a hash of the entities' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// From 0.
    at: u64,
    of: u64,
}

impl Part {
    pub(crate) const ALL: Self = Self { at: 0, of: 1 };

    /// Whether a key is of this part, in SQL; the node and the copy have the same DuckDB.
    pub(super) fn has(self, key: &str) -> String {
        match self.of {
            1 => "true".to_owned(),
            of => format!("hash({key}) % {of} = {}", self.at),
        }
    }

    /// Which of so many parts of this part, in SQL.
    pub(super) fn has_within(self, key: &str, (at, of): (u64, u64)) -> String {
        format!("{} AND hash({key}) // {} % {of} = {at}", self.has(key), self.of)
    }

    /// Behind a WHERE: the events that the entities of this part have, wherever its residents lived.
    pub(super) fn of_events(self) -> String {
        if self == Self::ALL {
            return String::new();
        }
        format!(
            " AND ({} OR {} OR dwelling_id IN (SELECT o.cells->>'dwelling_id' FROM register_history AS m \
             JOIN register_history AS o ON o.register = 'household' AND o.key = (m.cells->>'household_id') \
             WHERE m.register = 'resident' AND {}))",
            self.has("device_id"),
            self.has("dwelling_id"),
            self.has("m.key")
        )
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.at + 1, self.of)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "write K/M with K from 1 to M, or M alone for the part of today; M up to {PARTS_MAX}"
            )
        };
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let (at, of) = if let Some((at, of)) = text.split_once('/') {
            (number(at)?, number(of)?)
        } else {
            let (of, day) = (number(text)?, clock::now_us() / DAY_US);
            (day.unsigned_abs().checked_rem(of).ok_or_else(wrong)? + 1, of)
        };
        if of > PARTS_MAX || at == 0 || at > of {
            return Err(wrong());
        }
        Ok(Self { at: at - 1, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one_and_come_round_by_the_day() {
        assert_eq!("3/30".parse(), Ok(Part { at: 2, of: 30 }));
        assert_eq!("1/1".parse(), Ok(Part::ALL));
        let today: Part = "30".parse().unwrap();
        assert!(today.of == 30 && today.at < 30 && today.to_string().ends_with("/30"));
        for wrong in ["", "0/3", "4/3", "3/0", "0", "x/3", "1/10001", "-1"] {
            assert!(wrong.parse::<Part>().unwrap_err().contains("K/M"), "{wrong}");
        }
    }
}
