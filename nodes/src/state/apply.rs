//! One log entry after another: the one exhaustive match, and what comes out of it.

use super::Places;
use super::command::UnknownCommand;
use super::ingest_bytes::Batch;
use super::lookahead::{AHEAD, Lookahead};
use super::rules::RuleHistory;
use super::{
    Alerts, CaseStep, Casework, Checks, Command, Conditions, DeadLetters, Dedup, Feeds, Homes,
    Ledger, ModelRecord, Once, Recent, Reply, Rows, Rules, Scores, Tombstones, Views, Watched,
};
use features::civil;
use features::table::{Cell, Mode, Table};
use features::{EventColumns, EventRef, Store};
use imbl::OrdMap;
use models::Registry;
use raft::Position;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an entry changed in the tables, for the warehouse.
#[derive(Clone, Debug)]
pub enum Change {
    Append {
        table: &'static Table,
        row: Vec<Cell>,
    },
    Upsert {
        table: &'static Table,
        row: Vec<Cell>,
    },
    /// The row with this key is gone.
    Delete {
        table: &'static Table,
        key: Vec<Cell>,
    },
    /// Rows of `sensor_event`.
    Events(Box<EventColumns>),
}

impl Change {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Append { row, .. } | Self::Upsert { row, .. } | Self::Delete { key: row, .. } => {
                row.iter().map(Cell::bytes).sum()
            }
            Self::Events(events) => events.bytes(),
        }
    }
}

/// Everything that the log says, held in memory.
#[derive(Debug)]
pub struct State {
    pub applied: u64,
    /// The log's clock in microseconds: the leader's, never running back.
    pub clock_us: i64,
    pub rows: Rows,
    pub(crate) places: Places,
    pub features: Store,
    pub views: Views,
    pub dedup: Dedup,
    pub alerts: Alerts,
    pub casework: Casework,
    pub rules: Rules,
    pub rule_history: RuleHistory,
    pub(crate) conditions: Conditions,
    pub registry: Registry,
    /// What the registry names, by name and version.
    pub(crate) models: OrdMap<(String, String), Arc<ModelRecord>>,
    /// The entry that changed each of them last.
    pub(crate) model_indexes: OrdMap<(String, String), u64>,
    pub scores: Scores,
    pub ledger: Ledger,
    pub watched: Watched,
    pub checks: Checks,
    pub once: Once,
    pub feeds: Feeds,
    pub tombstones: Tombstones,
    pub dead_letters: DeadLetters,
    pub events_total: u64,
    pub alerts_total: u64,
    /// A chain over every entry's commands and replies: equal at equal index on every node.
    pub hash: [u8; 32],
    pub recent: Recent,
    pub(crate) changes: Vec<Change>,
    pub(crate) lookahead: Lookahead,
    /// The entry that was applied last asks for a check of the state.
    pub(crate) check_due: bool,
    /// Events among the changes.
    pub(crate) events: EventColumns,
    /// How many events and register rows the entry that is being applied has brought so far.
    pub(crate) entry_events: u32,
    pub(crate) entry_rows: u32,
    /// Relatives to whom a row of the command that is being applied gives no consent.
    pub(crate) withdrawn_consents: BTreeSet<String>,
}

impl State {
    pub fn new() -> Self {
        Self {
            applied: 0,
            clock_us: 0,
            rows: Rows::default(),
            places: Places::default(),
            features: Store::default(),
            views: Views::default(),
            dedup: Dedup::default(),
            alerts: Alerts::default(),
            casework: Casework::default(),
            rules: Rules::default(),
            rule_history: RuleHistory::default(),
            conditions: Conditions::default(),
            registry: Registry::default(),
            models: OrdMap::new(),
            model_indexes: OrdMap::new(),
            scores: Scores::default(),
            ledger: Ledger::default(),
            watched: Watched::default(),
            checks: Checks::default(),
            once: Once::default(),
            feeds: Feeds::default(),
            tombstones: Tombstones::default(),
            dead_letters: DeadLetters::default(),
            events_total: 0,
            alerts_total: 0,
            hash: [0; 32],
            recent: Recent::default(),
            changes: Vec::new(),
            lookahead: Lookahead::default(),
            check_due: false,
            events: EventColumns::default(),
            entry_events: 0,
            entry_rows: 0,
            withdrawn_consents: BTreeSet::new(),
        }
    }

    /// The register rows, as features are read from them.
    pub fn registers(&self) -> &Rows {
        &self.rows
    }

    /// Who lives where.
    pub fn homes(&self) -> Homes<'_> {
        self.rows.homes()
    }

    /// Applies one entry. An error means that the bytes are of a newer program: the node must stop.
    pub fn apply(
        &mut self,
        at: Position,
        commands: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Vec<u8>>, UnknownCommand> {
        if self.applied == 0 {
            self.write_views();
        }
        self.applied = at.index;
        (self.entry_events, self.entry_rows) = (0, 0);
        self.clock_us = self.clock_us.max(at.time_us);
        self.features.advance(self.clock_us);
        self.fire_timers(at);
        self.watch_time(at);
        self.settle_models(at);
        let mut hash = Sha256::new();
        hash.update(self.hash);
        hash.update(at.index.to_le_bytes());
        let mut replies = Vec::with_capacity(commands.len());
        while let Some(bytes) = commands.get(replies.len()) {
            // Senders of single events are many: theirs are looked ahead at together.
            let batch = Batch::of(commands.get(replies.len()..).unwrap_or_default(), AHEAD)?;
            let said = if batch.ends.is_empty() {
                vec![self.carry_out(at, Command::decode(bytes.as_ref())?)]
            } else {
                self.ingest_events(at, &batch.events, &batch.ends)
            };
            self.settle_consents(at);
            self.tell_of_rows(at);
            for reply in said {
                let reply = reply.encode();
                if let Some(bytes) = commands.get(replies.len()) {
                    hash.update(bytes.as_ref());
                }
                hash.update(&reply);
                replies.push(reply);
            }
        }
        self.hash = hash.finalize().into();
        Ok(replies)
    }

    fn carry_out(&mut self, at: Position, command: Command) -> Reply {
        match command {
            Command::IngestEvents { events } => {
                let events: Vec<_> = events.iter().map(EventRef::from).collect();
                let said = self.ingest_events(at, &events, &[events.len()]);
                said.into_iter().next().unwrap_or(Reply::Done)
            }
            Command::UpsertRows { table, rows } => self.upsert_rows(&table, &rows),
            Command::SetRules(rules) => self.set_old_rules(rules.into()),
            Command::PushRules(push) => self.push_rules(at, *push),
            Command::RegisterModel(record) => self.register_model(at, *record),
            Command::ChangeModel { name, version, action, actor } => {
                self.change_model(at, &name, &version, action, &actor)
            }
            Command::RecordScores { residents, read_index, scores } => {
                self.record_scores(at, &residents, read_index, scores)
            }
            Command::ActOnAlert { alert_id, action, actor, note, outcome, action_id } => {
                let plain = CaseStep::new(&alert_id, action, &actor);
                self.step_case(at, &CaseStep { note, outcome, action_id, ..plain })
            }
            Command::StepCase(step) => self.step_case(at, &step),
            Command::SetLinkage { linkage, actor } => self.set_linkage(at, *linkage, &actor),
            Command::SetRoster { roster, actor } => self.set_roster(at, *roster, &actor),
            Command::RecordDeliveries(deliveries) => self.record_deliveries(at, &deliveries),
            Command::RecordDecision(record) => self.record_decision(at, *record),
            Command::RecordReview(review) => self.record_review(at, *review),
            Command::RecordOutcome { observed, groups } => {
                self.record_outcome(at, "", *observed, &groups)
            }
            Command::RecordNamedOutcome { outcome_id, observed, groups } => {
                self.record_outcome(at, &outcome_id, *observed, &groups)
            }
            Command::RecordWatch(deltas) => self.record_watch(&deltas),
            Command::Tick => Reply::Done,
            Command::Once { id, command } => self.carry_out_once(at, id, *command),
            Command::CheckState { voters } => self.begin_check(at, voters),
            Command::ReportState { node, index, digest } => self.report_check(node, index, digest),
            Command::PushModel(push) => self.push_model(at, *push),
            Command::ReportModel(report) => self.report_model(at, *report),
            Command::StepModel(step) => self.step_model(at, &step),
            Command::CompareModel { name, version, compared } => {
                self.compare_model(&name, &version, &compared)
            }
            Command::DeclareFeed(spec) => self.declare_feed(at, &spec),
            Command::IngestRows { feed, rows, rejected, letters } => {
                self.ingest_rows(at, &feed, (&rows, &[]), (rejected, letters))
            }
            Command::FeedRows { feed, rows, gone, rejected, letters } => {
                self.ingest_rows(at, &feed, (&rows, &gone), (rejected, letters))
            }
            Command::RecordDeadLetters(letters) => {
                for letter in letters {
                    self.keep_letter(at, letter);
                }
                Reply::Done
            }
            Command::PushView { text, author } => self.push_view(at, text, author),
            Command::RetireView { name, version, .. } => self.retire_view(at, &name, version),
            Command::BeginSilence(wanted) => self.begin_silence(at, &wanted),
            Command::EndSilence { silence_id, actor, reason } => {
                self.end_silence_early(at, &silence_id, (&actor, &reason))
            }
        }
    }

    fn carry_out_once(&mut self, at: Position, id: u128, command: Command) -> Reply {
        if let Some(reply) = self.once.reply(id) {
            return reply.clone();
        }
        let reply = self.carry_out(at, command);
        self.once.remember(id, reply.clone());
        reply
    }

    /// The changes since the last call, in order within their tables.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        if !self.events.is_empty() {
            changes.push(Change::Events(Box::new(std::mem::take(&mut self.events))));
        }
        changes
    }

    pub(crate) fn append(&mut self, table: &str, row: Vec<Cell>) {
        if let Some(table) = civil::table(table) {
            debug_assert!(
                table.mode == Mode::History && table.check(&row).is_ok(),
                "{} {row:?}",
                table.name
            );
            self.changes.push(Change::Append { table, row });
        }
    }

    pub(crate) fn upsert_current(&mut self, table: &str, row: Vec<Cell>) {
        if let Some(table) = civil::table(table) {
            debug_assert!(
                table.mode == Mode::Current && table.check(&row).is_ok(),
                "{} {row:?}",
                table.name
            );
            self.changes.push(Change::Upsert { table, row });
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}
