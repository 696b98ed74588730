//! Which readings count for which row of the list: those received by the time it was known, of the
//! device or the dwelling itself, or of the dwelling where the resident lived when they came in.

use std::fmt::Write as _;

use features::{EntityKind, event::CLOCK_AHEAD_US};

use super::windows::Windows;

/// Room for the events of one log entry between it and the next.
const PLACES: u64 = 1 << 24;
/// Behind every place.
const END: i64 = i64::MAX;

/// Adds `hearth_seen`: a row for each row of the list and each reading that was received in time. Whether
/// the reading's own time is in a window is said by columns of the windows.
pub(super) fn write(sql: &mut String, entity: EntityKind, through: Option<u64>, windows: &Windows) {
    let cut =
        |of: &str| through.map_or_else(String::new, |last| format!(" AND {of}log_index <= {last}"));
    // Past five minutes ahead a clock is not believed: the event counts at its receipt.
    let us = format!(
        "epoch_us(CASE WHEN epoch_us(e.ts) > epoch_us(e.recv_ts) + {CLOCK_AHEAD_US} THEN e.recv_ts ELSE e.ts END)"
    );
    let flags = windows.flags();
    if entity == EntityKind::Resident {
        homes(sql, through);
        let _ = write!(
            sql,
            ",\nhearth_heard AS (SELECT a.ask, a.at_us, e.kind, e.log_index, {us} AS us, \
             CAST(e.value * 1e6 AS BIGINT) AS micros \
             FROM hearth_ask AS a JOIN hearth_home AS h ON h.entity = a.entity \
             JOIN hearth_event AS e ON e.dwelling_id = h.dwelling AND e.place > h.since AND e.place <= h.until \
             WHERE e.recv_ts <= a.known)"
        );
    } else {
        let own = if entity == EntityKind::Device { "device_id" } else { "dwelling_id" };
        let _ = write!(
            sql,
            ",\nhearth_heard AS (SELECT a.ask, a.at_us, e.kind, e.log_index, {us} AS us, \
             CAST(e.value * 1e6 AS BIGINT) AS micros \
             FROM hearth_ask AS a JOIN hearth.civil.sensor_event AS e ON e.{own} = a.entity \
             WHERE e.recv_ts <= a.known{})",
            cut("e.")
        );
    }
    let _ = write!(
        sql,
        ",\nhearth_seen AS (SELECT ask, at_us, kind, us, micros, log_index, {flags} FROM hearth_heard)"
    );
}

/// Who lived where, from which place of the log to which, and the events with their places. The place of
/// a change is behind the events of its entry that came before it; only in entries where there are such
/// do events need to be told apart.
fn homes(sql: &mut String, through: Option<u64>) {
    let cut = through.map_or_else(String::new, |last| format!(" AND log_index <= {last}"));
    let stays = |name: &str, register: &str, key: &str, to: &str, of: &str| {
        format!(
            ",\n{name} AS MATERIALIZED (SELECT {key}, {to}, since, \
             lead(since, 1, {END}) OVER (PARTITION BY {key} ORDER BY since, seq) AS until FROM (\
             SELECT key AS {key}, cells->>'{to}_id' AS {to}, log_index * {PLACES} + events_before AS since, log_index, seq \
             FROM hearth.civil.register_history WHERE register = '{register}' AND key IN ({of}){cut} \
             QUALIFY row_number() OVER (PARTITION BY key ORDER BY log_index, seq) = 1 OR \
             {to} IS DISTINCT FROM lag({to}) OVER (PARTITION BY key ORDER BY log_index, seq)))"
        )
    };
    sql.push_str(&stays(
        "hearth_member",
        "resident",
        "entity",
        "household",
        "SELECT entity FROM hearth_ask",
    ));
    sql.push_str(&stays(
        "hearth_house",
        "household",
        "household",
        "dwelling",
        "SELECT household FROM hearth_member",
    ));
    let columns = "dwelling_id, kind, ts, recv_ts, value, log_index";
    let _ = write!(
        sql,
        ",\nhearth_home AS MATERIALIZED (SELECT m.entity, o.dwelling, greatest(m.since, o.since) AS since, \
         least(m.until, o.until) AS until FROM hearth_member AS m JOIN hearth_house AS o USING (household) \
         WHERE o.dwelling IS NOT NULL AND greatest(m.since, o.since) < least(m.until, o.until)),\n\
         hearth_mixed AS MATERIALIZED (SELECT DISTINCT log_index FROM hearth.civil.register_history \
         WHERE register IN ('resident', 'household') AND events_before > 0),\n\
         hearth_event AS (SELECT {columns}, log_index * {PLACES} + 1 AS place FROM hearth.civil.sensor_event \
         WHERE log_index NOT IN (SELECT log_index FROM hearth_mixed){cut} UNION ALL \
         SELECT {columns}, log_index * {PLACES} + row_number() OVER (PARTITION BY log_index ORDER BY rowid) AS place \
         FROM hearth.civil.sensor_event WHERE log_index IN (SELECT log_index FROM hearth_mixed){cut})"
    );
}
