//! Where a simulated district is written to.

use features::event::Event;
use features::table::{Cell, Table};

use super::district::{District, Maker};
use super::feed::Feed;
use super::plan::DAY_US;
use super::truth::TRUTH;

/// The most entities whose rows are handed over at once.
pub const ROWS_A_BATCH: u32 = 10_000;

/// Takes a district. Rows and events come in an order that depends on the plan alone.
pub trait Sink {
    type Error;

    /// Some rows of a register; the rows of one table come one batch after the other.
    fn table(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> Result<(), Self::Error>;

    /// Some rows of a table of truth, to be kept apart from everything that models can read.
    fn truth(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> Result<(), Self::Error>;

    /// Everything that arrives on a day, the days counted from 1.
    fn events(
        &mut self,
        day: u32,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<(), Self::Error>;
}

impl District {
    /// Writes everything: the registers, the truth, then the days of events.
    pub fn write<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        for table in Self::tables() {
            if let Some(maker) = Self::maker(table.name) {
                self.batches(maker, |rows| sink.table(table, rows))?;
            }
        }
        for table in TRUTH {
            if let Some(maker) = Self::truth_maker(table.name) {
                self.batches(maker, |rows| sink.truth(table, rows))?;
            }
        }
        let mut feed = Feed::new(self, 0..self.plan.days);
        for day in 1..=self.plan.days {
            let end_us = self.plan.start_us + i64::from(day) * DAY_US;
            let mut arrivals =
                std::iter::from_fn(|| feed.next_before(end_us)).map(|each| each.event);
            sink.events(day, &mut arrivals)?;
        }
        Ok(())
    }

    /// A table without any row is handed over too, so that its file exists.
    fn batches<E>(
        &self,
        maker: &Maker,
        mut each: impl FnMut(&[Vec<Cell>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let entities = (maker.entities)(self);
        let mut from = 0;
        loop {
            let to = (from + ROWS_A_BATCH).min(entities);
            each(&self.make(maker, from..to))?;
            from = to;
            if from >= entities {
                return Ok(());
            }
        }
    }
}
