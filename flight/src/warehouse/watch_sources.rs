//! What the live tables of watched models hold.

use arrow::{array::ArrayRef, datatypes::SchemaRef};

use super::{
    live_sources::{From, Taken, column_of, schema_of, taken},
    live_tables::{Failure, Source},
};
use crate::{CalibrationRow, DriftRow, GroupRow, Live};

pub(super) struct DriftTable;

const DRIFT: &[Taken<DriftRow>] = &[
    taken("model", From::Text(|row| &row.model)),
    taken("version", From::Text(|row| &row.version)),
    taken("feature", From::Text(|row| &row.feature)),
    taken("scores", From::Number(|row| Some(row.scores))),
    taken("scores_total", From::Number(|row| Some(row.scores_total))),
    taken("psi", From::Real(|row| row.psi)),
    taken("ks", From::Real(|row| row.ks)),
    taken("mean", From::Real(|row| row.mean)),
    taken("missing_rate", From::Real(|row| row.missing_rate)),
    taken("stale_rate", From::Real(|row| row.stale_rate)),
    taken("reference", From::Text(|row| &row.reference)),
    taken("reference_rows", From::Number(|row| Some(row.reference_rows))),
    taken("counted", From::Time(|row| Some(row.counted_us))),
];

impl Source for DriftTable {
    type Row = DriftRow;

    fn schema() -> SchemaRef {
        schema_of(DRIFT)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<DriftRow>>, Failure> {
        Ok((page == 0).then(|| live.model_drift()))
    }

    fn column(rows: &[DriftRow], at: usize) -> ArrayRef {
        column_of(&DRIFT[at], rows)
    }
}

pub(super) struct GroupTable;

const GROUP: &[Taken<GroupRow>] = &[
    taken("model", From::Text(|row| &row.model)),
    taken("version", From::Text(|row| &row.version)),
    taken("group_column", From::Text(|row| &row.column)),
    taken("group_value", From::Text(|row| &row.value)),
    taken("scores", From::Number(|row| Some(row.scores))),
    taken("score_mean", From::Real(|row| row.score_mean)),
    taken("selected", From::Number(|row| Some(row.selected))),
    taken("selected_rate", From::Real(|row| row.selected_rate)),
    taken("outcomes", From::Number(|row| Some(row.outcomes))),
    taken("positives", From::Number(|row| Some(row.positives))),
    taken("outcome_rate", From::Real(|row| row.outcome_rate)),
];

impl Source for GroupTable {
    type Row = GroupRow;

    fn schema() -> SchemaRef {
        schema_of(GROUP)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<GroupRow>>, Failure> {
        Ok((page == 0).then(|| live.model_groups()))
    }

    fn column(rows: &[GroupRow], at: usize) -> ArrayRef {
        column_of(&GROUP[at], rows)
    }
}

pub(super) struct CalibrationTable;

const CALIBRATION: &[Taken<CalibrationRow>] = &[
    taken("model", From::Text(|row| &row.model)),
    taken("version", From::Text(|row| &row.version)),
    taken("score_from", From::Real(|row| Some(row.score_from))),
    taken("score_to", From::Real(|row| Some(row.score_to))),
    taken("outcomes", From::Number(|row| Some(row.outcomes))),
    taken("score_mean", From::Real(|row| row.score_mean)),
    taken("outcome_rate", From::Real(|row| row.outcome_rate)),
    taken("brier", From::Real(|row| row.brier)),
    taken("ece", From::Real(|row| row.ece)),
    taken("outcomes_total", From::Number(|row| Some(row.outcomes_total))),
];

impl Source for CalibrationTable {
    type Row = CalibrationRow;

    fn schema() -> SchemaRef {
        schema_of(CALIBRATION)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<CalibrationRow>>, Failure> {
        Ok((page == 0).then(|| live.model_calibration()))
    }

    fn column(rows: &[CalibrationRow], at: usize) -> ArrayRef {
        column_of(&CALIBRATION[at], rows)
    }
}
