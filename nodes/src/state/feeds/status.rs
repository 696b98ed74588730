//! How far each feed has come.

use super::{FeedSpec, Seen};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Feeds in one cluster.
const FEEDS_MAX: usize = 256;

/// Every feed by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feeds {
    by_name: OrdMap<String, Feed>,
}

/// A feed and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// The order in which feeds were declared.
    pub(crate) number: u16,
    pub spec: Arc<FeedSpec>,
    pub log_index: u64,
    pub status: FeedStatus,
    /// Columns, one bit each, that an earlier version owned and this one does not.
    pub(crate) released: u64,
}

/// What came of a feed. A row is counted in `rows`, and in exactly one of `applied`, `superseded` and
/// `duplicates`; a late one in `late` beside that. What was refused is in `rejected` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    pub rows: u64,
    /// Changed what is known.
    pub applied: u64,
    /// Newer values stood there already.
    pub superseded: u64,
    pub duplicates: u64,
    /// Were behind the watermark.
    pub late: u64,
    pub rejected: u64,
    /// Of the applied: took back what the feed had said.
    pub withdrawn: u64,
    /// The latest time that the source gave.
    pub newest_us: i64,
    /// The log's clock at the last row.
    pub received_us: i64,
    pub seen: Seen,
}

impl Feed {
    /// Columns that an earlier version owned and this one does not, by name.
    pub fn released_columns(&self) -> Vec<&'static str> {
        let columns = FeedSpec::table_of(&self.spec.table).map_or(&[][..], |table| table.columns);
        let places = columns.iter().enumerate();
        let released = places.filter(|(at, _)| self.released & super::spec::bit(*at) != 0);
        released.map(|(_, column)| column.name).collect()
    }

    /// Up to where everything is believed to have come: the newest time less the declared lateness.
    pub fn watermark_us(&self) -> Option<i64> {
        (self.status.rows > 0).then(|| self.status.newest_us - self.spec.lateness_us())
    }

    /// How far the newest row is behind a time.
    pub fn lag_us(&self, now_us: i64) -> Option<i64> {
        (self.status.rows > 0).then(|| (now_us - self.status.newest_us).max(0))
    }

    /// Nothing came for longer than was declared.
    pub fn is_stale(&self, now_us: i64) -> bool {
        self.status.rows == 0 || now_us - self.status.received_us > self.spec.stale_after_us()
    }
}

impl Feeds {
    pub fn get(&self, name: &str) -> Option<&Feed> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Feed> {
        self.by_name.get_mut(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.by_name.values()
    }

    /// The departments by the numbers of their feeds.
    pub(crate) fn departments(&self) -> Vec<&str> {
        let mut departments = vec![""; self.by_name.len()];
        for feed in self.by_name.values() {
            if let Some(place) = departments.get_mut(usize::from(feed.number)) {
                *place = &feed.spec.department;
            }
        }
        departments
    }

    /// By the numbers of the feeds into a table: columns that they wrote and own no more. None where
    /// there are none.
    pub(crate) fn released(&self, table: &str) -> Vec<u64> {
        let gave_up = |feed: &&Feed| feed.released != 0 && feed.spec.table == table;
        let mut released = Vec::new();
        for feed in self.by_name.values().filter(gave_up) {
            let number = usize::from(feed.number);
            released.resize(released.len().max(number + 1), 0);
            released[number] = feed.released;
        }
        released
    }

    /// Takes a declaration in; what cannot be is said in words.
    pub(crate) fn declare(&mut self, spec: &FeedSpec, log_index: u64) -> Result<(), String> {
        let table = spec.check()?;
        let number = self.by_name.len() as u16;
        let Some(known) = self.by_name.get_mut(&spec.feed) else {
            if self.by_name.len() >= FEEDS_MAX {
                return Err(format!("a cluster has at most {FEEDS_MAX} feeds"));
            }
            let spec = Arc::new(spec.clone());
            let status = FeedStatus::default();
            self.by_name
                .insert(spec.feed.clone(), Feed { number, spec, log_index, status, released: 0 });
            return Ok(());
        };
        if *known.spec == *spec {
            return Ok(());
        }
        if spec.table != known.spec.table {
            return Err(format!(
                "feed {} writes {}: give the one for {} another name",
                spec.feed, known.spec.table, spec.table
            ));
        }
        if spec.version <= known.spec.version {
            return Err(format!(
                "feed {} has version {}: a change needs a higher one",
                spec.feed, known.spec.version
            ));
        }
        known.released = (known.released | known.spec.owned(table)) & !spec.owned(table);
        known.spec = Arc::new(spec.clone());
        known.log_index = log_index;
        Ok(())
    }
}
