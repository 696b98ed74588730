//! Two homes in the registers, and what happens there.

use features::Event;
use features::civil;
use features::table::{Cell, encode_row};
use nodes::state::{
    Action, Alert, AlertRule, CaseStep, Change, Command, Delivery, Linkage, Reply, Roster,
    RulePush, Rules, Severity, State,
};
use raft::Position;

pub(crate) const NOW_US: i64 = 1_790_000_000_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;

/// A state, its clock and everything it has written.
pub(crate) struct Street {
    pub(crate) state: State,
    index: u64,
    pub(crate) now_us: i64,
    written: Vec<(&'static str, Vec<Cell>)>,
}

/// A row of a register with the given cells and nothing else.
fn row(table: &str, cells: &[(&str, Cell)]) -> Command {
    let table = civil::table(table).unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    for (name, cell) in cells {
        row[table.position(name).unwrap()] = cell.clone();
    }
    Command::UpsertRows { table: table.name.to_owned(), rows: vec![encode_row(&row).unwrap()] }
}

/// A device in a home.
pub(crate) fn device(id: &str, home: &str) -> Command {
    row("device", &[("device_id", Cell::text(id)), ("dwelling_id", Cell::text(home))])
}

pub(crate) fn relation(resident: &str, other: &str, kind: &str, consent: bool) -> Command {
    let text = |value: &str| Cell::text(value);
    row(
        "relation",
        &[
            ("resident_key", text(resident)),
            ("other_key", text(other)),
            ("kind", text(kind)),
            ("consent", Cell::Bool(consent)),
        ],
    )
}

/// Homes `w1` and `w2` with residents `r1`, `r2` and devices `d1`, `d2`, in one community.
/// `r1` has a daughter and a neighbour who may be told, and a son who may not.
pub(crate) fn street() -> Street {
    let mut street = Street { state: State::new(), index: 0, now_us: NOW_US, written: Vec::new() };
    let text = |value: &str| Cell::text(value);
    street.done(&row(
        "grid",
        &[
            ("grid_id", text("g1")),
            ("community", text("990101001001")),
            ("leader_key", text("leader")),
        ],
    ));
    street.done(&row("building", &[("building_id", text("b1")), ("grid_id", text("g1"))]));
    for n in ["1", "2"] {
        let key = |prefix: &str| Cell::Text(format!("{prefix}{n}"));
        let dwelling = ("dwelling_id", key("w"));
        street.done(&row("dwelling", &[dwelling.clone(), ("building_id", text("b1"))]));
        street.done(&row("household", &[("household_id", key("h")), dwelling.clone()]));
        street.done(&row("resident", &[("resident_key", key("r")), ("household_id", key("h"))]));
        street.done(&row("device", &[("device_id", key("d")), dwelling]));
    }
    // What raises alerts is not the matter here: a few rules, and none that time alone sets off.
    let rule = AlertRule::counting;
    let rules = Rules {
        alerts: vec![
            rule(("gas", "gas_leak"), 5.0, (3, 86_400), (Severity::Critical, 3)),
            rule(("sos", "sos"), 1.0, (1, 60), (Severity::Critical, 3)),
            rule(("fall", "fall"), 1.0, (1, 60), (Severity::Major, 1)),
            rule(("water", "water_leak"), 2.0, (1, 60), (Severity::Minor, 1)),
        ],
        ..Rules::bare()
    };
    street.done(&Command::PushRules(Box::new(RulePush::new(&rules, "test", "few rules"))));
    for (other, kind, consent) in [
        ("daughter", "child", true),
        ("next door", "neighbour", true),
        ("son", "child", false),
        ("leader", "grid_worker", true),
    ] {
        street.done(&relation("r1", other, kind, consent));
    }
    street
}

impl Street {
    /// Applies one command now and gives its reply.
    pub(crate) fn done(&mut self, command: &Command) -> Reply {
        self.index += 1;
        let at = Position { index: self.index, term: 1, time_us: self.now_us };
        let replies = self.state.apply(at, &[command.encode()]).unwrap();
        for change in self.state.take_changes() {
            if let Change::Append { table, row } | Change::Upsert { table, row } = change {
                self.written.push((table.name, row));
            }
        }
        Reply::decode(&replies[0]).unwrap()
    }

    /// So much later; timers on the way fire at the tick that ends it.
    pub(crate) fn wait_s(&mut self, seconds: i64) {
        self.now_us += seconds * SECOND_US;
        self.done(&Command::Tick);
    }

    /// A reading of the device of a home.
    pub(crate) fn reads(&mut self, home: u32, id: &str, kind: &str, value: f64) {
        self.reads_of(&format!("d{home}"), id, kind, value);
    }

    pub(crate) fn reads_of(&mut self, device: &str, id: &str, kind: &str, value: f64) {
        let event = Event {
            event_id: id.to_owned(),
            device_id: device.to_owned(),
            kind: kind.to_owned(),
            event_time_us: self.now_us,
            value,
            source: "gateway".to_owned(),
            ..Event::default()
        };
        self.done(&Command::IngestEvents { events: vec![event] });
    }

    /// Three readings of gas in a home.
    pub(crate) fn gas(&mut self, home: u32, id: &str) -> Alert {
        for n in 0..3 {
            self.reads(home, &format!("{id}-{n}"), "gas", 9.0);
        }
        self.newest()
    }

    pub(crate) fn fall(&mut self, home: u32, id: &str) -> Alert {
        self.reads(home, id, "fall", 1.0);
        self.newest()
    }

    pub(crate) fn newest(&self) -> Alert {
        self.state.alerts.iter().next_back().unwrap().clone()
    }

    pub(crate) fn alert(&self, id: &str) -> Alert {
        self.state.alerts.get(id).unwrap().clone()
    }

    pub(crate) fn try_step(&mut self, step: CaseStep) -> Result<Alert, String> {
        match self.done(&Command::StepCase(Box::new(step))) {
            Reply::Alert(alert) => Ok(*alert),
            Reply::Refused(refusal) => Err(refusal.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// One step of `wang` after the other, all of which have to be possible.
    pub(crate) fn steps(&mut self, id: &str, actions: &[Action]) -> Alert {
        for action in actions {
            let outcome = if *action == Action::Close { "handled" } else { "" };
            let plain = CaseStep::new(id, *action, "wang");
            self.try_step(CaseStep { outcome: outcome.to_owned(), ..plain }).unwrap();
        }
        self.alert(id)
    }

    /// From new to closed.
    pub(crate) fn handle(&mut self, id: &str) -> Alert {
        use Action::{Ack, Arrive, Close, Dispatch, Feedback, Verify};
        self.steps(id, &[Ack, Dispatch, Arrive, Feedback, Verify, Close])
    }

    pub(crate) fn link(&mut self, linkage: Linkage) {
        let command = Command::SetLinkage { linkage: Box::new(linkage), actor: "a".to_owned() };
        assert_eq!(self.done(&command), Reply::Done);
    }

    pub(crate) fn roster(&mut self, toml: &str) -> Reply {
        let roster: Roster = toml::from_str(toml).unwrap();
        self.done(&Command::SetRoster { roster: Box::new(roster), actor: "a".to_owned() })
    }

    /// Who waits to be told of an alert: person, role, level, what.
    pub(crate) fn waiting(&self, id: &str) -> Vec<(String, String, u32, String)> {
        let waiting = self.state.casework.outbox.of_alert(id);
        let mut waiting: Vec<_> = waiting
            .map(|each| (each.person.clone(), each.role.clone(), each.level, each.what.clone()))
            .collect();
        waiting.sort();
        waiting
    }

    /// A provider takes everything that waits.
    pub(crate) fn deliver_all(&mut self) -> Vec<String> {
        let ready: Vec<(String, u32)> = self
            .state
            .casework
            .outbox
            .ready(i64::MAX)
            .map(|notice| (notice.notice_id.clone(), notice.attempts + 1))
            .collect();
        for (notice_id, attempt) in &ready {
            self.delivery(notice_id, *attempt, Some("p1"));
        }
        ready.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) fn delivery(&mut self, notice_id: &str, attempt: u32, provider: Option<&str>) {
        let delivery = Delivery {
            notice_id: notice_id.to_owned(),
            attempt,
            provider_id: provider.map(str::to_owned),
            error: if provider.is_some() { String::new() } else { "no answer".to_owned() },
        };
        assert_eq!(self.done(&Command::RecordDeliveries(vec![delivery])), Reply::Done);
    }

    /// One column of the rows that were written to a table.
    pub(crate) fn written(&self, table: &str, column: &str) -> Vec<String> {
        let at = civil::table(table).unwrap().position(column).unwrap();
        let rows = self.written.iter().filter(|(name, _)| *name == table);
        rows.map(|(_, row)| match &row[at] {
            Cell::Text(text) => text.clone(),
            Cell::Int(value) | Cell::Time(value) => value.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
    }

    /// The state goes through its bytes; nothing may get lost.
    pub(crate) fn restart(&mut self) {
        let bytes = self.state.to_bytes().unwrap();
        self.state = State::from_reader(&mut bytes.as_slice()).unwrap();
        assert_eq!(self.state.to_bytes().unwrap(), bytes);
    }
}
