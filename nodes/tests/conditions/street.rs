//! A street by hand: homes, devices, and a log whose clock the test turns.

use features::Event;
use features::civil;
use features::table::{Cell, encode_row};
use nodes::state::{Alert, Command, Condition, Reply, RulePush, Rules, State};
use raft::Position;

/// 10 o'clock in the morning where the default rules are at home.
pub(crate) const TEN_US: i64 = 1_789_956_000_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;
/// A running cluster ticks at least this often here.
const TICK_US: i64 = 10 * SECOND_US;

pub(crate) struct Street {
    pub(crate) state: State,
    pub(crate) now_us: i64,
    events: u64,
    /// Where the devices are heard by.
    pub(crate) gateway: String,
    pub(crate) boot: u32,
}

impl Street {
    /// Homes w0, w1... of one resident each in building b0, under these rules.
    pub(crate) fn new(rules: &Rules, homes: usize) -> Self {
        let mut street = Self {
            state: State::new(),
            now_us: TEN_US,
            events: 0,
            gateway: "gw".to_owned(),
            boot: 1,
        };
        street.row("grid", &[("grid_id", "g"), ("community", "990101001001")]);
        street.row("building", &[("building_id", "b0"), ("grid_id", "g")]);
        for home in 0..homes {
            let (dwelling, household) = (format!("w{home}"), format!("h{home}"));
            let resident = format!("r{home}");
            street.row("dwelling", &[("dwelling_id", &dwelling), ("building_id", "b0")]);
            street.row("household", &[("household_id", &household), ("dwelling_id", &dwelling)]);
            street.row("resident", &[("resident_key", &resident), ("household_id", &household)]);
        }
        street.push(rules);
        street
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Reply {
        let at = Position { index: self.state.applied + 1, term: 1, time_us: self.now_us };
        let replies = self.state.apply(at, &[command.encode()]).unwrap();
        self.state.take_changes();
        Reply::decode(&replies[0]).unwrap()
    }

    pub(crate) fn push(&mut self, rules: &Rules) {
        let push = RulePush::new(rules, "tester", "");
        assert_eq!(self.apply(&Command::PushRules(Box::new(push))), Reply::Done);
    }

    pub(crate) fn row(&mut self, table: &str, cells: &[(&str, &str)]) {
        let table = civil::table(table).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, text) in cells {
            row[table.position(name).unwrap()] = Cell::text(*text);
        }
        let rows = vec![encode_row(&row).unwrap()];
        let reply = self.apply(&Command::UpsertRows { table: table.name.to_owned(), rows });
        assert!(matches!(reply, Reply::Upserted { .. }), "{reply:?}");
    }

    /// A device of a class in a home.
    pub(crate) fn device(&mut self, id: &str, class: &str, home: &str) {
        self.row("device", &[("device_id", id), ("kind", class), ("dwelling_id", home)]);
    }

    /// The next event, at an event time.
    pub(crate) fn event(&mut self, device: &str, kind: &str, value: f64, at_us: i64) -> Event {
        self.events += 1;
        Event {
            event_id: format!("e{}", self.events),
            device_id: device.to_owned(),
            kind: kind.to_owned(),
            event_time_us: at_us,
            value,
            source: self.gateway.clone(),
            boot_id: self.boot,
            ..Event::default()
        }
    }

    /// An event of an earlier time, or of now; gives its id.
    pub(crate) fn at(&mut self, device: &str, kind: &str, value: f64, at_us: i64) -> String {
        let event = self.event(device, kind, value, at_us);
        let id = event.event_id.clone();
        self.apply(&Command::IngestEvents { events: vec![event] });
        id
    }

    pub(crate) fn now(&mut self, device: &str, kind: &str, value: f64) -> String {
        self.at(device, kind, value, self.now_us)
    }

    /// Lets time pass, with ticks.
    pub(crate) fn wait(&mut self, us: i64) {
        let to_us = self.now_us + us;
        while self.now_us < to_us {
            self.now_us = (self.now_us + TICK_US).min(to_us);
            self.apply(&Command::Tick);
        }
    }

    /// Lets time pass without an entry.
    pub(crate) fn pause(&mut self, us: i64) {
        self.now_us += us;
        self.apply(&Command::Tick);
    }

    /// Alerts of a kind, in the order in which they were raised.
    pub(crate) fn alerts(&self, kind: &str) -> Vec<Alert> {
        self.state.alerts.iter().filter(|alert| alert.kind == kind).cloned().collect()
    }

    /// How many alerts there are in all.
    pub(crate) fn count(&self) -> usize {
        self.state.alerts.iter().count()
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<Condition> {
        self.alerts(kind).last().map(|alert| alert.condition)
    }

    /// What the histories of a kind's alerts say.
    pub(crate) fn said(&self, kind: &str) -> String {
        let alerts = self.alerts(kind);
        let lines = alerts.iter().flat_map(|alert| &alert.history).map(|line| line.reason.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }
}
