//! A node for tests: one resident, one feature, and a log that is the warehouse itself.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use features::{
    civil,
    table::{Cell, Table},
};
use flight::{
    Error, FeatureRow, Indicator, LastEvent, Live, NodeRow, Portrait, Recording, Settings,
    WAREHOUSE_FILE, Warehouse,
};
use tokio::sync::watch;

/// Nobody waits longer for an index in a test.
const WAIT_MAX: Duration = Duration::from_millis(200);

pub(crate) struct FakeNode {
    pub(crate) warehouse: Arc<Warehouse>,
    /// Whether callers without a token are let in.
    pub(crate) open: bool,
    recorded: watch::Sender<u64>,
}

impl FakeNode {
    pub(crate) fn new(folder: &Path, open: bool) -> Arc<Self> {
        let settings = Settings { threads: 2, ..Settings::default() };
        let warehouse = Arc::new(Warehouse::open(&folder.join(WAREHOUSE_FILE), settings).unwrap());
        let (recorded, _) = watch::channel(warehouse.recorded_index());
        Arc::new(Self { warehouse, open, recorded })
    }

    /// Writes rows of one table as the next log entry.
    pub(crate) fn write(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> u64 {
        let mut index = 0;
        self.recorded.send_modify(|recorded| {
            index = *recorded + 1;
            let recording =
                Recording { through: index, upserts: vec![(table, rows)], ..Recording::default() };
            self.warehouse.record(&recording).unwrap();
            *recorded = index;
        });
        index
    }
}

pub(crate) fn blank_row(table: &str, key: &str) -> Vec<Cell> {
    let table = civil::table(table).unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    row[0] = Cell::text(key);
    row
}

#[async_trait]
impl Live for FakeNode {
    async fn read_index(&self, level: &str) -> Result<u64, Error> {
        let index = level.strip_prefix("index=").and_then(|index| index.parse().ok());
        index.ok_or_else(|| Error::Invalid(format!("no level {level:?}")))
    }

    fn log_index(&self) -> u64 {
        *self.recorded.borrow() + 100
    }

    fn portrait(&self, resident_key: &str) -> Option<Portrait> {
        (resident_key == "r1").then(|| Portrait {
            resident: blank_row("resident", "r1"),
            age: Some(83),
            household: Some(blank_row("household", "h1")),
            devices: vec![blank_row("device", "d1"), blank_row("device", "d2")],
            indicators: vec![Indicator {
                name: "fall".into(),
                value: Some(0.25),
                ..Indicator::default()
            }],
            events: vec![LastEvent {
                kind: "door".into(),
                ts_us: 1_700_000_000_000_000,
                value: Some(1.0),
            }],
            ..Portrait::default()
        })
    }

    fn features(&self) -> Vec<FeatureRow> {
        let row = |at: u64| FeatureRow {
            entity_kind: "resident".into(),
            entity_key: format!("r{at}").into(),
            view: "activity".into(),
            feature: "door_n".into(),
            value: Some(at as f64),
            event_time_us: None,
            status: "present".into(),
            known_us: 1_700_000_000_000_000,
            log_index: at,
        };
        (0..5000).map(row).collect()
    }

    fn nodes(&self) -> Vec<NodeRow> {
        vec![NodeRow {
            id: 1,
            role: "leader".into(),
            applied_index: Some(self.log_index()),
            ..NodeRow::default()
        }]
    }

    async fn ingest(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Result<u64, Error> {
        Ok(self.write(table, rows))
    }

    async fn wait_recorded(&self, index: u64, timeout: Duration) -> Result<(), Error> {
        let mut recorded = self.recorded.subscribe();
        let reached = recorded.wait_for(|recorded| *recorded >= index);
        match tokio::time::timeout(timeout.min(WAIT_MAX), reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Late("not recorded in time".into())),
        }
    }

    fn sign_in(&self, user: &str, password: &str) -> Result<String, Error> {
        if (user, password) == ("ada", "love") {
            return Ok("token-of-ada".into());
        }
        Err(Error::Unauthenticated("name or password is wrong".into()))
    }

    fn who(&self, token: Option<&str>) -> Result<String, Error> {
        match token {
            Some("token-of-ada") => Ok("ada".into()),
            None if self.open => Ok("anybody".into()),
            _ => Err(Error::Unauthenticated("sign in first".into())),
        }
    }
}
