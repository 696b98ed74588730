-- Made anew at each start. $live stands for the number by which this process knows its live tables.

CREATE OR REPLACE VIEW hearth.civil.feature_current AS SELECT * FROM hearth_live_features($live);
CREATE OR REPLACE VIEW hearth.civil.node_status AS SELECT * FROM hearth_live_nodes($live);
CREATE OR REPLACE VIEW hearth.civil.feed_status AS SELECT * FROM hearth_live_feeds($live);
CREATE OR REPLACE VIEW hearth.civil.model_drift AS SELECT * FROM hearth_live_drift($live);
CREATE OR REPLACE VIEW hearth.civil.model_groups AS SELECT * FROM hearth_live_groups($live);
CREATE OR REPLACE VIEW hearth.civil.model_calibration AS SELECT * FROM hearth_live_calibration($live);
CREATE OR REPLACE MACRO hearth.civil.portrait(resident) AS TABLE
    SELECT * FROM hearth_live_portrait($live, resident);

CREATE OR REPLACE VIEW hearth.civil.v_portrait_head AS
SELECT r.resident_key, r.name_mask, r.sex, r.birth_ym,
       date_diff('year', try_strptime(r.birth_ym || '-01', '%Y-%m-%d'), current_date) AS age,
       r.living, r.disab_type, r.disab_level, r.bereaved_only_child, r.status,
       h.household_id, h.type AS household_type, h.size AS household_size, h.assist_class,
       d.dwelling_id, d.floor, d.adapted_flag, b.building_id, b.storeys, b.lift, g.grid_id, g.community
FROM hearth.civil.resident r
LEFT JOIN hearth.civil.household h USING (household_id)
LEFT JOIN hearth.civil.dwelling d USING (dwelling_id)
LEFT JOIN hearth.civil.building b USING (building_id)
LEFT JOIN hearth.civil.grid g USING (grid_id);

CREATE OR REPLACE VIEW hearth.civil.v_tags_active AS
SELECT resident_key, tag_code, source, "value", score, "from", "to", reason
FROM hearth.civil.tag
WHERE ("from" IS NULL OR "from" <= current_date) AND ("to" IS NULL OR "to" >= current_date)
QUALIFY row_number() OVER (PARTITION BY resident_key, tag_code ORDER BY ver DESC) = 1;

CREATE OR REPLACE VIEW hearth.civil.v_timeline AS
SELECT resident_key, "date"::TIMESTAMP AS ts, 'assessment' AS kind, assess_id AS id, scale AS what FROM hearth.civil.assessment
UNION ALL SELECT resident_key, raised_ts, 'alert', alert_id, kind FROM hearth.civil.alert
UNION ALL SELECT resident_key, paid_ts, 'subsidy', grant_id, policy_id FROM hearth.civil.subsidy
UNION ALL SELECT resident_key, ts, 'service', rec_id, kind FROM hearth.civil.service_record
UNION ALL SELECT resident_key, coalesce(done_ts, due::TIMESTAMP), 'visit', visit_id, coalesce(finding, tier) FROM hearth.civil.visit
UNION ALL SELECT NULL, ts, 'case', case_id, stage FROM hearth.civil.case_event
UNION ALL SELECT resident_key, died::TIMESTAMP, 'death', case_id, disposal_form FROM hearth.civil.death_case;

CREATE OR REPLACE VIEW hearth.civil.v_indicators AS
SELECT resident_key, model AS name, p AS "value", band, model, ver AS version FROM (
    SELECT * FROM hearth.civil.risk_score
    QUALIFY row_number() OVER (PARTITION BY resident_key, model ORDER BY log_index DESC) = 1)
UNION ALL
SELECT r.resident_key, 'hardship', h.idx, h.verified_state, NULL, NULL
FROM hearth.civil.resident r JOIN hearth.civil.hardship h USING (household_id)
QUALIFY row_number() OVER (PARTITION BY r.resident_key ORDER BY h.ym DESC) = 1
UNION ALL
SELECT resident_key, 'service_minutes_90d', sum(minutes)::DOUBLE, NULL, NULL, NULL
FROM hearth.civil.service_record WHERE ts >= current_date - INTERVAL 90 DAY GROUP BY resident_key
UNION ALL
SELECT resident_key, 'days_since_visit', date_diff('day', max(done_ts), current_date)::DOUBLE, NULL, NULL, NULL
FROM hearth.civil.visit WHERE done_ts IS NOT NULL GROUP BY resident_key
UNION ALL
SELECT resident_key, 'ability_level', level1_5::DOUBLE, scale, NULL, NULL FROM hearth.civil.assessment
QUALIFY row_number() OVER (PARTITION BY resident_key ORDER BY "date" DESC) = 1;

CREATE OR REPLACE VIEW hearth.civil.v_next_actions AS
SELECT resident_key, 'visit' AS action, due::TIMESTAMP AS due, tier AS what, visit_id AS id
FROM hearth.civil.visit WHERE done_ts IS NULL
UNION ALL
SELECT resident_key, 'subsidy', NULL, policy_id || ': ' || match, grant_id
FROM hearth.civil.subsidy WHERE match IN ('full', 'partial') AND paid_ts IS NULL
UNION ALL
SELECT r.resident_key, 'device', v.last_seen, v.kind || ': ' || v.health, v.device_id
FROM hearth.civil.device v
JOIN hearth.civil.household h USING (dwelling_id)
JOIN hearth.civil.resident r USING (household_id)
WHERE v.health IS NOT NULL AND v.health NOT IN ('ok', 'good', 'online');

CREATE OR REPLACE VIEW hearth.civil.v_explain AS
SELECT resident_key, model, ver, ts, p, band, reason.feature AS feature, reason."value" AS "value",
       reason.contrib AS contrib, log_index
FROM hearth.civil.risk_score, unnest(reasons) AS u(reason);

-- One row a case, with how long each step took. Duplicates are other cases' rows; of what an outage or a
-- silence suppressed nobody was told.
CREATE OR REPLACE VIEW hearth.civil.v_alert_steps AS
SELECT alert_id, region, left(region, 9) AS street,
       strftime(raised_ts + to_minutes(coalesce(
           (SELECT arg_max(utc_offset_min, log_index) FROM hearth.civil.linkage_policy), 480)), '%Y-%m') AS month,
       kind, severity, level, state, closed_as, outcome, assignee, raised_ts, closed_ts, due_ts,
       coalesce(missed, []) AS missed, coalesce(escalations, 0) AS escalations, coalesce(reopened, 0) AS reopened,
       (epoch_us(ack_ts) - epoch_us(coalesce(opened_ts, raised_ts))) / 1e6 AS ack_s,
       (epoch_us(dispatch_ts) - epoch_us(coalesce(opened_ts, raised_ts))) / 1e6 AS dispatch_s,
       (epoch_us(arrive_ts) - epoch_us(coalesce(opened_ts, raised_ts))) / 1e6 AS arrive_s,
       (epoch_us(feedback_ts) - epoch_us(coalesce(opened_ts, raised_ts))) / 1e6 AS feedback_s,
       (epoch_us(closed_ts) - epoch_us(coalesce(opened_ts, raised_ts))) / 1e6 AS close_s
FROM hearth.civil.alert
WHERE closed_as IS DISTINCT FROM 'duplicate' AND suppressed_by IS NULL;

-- How well the linkage keeps its times. A step's share is of the cases that took it or missed its deadline.
CREATE OR REPLACE VIEW hearth.civil.v_alert_sla AS
SELECT street, month, kind, level, count(*) AS alerts,
       count(*) FILTER (WHERE state = 'closed') AS closed,
       1 - count(*) FILTER (WHERE list_contains(missed, 'ack'))
           / nullif(count(*) FILTER (WHERE ack_s IS NOT NULL OR list_contains(missed, 'ack')), 0) AS ack_in_time,
       1 - count(*) FILTER (WHERE list_contains(missed, 'dispatch'))
           / nullif(count(*) FILTER (WHERE dispatch_s IS NOT NULL OR list_contains(missed, 'dispatch')), 0) AS dispatch_in_time,
       1 - count(*) FILTER (WHERE list_contains(missed, 'arrive'))
           / nullif(count(*) FILTER (WHERE arrive_s IS NOT NULL OR list_contains(missed, 'arrive')), 0) AS arrive_in_time,
       1 - count(*) FILTER (WHERE list_contains(missed, 'feedback'))
           / nullif(count(*) FILTER (WHERE feedback_s IS NOT NULL OR list_contains(missed, 'feedback')), 0) AS feedback_in_time,
       quantile_cont(ack_s, 0.5) AS ack_p50_s, quantile_cont(ack_s, 0.9) AS ack_p90_s,
       quantile_cont(dispatch_s, 0.5) AS dispatch_p50_s, quantile_cont(dispatch_s, 0.9) AS dispatch_p90_s,
       quantile_cont(arrive_s, 0.5) AS arrive_p50_s, quantile_cont(arrive_s, 0.9) AS arrive_p90_s,
       quantile_cont(close_s, 0.5) AS close_p50_s, quantile_cont(close_s, 0.9) AS close_p90_s,
       sum(escalations)::BIGINT AS escalations, sum(reopened)::BIGINT AS reopened,
       count(*) FILTER (WHERE closed_as = 'false_alarm')
           / nullif(count(*) FILTER (WHERE state = 'closed'), 0) AS false_alarm_share
FROM hearth.civil.v_alert_steps
GROUP BY street, month, kind, level;

-- The newest word on each notice.
CREATE OR REPLACE VIEW hearth.civil.v_outbox AS
SELECT * FROM hearth.civil.notice
QUALIFY row_number() OVER (PARTITION BY notice_id ORDER BY seq DESC) = 1;

-- The rosters that are in force.
CREATE OR REPLACE VIEW hearth.civil.v_roster AS
SELECT * FROM hearth.civil.roster
QUALIFY version = max(version) OVER (PARTITION BY level, region);
