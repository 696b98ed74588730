//! Entries as rows of the warehouse and back: every bit that a hash covers is in some column.

use super::chain::Hash;
use super::entry::{DecisionRecord, Entry, ObservedRecord, ReviewRecord, What};
use features::civil;
use features::table::{Cell, Table};

/// The tables that together hold the ledger.
pub const ENTRY_TABLES: [&str; 3] = ["decision", "decision_review", "decision_outcome"];

/// The table and the row of an entry.
pub fn row_of(entry: &Entry) -> (&'static str, Vec<Cell>) {
    let (table, named) = match &entry.what {
        What::Decision(each) => (ENTRY_TABLES[0], decision_cells(each)),
        What::Review(each) => (ENTRY_TABLES[1], review_cells(each)),
        What::Outcome(each) => (ENTRY_TABLES[2], outcome_cells(each)),
    };
    let hex = |hash: &Hash| Cell::Text(crate::hex::encode(hash));
    let of_all = [
        ("seq", Cell::Int(entry.seq as i64)),
        (time_column(table), Cell::Time(entry.at_us)),
        ("term", Cell::Int(entry.term as i64)),
        ("previous_hash", hex(&entry.previous_hash)),
        ("hash", hex(&entry.hash)),
        ("log_index", Cell::Int(entry.log_index as i64)),
    ];
    let columns = civil::table(table).map_or(&[][..], |table| table.columns);
    let mut row = vec![Cell::Null; columns.len()];
    for (name, cell) in named.into_iter().chain(of_all) {
        if let Some(at) = columns.iter().position(|column| column.name == name) {
            row[at] = cell;
        }
    }
    (table, row)
}

/// When the entry was written.
pub fn time_column(table: &str) -> &'static str {
    if table == "decision" { "decided_ts" } else { "recorded_ts" }
}

fn decision_cells(of: &DecisionRecord) -> Vec<(&'static str, Cell)> {
    // Plain data with text keys: writing it into memory cannot fail.
    let features = serde_json::to_string(&of.features).unwrap_or_default();
    let contributions = serde_json::to_string(&of.contributions).unwrap_or_default();
    vec![
        ("decision_id", Cell::text(&of.decision_id)),
        ("entity", Cell::text(&of.entity)),
        ("model", Cell::text(&of.model)),
        ("version", Cell::text(&of.version)),
        ("model_sha256", Cell::text(&of.model_sha256)),
        ("package_sha256", Cell::text(&of.package_sha256)),
        ("view", Cell::text(&of.view)),
        ("view_fingerprint", Cell::text(&of.view_fingerprint)),
        ("as_of", Cell::Time(of.as_of_us)),
        ("read_index", Cell::Int(of.read_index as i64)),
        ("score", Cell::Real(of.score)),
        ("band", Cell::text(&of.band)),
        ("base", Cell::Real(of.base)),
        ("link", Cell::text(&of.link)),
        ("contributions", Cell::Text(contributions)),
        ("features", Cell::Text(features)),
        ("caller", Cell::text(&of.caller)),
        ("purpose", Cell::text(&of.purpose)),
        ("policy", Cell::text(&of.policy)),
        ("effect", Cell::text(&of.effect)),
        ("outcome", Cell::text(&of.outcome)),
        ("human_reviewer", Cell::text(&of.human_reviewer)),
    ]
}

fn review_cells(of: &ReviewRecord) -> Vec<(&'static str, Cell)> {
    vec![
        ("decision_id", Cell::text(&of.decision_id)),
        ("decision_seq", Cell::Int(of.decision_seq as i64)),
        ("decision_hash", Cell::Text(crate::hex::encode(&of.decision_hash))),
        ("entity", Cell::text(&of.entity)),
        ("reviewer", Cell::text(&of.reviewer)),
        ("verdict", Cell::text(&of.verdict)),
        ("reason", Cell::text(&of.reason)),
    ]
}

fn outcome_cells(of: &ObservedRecord) -> Vec<(&'static str, Cell)> {
    vec![
        ("decision_id", Cell::text(&of.decision_id)),
        ("entity", Cell::text(&of.entity)),
        ("model", Cell::text(&of.model)),
        ("version", Cell::text(&of.version)),
        ("score", Cell::Real(of.score)),
        ("scored_ts", Cell::Time(of.scored_us)),
        ("observed", Cell::Real(of.observed)),
        ("observed_ts", Cell::Time(of.observed_us)),
        ("source", Cell::text(&of.source)),
    ]
}

/// The entry that a row holds, or which column does not hold what it should.
pub fn entry_of(table: &str, row: &[Cell]) -> Result<Entry, String> {
    let table = civil::table(table).ok_or_else(|| format!("no table {table}"))?;
    let row = Row { table, row };
    let what = match table.name {
        "decision" => What::Decision(Box::new(decision(&row)?)),
        "decision_review" => What::Review(review(&row)?),
        "decision_outcome" => What::Outcome(observed(&row)?),
        other => return Err(format!("table {other} is no part of the ledger")),
    };
    Ok(Entry {
        seq: row.count("seq")?,
        at_us: row.time(time_column(table.name))?,
        term: row.count("term")?,
        log_index: row.count("log_index")?,
        what,
        previous_hash: row.hash("previous_hash")?,
        hash: row.hash("hash")?,
    })
}

fn decision(row: &Row<'_>) -> Result<DecisionRecord, String> {
    Ok(DecisionRecord {
        decision_id: row.text("decision_id")?,
        entity: row.text("entity")?,
        model: row.text("model")?,
        version: row.text("version")?,
        model_sha256: row.text("model_sha256")?,
        package_sha256: row.text("package_sha256")?,
        view: row.text("view")?,
        view_fingerprint: row.text("view_fingerprint")?,
        as_of_us: row.time("as_of")?,
        read_index: row.count("read_index")?,
        score: row.real("score")?,
        band: row.text("band")?,
        base: row.real("base")?,
        link: row.text("link")?,
        contributions: row.json("contributions")?,
        features: row.json("features")?,
        caller: row.text("caller")?,
        purpose: row.text("purpose")?,
        policy: row.text("policy")?,
        effect: row.text("effect")?,
        outcome: row.text("outcome")?,
        human_reviewer: row.text("human_reviewer")?,
    })
}

fn review(row: &Row<'_>) -> Result<ReviewRecord, String> {
    Ok(ReviewRecord {
        decision_id: row.text("decision_id")?,
        decision_seq: row.count("decision_seq")?,
        decision_hash: row.hash("decision_hash")?,
        entity: row.text("entity")?,
        reviewer: row.text("reviewer")?,
        verdict: row.text("verdict")?,
        reason: row.text("reason")?,
    })
}

fn observed(row: &Row<'_>) -> Result<ObservedRecord, String> {
    Ok(ObservedRecord {
        decision_id: row.text("decision_id")?,
        entity: row.text("entity")?,
        model: row.text("model")?,
        version: row.text("version")?,
        score: row.real("score")?,
        scored_us: row.time("scored_ts")?,
        observed: row.real("observed")?,
        observed_us: row.time("observed_ts")?,
        source: row.text("source")?,
    })
}

struct Row<'a> {
    table: &'static Table,
    row: &'a [Cell],
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Option<&Cell> {
        self.row.get(self.table.position(column)?)
    }

    fn wrong(&self, column: &str) -> String {
        format!("column {}.{column} does not hold what was written there", self.table.name)
    }

    fn text(&self, column: &str) -> Result<String, String> {
        match self.cell(column) {
            Some(Cell::Text(text)) => Ok(text.clone()),
            _ => Err(self.wrong(column)),
        }
    }

    fn count(&self, column: &str) -> Result<u64, String> {
        match self.cell(column) {
            Some(Cell::Int(value)) => u64::try_from(*value).map_err(|_| self.wrong(column)),
            _ => Err(self.wrong(column)),
        }
    }

    fn time(&self, column: &str) -> Result<i64, String> {
        match self.cell(column) {
            Some(Cell::Time(us)) => Ok(*us),
            _ => Err(self.wrong(column)),
        }
    }

    fn real(&self, column: &str) -> Result<f64, String> {
        match self.cell(column) {
            Some(Cell::Real(value)) => Ok(*value),
            _ => Err(self.wrong(column)),
        }
    }

    fn hash(&self, column: &str) -> Result<Hash, String> {
        crate::hex::decode32(&self.text(column)?).ok_or_else(|| self.wrong(column))
    }

    /// The text itself must be what this program would write: a changed blank is a change too.
    fn json<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<T, String> {
        let text = self.text(column)?;
        let read: T = serde_json::from_str(&text).map_err(|_| self.wrong(column))?;
        let again = serde_json::to_string(&read).map_err(|_| self.wrong(column))?;
        if again == text { Ok(read) } else { Err(self.wrong(column)) }
    }
}
