//! What a feed is: a department, a table, and the columns of it that the department owns.

use features::civil;
use features::table::{Mode, Table};
use serde::{Deserialize, Serialize};

/// The longest name of a feed, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest name of a department, in bytes.
const DEPARTMENT_BYTES_MAX: usize = 128;
/// Hours in ten years: no feed is later.
const HOURS_MAX: u32 = 10 * 366 * 24;
const HOUR_US: i64 = 3_600_000_000;
/// What the state itself writes of a feed's row.
pub(super) const KEPT_BY_STATE: [&str; 3] = ["src_dept", "as_of", "log_index"];

/// One department's stream of rows into one table, as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    pub feed: String,
    /// A later one replaces an earlier one.
    pub version: u32,
    pub department: String,
    pub table: String,
    /// The columns that the department owns; none named means all that are not part of the key.
    #[serde(default)]
    pub columns: Vec<String>,
    /// How late a row may be after the newest one without being counted as late. It is taken anyway.
    #[serde(default = "two_days")]
    pub lateness_h: u32,
    /// After so long without a row the feed is stale.
    #[serde(default = "two_days")]
    pub stale_after_h: u32,
}

const fn two_days() -> u32 {
    48
}

impl FeedSpec {
    /// The table that a feed of this name may write.
    pub fn table_of(name: &str) -> Option<&'static Table> {
        let table = civil::table(name)?;
        let is_loaded = table.position("src_dept").is_some() && table.position("as_of").is_some();
        (is_loaded && table.mode != Mode::Current).then_some(table)
    }

    /// What is wrong with it, if anything is.
    pub fn check(&self) -> Result<&'static Table, String> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if self.feed.is_empty()
            || self.feed.len() > NAME_BYTES_MAX
            || !self.feed.chars().all(is_name)
        {
            return Err(format!(
                "feed {:?}: a name has 1 to {NAME_BYTES_MAX} letters, digits, dots, - or _",
                self.feed.chars().take(NAME_BYTES_MAX).collect::<String>()
            ));
        }
        let department = &self.department;
        if department.is_empty()
            || department.len() > DEPARTMENT_BYTES_MAX
            || department.chars().any(char::is_control)
        {
            return Err(format!("department has 1 to {DEPARTMENT_BYTES_MAX} printable bytes"));
        }
        if self.lateness_h > HOURS_MAX || self.stale_after_h > HOURS_MAX {
            return Err(format!("lateness_h and stale_after_h are at most {HOURS_MAX}"));
        }
        let Some(table) = Self::table_of(&self.table) else {
            return Err(format!(
                "table {:?} is not one that departments load: name one that has src_dept",
                self.table
            ));
        };
        if table.mode == Mode::History && !self.columns.is_empty() {
            return Err(format!("rows of {} are whole: leave columns out", table.name));
        }
        for column in &self.columns {
            let owned = table.position(column).filter(|at| *at >= table.key);
            if owned.is_none() || KEPT_BY_STATE.contains(&column.as_str()) {
                return Err(format!("{}.{column} is not a column that a feed can own", table.name));
            }
        }
        Ok(table)
    }

    /// The owned columns, one bit each by position.
    pub(crate) fn owned(&self, table: &Table) -> u64 {
        let is_owned = |name: &str| {
            !KEPT_BY_STATE.contains(&name)
                && (self.columns.is_empty() || self.columns.iter().any(|each| each == name))
        };
        let columns = table.columns.iter().enumerate().skip(table.key);
        columns.filter(|(_, column)| is_owned(column.name)).fold(0, |mask, (at, _)| mask | bit(at))
    }

    /// Whether a row may name this column.
    pub(crate) fn takes(&self, table: &Table, at: usize) -> bool {
        at < table.key || self.owned(table) & bit(at) != 0
    }

    pub(crate) fn lateness_us(&self) -> i64 {
        i64::from(self.lateness_h) * HOUR_US
    }

    pub(crate) fn stale_after_us(&self) -> i64 {
        i64::from(self.stale_after_h) * HOUR_US
    }
}

/// The bit of a column; no table has more than 64.
pub(crate) const fn bit(column: usize) -> u64 {
    if column < 64 { 1 << column } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FeedSpec {
        FeedSpec {
            feed: "disabled-persons".to_owned(),
            version: 1,
            department: "残联".to_owned(),
            table: "resident".to_owned(),
            columns: vec!["disab_type".to_owned(), "disab_level".to_owned()],
            lateness_h: 48,
            stale_after_h: 24,
        }
    }

    fn refused(change: impl FnOnce(&mut FeedSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        spec.check().unwrap_err()
    }

    #[test]
    fn a_feed_that_cannot_work_says_why() {
        assert!(spec().check().is_ok());
        assert!(refused(|s| s.feed = "a b".into()).contains("letters"));
        assert!(refused(|s| s.table = "alert".into()).contains("src_dept"));
        assert!(refused(|s| s.table = "sensor_event".into()).contains("src_dept"));
        assert!(refused(|s| s.columns = vec!["resident_key".into()]).contains("own"));
        assert!(refused(|s| s.columns = vec!["as_of".into()]).contains("own"));
        assert!(refused(|s| s.table = "supervision_event".into()).contains("whole"));
    }

    #[test]
    fn no_column_named_means_all_but_the_keys_and_the_states_own() {
        for table in civil::TABLES {
            assert!(table.columns.len() <= 64, "{}", table.name);
        }
        let table = civil::table("grid").unwrap();
        let spec = FeedSpec { table: "grid".into(), columns: Vec::new(), ..spec() };
        assert_eq!(spec.owned(table), 0b01_1110);
        assert!(spec.takes(table, 0) && spec.takes(table, 4) && !spec.takes(table, 5));
    }
}
