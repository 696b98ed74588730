//! The tables of the schema `civil`: a district's registers, what the cluster keeps current, and
//! what it writes down for good.

use crate::table::{Column, ColumnType, Mode, Table};

macro_rules! tables {
    ($($mode:ident $name:ident [$key:literal] { $($column:ident $kind:ident),* $(,)? })*) => {
        /// Every table, in the order in which they are documented.
        pub const TABLES: &[Table] = &[$(Table {
            name: stringify!($name),
            mode: Mode::$mode,
            key: $key,
            columns: &[$(Column { name: stringify!($column), kind: ColumnType::$kind }),*],
        }),*];
    };
}

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|each| each.name == name)
}

// Every register row says which department it came from (`src_dept`) and when it held (`as_of`).
tables! {
    Reference region [1] { code12 Text, parent Text, level1_5 Int, name Text, type Text, lon Real, lat Real, valid_from Date, valid_to Date, src_dept Text, as_of Time }
    Reference grid [1] { grid_id Text, community Text, leader_key Text, households Int, area_m2 Real, src_dept Text, as_of Time }
    Reference building [1] { building_id Text, grid_id Text, addr_code Text, year_built Int, storeys Int, lift Bool, gas_pipe_year Int, lon Real, lat Real, src_dept Text, as_of Time }
    Reference dwelling [1] { dwelling_id Text, building_id Text, unit_no Text, room_no Text, floor Int, area_m2 Real, tenure Text, adapted_flag Bool, src_dept Text, as_of Time }
    Reference household [1] { household_id Text, dwelling_id Text, size Int, type Text, income_pc Real, rigid_exp_12m Real, asset_flag Bool, assist_class Text, src_dept Text, as_of Time }
    Reference resident [1] { resident_key Text, id_mask Text, name_mask Text, sex Text, birth_ym Text, ethnic_code Text, hukou_code12 Text, household_id Text, living Text, marital Text, edu Text, disab_type Text, disab_level Int, bereaved_only_child Bool, party Bool, status Text, death_date Date, src_dept Text, as_of Time }
    Reference relation [3] { resident_key Text, other_key Text, kind Text, phone_mask Text, consent Bool, distance_km Real, src_dept Text, as_of Time }
    Reference health_summary [1] { resident_key Text, chronic_codes Texts, drugs_n Int, bmi Real, vision Int, hearing Int, cognition_score Int, dep_score Int, falls_12m Int, gait_aid Bool, vertigo Bool, updated Time, src_dept Text, as_of Time }
    Reference assessment [1] { assess_id Text, resident_key Text, scale Text, items Ints, total Int, level1_5 Int, assessor Text, date Date, valid_to Date, src_dept Text, as_of Time }
    Reference device [1] { device_id Text, dwelling_id Text, kind Text, model Text, installed Time, last_seen Time, battery Real, health Text, src_dept Text, as_of Time }
    History sensor_event [2] { source Text, event_id Text, device_id Text, dwelling_id Text, ts Time, kind Text, value Real, unit Text, quality Text, recv_ts Time, boot_id Int, seq Int, log_index Int }
    Current feat_window [2] { resident_key Text, window Text, end_ts Time, dwelling_id Text, door_n Int, motion_n Int, max_gap_h Real, night_out_n Int, resp_mean Real, resp_sd Real, apnoea_idx Real, gas_max Real, gas_alarm_n Int, smoke_n Int, gait_speed Real, gait_delta28 Real, meal_n Int, z_inactivity Real, missing_share Real }
    Current alert [1] { alert_id Text, dwelling_id Text, resident_key Text, region Text, kind Text, severity Text, level Int, raised_ts Time, evidence Texts, model Text, model_ver Text, condition Text, state Text, L1_ts Time, L2_ts Time, L3_ts Time, due_ts Time, closed_ts Time, outcome Text, decision_id Text, log_index Int, turn Int, event_ts Time, opened_ts Time, ack_ts Time, dispatch_ts Time, arrive_ts Time, feedback_ts Time, verify_ts Time, missed Texts, escalations Int, reopened Int, assignee Text, closed_as Text, reference Text, merged_into Text, suppressed_by Text, silent_until Time }
    Reference subsidy [1] { grant_id Text, resident_key Text, policy_id Text, policy_ver Int, amount_fen Int, period Text, state Text, match Text, missing Texts, reviewer Text, paid_ts Time, src_dept Text, as_of Time }
    Reference policy [2] { policy_id Text, ver Int, name Text, rule_json Text, from Date, to Date, budget_fen Int, src_dept Text, as_of Time }
    Reference service_record [1] { rec_id Text, resident_key Text, org_id Text, kind Text, ts Time, minutes Int, price_fen Int, subsidy_fen Int, score1_5 Int, src_dept Text, as_of Time }
    Reference meal [1] { meal_id Text, resident_key Text, canteen_id Text, ts Time, price_fen Int, subsidy_fen Int, delivered Bool, src_dept Text, as_of Time }
    Reference visit [1] { visit_id Text, resident_key Text, tier Text, due Date, done_ts Time, worker Text, finding Text, next_due Date, src_dept Text, as_of Time }
    Reference case_event [2] { case_id Text, seq Int, stage Text, ts Time, grid_id Text, unit Text, actor Text, cat Text, deadline Time, src_dept Text, as_of Time }
    History supervision_event [2] { org_id Text, check_id Text, kind Text, ts Time, result Text, due Date, next_due Date, score Real, inspector Text, finding Text, src_dept Text, as_of Time, log_index Int }
    History row_provenance [4] { table_name Text, row_key Text, feed Text, seq Int, columns Texts, src_dept Text, source_ts Time, recv_ts Time, log_index Int, withdrawn Bool }
    Current dead_letter [1] { slot Int, door Text, source Text, reason Text, payload Text, bytes Int, times Int, first_ts Time, last_ts Time, log_index Int }
    Reference organisation [1] { org_id Text, kind Text, name Text, street Text, founded Date, grade Text, capacity Int, status Text, src_dept Text, as_of Time }
    Reference org_month [2] { org_id Text, ym Text, events Int, people Int, reports Int, annual_check Text, funds_fen Int, vol_hours Real, activity_idx Real, rank Int, dormant_p Real, src_dept Text, as_of Time }
    Reference tag [3] { resident_key Text, tag_code Text, ver Int, source Text, value Text, score Real, from Date, to Date, reason Text, src_dept Text, as_of Time }
    History risk_score [4] { resident_key Text, model Text, ver Text, ts Time, p Real, band Text, reasons Reasons, calib_id Text, feature_hash Text, model_sha256 Text, log_index Int }
    Reference hardship [2] { household_id Text, ym Text, idx Real, dept_flags Int, overlap_n Int, reasons Texts, verified_state Text, src_dept Text, as_of Time }
    Reference death_case [1] { case_id Text, resident_key Text, died Date, cremated Date, disposal_form Text, cemetery_id Text, steps Int, satisfaction Int, src_dept Text, as_of Time }
    Reference cemetery [1] { cem_id Text, lon Real, lat Real, graves_total Int, graves_left Int, niches_left Int, sold_12m Int, area_m2 Real, src_dept Text, as_of Time }
    Reference payment_leg [2] { party Text, txn_id Text, payer_key Text, period Text, amount_fen Int, ts Time, src_dept Text, as_of Time }
    Reference recon [2] { period Text, txn_id Text, state Text, diff_fen Int, src_dept Text, as_of Time }
    Reference model_registry [2] { model Text, version Text, owner Text, purpose Text, pia_id Text, card Text, src_dept Text, as_of Time }
    History audit_log [1] { audit_id Int, ts Time, who Text, role Text, purpose Text, action Text, object Text, rows Int, hash Text, log_index Int }
    Reference report_catalog [1] { report_id Text, title Text, domain Text, owner Text, schedule Text, version Int, src_dept Text, as_of Time }
    Reference metric_def [2] { metric_id Text, ver Int, name Text, formula Text, unit Text, owner Text, src_dept Text, as_of Time }
    History decision [1] { decision_id Text, seq Int, entity Text, model Text, version Text, model_sha256 Text, package_sha256 Text, view Text, view_fingerprint Text, as_of Time, read_index Int, score Real, band Text, base Real, link Text, contributions Text, features Text, caller Text, purpose Text, policy Text, effect Text, outcome Text, human_reviewer Text, decided_ts Time, term Int, previous_hash Text, hash Text, log_index Int }
    History decision_review [2] { decision_id Text, seq Int, decision_seq Int, decision_hash Text, entity Text, reviewer Text, verdict Text, reason Text, recorded_ts Time, term Int, previous_hash Text, hash Text, log_index Int }
    History decision_outcome [2] { decision_id Text, seq Int, entity Text, model Text, version Text, score Real, scored_ts Time, observed Real, observed_ts Time, source Text, recorded_ts Time, term Int, previous_hash Text, hash Text, log_index Int }
    History alert_history [2] { alert_id Text, seq Int, from_state Text, to_state Text, actor Text, ts Time, reason Text, log_index Int, actor_role Text, event_ts Time }
    History notice [2] { notice_id Text, seq Int, alert_id Text, step Int, level Int, person Text, role Text, what Text, state Text, attempts Int, ts Time, next_ts Time, provider_id Text, reason Text, log_index Int }
    History roster [4] { level Int, region Text, version Int, shift Int, name Text, bands Texts, days Ints, people Texts, substitutes Texts, absent Texts, actor Text, ts Time, log_index Int }
    History silence [2] { silence_id Text, seq Int, what Text, scope Text, key Text, kinds Texts, mode Text, actor Text, reason Text, from_ts Time, until_ts Time, hazards_until_ts Time, cases Int, ts Time, log_index Int }
    History linkage_policy [2] { version Int, policy Int, utc_offset_min Int, kinds Texts, severities Texts, bands Texts, tell_at_once Ints, ack_s Ints, dispatch_s Ints, arrive_s Ints, feedback_s Ints, verify_s Ints, actor Text, ts Time, log_index Int }
    Current model_version [2] { model Text, version Text, state Text, format Text, entity Text, view Text, model_sha256 Text, author Text, approver Text, registered_ts Time, changed_ts Time, log_index Int, reason Text, share Int, killed Bool }
    History model_history [2] { model Text, seq Int, version Text, action Text, from_state Text, to_state Text, actor Text, ts Time, reason Text, share Int, forced Bool, log_index Int }
    Current model_validation [3] { model Text, version Text, node Int, outcome Text, reason Text, checked_by Text, golden_rows Int, took_ms Int, row_us Real, ts Time }
    Current model_shadow [2] { model Text, version Text, against Text, rows Int, mean_difference Real, max_difference Real, band_changes Int, errors Int, dropped Int, shadow_us Real, active_us Real }
    Current feature_view [2] { view Text, version Int, entity Text, fingerprint Text, features Texts, state Text, author Text, models Texts, pushed_ts Time, log_index Int }
    History register_history [4] { register Text, key Text, log_index Int, seq Int, events_before Int, recv_ts Time, cells Text }
    History query_log [1] { query_id Int, ts Time, who Text, sql Text, rows Int, elapsed_us Int, status Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_keys_exist() {
        for (at, each) in TABLES.iter().enumerate() {
            assert!(each.key >= 1 && each.key <= each.columns.len(), "{}", each.name);
            assert!(TABLES[..at].iter().all(|other| other.name != each.name), "{}", each.name);
            for (at, column) in each.columns.iter().enumerate() {
                assert!(each.columns[..at].iter().all(|other| other.name != column.name));
            }
            if each.mode == Mode::Reference {
                assert!(each.position("src_dept").is_some(), "{}", each.name);
            }
        }
    }
}
