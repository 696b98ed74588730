//! The whole query: the caller's list, what was heard of its entities, what the registers said, and one
//! value a feature.

use std::fmt::Write as _;

use features::{EntityKind, FeatureDef, FeatureView, Source};

use super::{
    expression::expression_sql, quoted, readings, registers::Registers, text, windows::Windows,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub view: &'a FeatureView,
    /// A table, or a query in brackets: the entity's key first, then the time; further columns are
    /// handed through.
    pub list: &'a str,
    /// When it was known, in SQL over the columns of the list; without it at the time itself.
    pub known_at: Option<&'a str>,
    /// Nothing that was recorded behind this log index counts.
    pub through: Option<u64>,
    pub give: Give,
}

/// What stands behind the columns of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    /// A column a feature.
    Values,
    /// Of each feature its value, the event time of the newest thing in it and its status; then when it
    /// was known, and the last log entry that anything of the row came with.
    Provenance,
    /// `made_values`, `made_statuses` and `made_times`, each a list in the order of the features.
    Lists,
}

/// The value of one feature in SQL, empty where there is none, and its event time, 0 where it has none;
/// over the tables that `hearth_made` joins.
pub(super) struct Made {
    pub(super) value: String,
    pub(super) event_us: String,
}

impl Made {
    fn nothing() -> Self {
        Self { value: "CAST(NULL AS DOUBLE)".to_owned(), event_us: "0".to_owned() }
    }
}

/// The query of a question, in brackets: it stands where a table stands.
pub fn features_sql(question: &Question<'_>) -> String {
    let view = question.view;
    let mut windows = Windows::default();
    let mut registers = Registers::of(view.entity());
    let made: Vec<Made> = view
        .features()
        .iter()
        .map(|feature| match &feature.source {
            Source::Window { kind, aggregate, window, hour } => {
                windows.make((*kind, *window), *aggregate, utc_hour(view, *hour))
            }
            Source::Column { path, transform } => registers.make(path, transform),
            // Worked out when all else is there.
            Source::Expression(_) => Made::nothing(),
        })
        .collect();
    let known = question.known_at.map_or_else(|| "#3".to_owned(), |known| format!("({known})"));
    let mut sql = format!(
        "(WITH hearth_list AS MATERIALIZED (SELECT row_number() OVER () AS hearth_row, * FROM {}),\n\
         hearth_ask AS MATERIALIZED (SELECT hearth_row AS ask, CAST(#2 AS VARCHAR) AS entity, \
         epoch_us(CAST(#3 AS TIMESTAMP)) AS at_us, CAST({known} AS TIMESTAMP) AS known FROM hearth_list)",
        question.list
    );
    // Of all else no readings are kept; a window of it is empty.
    let has_readings =
        matches!(view.entity(), EntityKind::Device | EntityKind::Dwelling | EntityKind::Resident);
    if has_readings {
        readings::write(&mut sql, view.entity(), question.through, &windows);
        windows.write(&mut sql);
    }
    registers.write(&mut sql, question.through);
    write_made(&mut sql, view, &made, (&windows, &registers), has_readings);
    sql.push_str("\nSELECT l.* EXCLUDE (hearth_row)");
    give(&mut sql, question);
    sql.push_str(
        "\nFROM hearth_list AS l JOIN hearth_made AS v ON v.ask = l.hearth_row ORDER BY l.hearth_row)",
    );
    sql
}

/// An hour of the view's day as one of the UTC day.
fn utc_hour(view: &FeatureView, hour: Option<u8>) -> Option<u8> {
    let hour = i16::from(hour?) - i16::from(view.utc_offset_h());
    u8::try_from(hour.rem_euclid(24)).ok()
}

/// Adds `hearth_made`, a row of the list: of the feature at place n its value `v{n}`, empty where there is
/// none, its event time `t{n}`, and whether it is stale, `s{n}`.
fn write_made(
    sql: &mut String,
    view: &FeatureView,
    made: &[Made],
    (windows, registers): (&Windows, &Registers),
    has_readings: bool,
) {
    let heard = |words: &'static str| if has_readings { words } else { "" };
    // Writing into a string cannot fail.
    let _ = write!(
        sql,
        ",\nhearth_raw AS (SELECT a.ask, a.at_us, a.known, ({}{}) AS is_known, greatest({}{}) AS log_index",
        heard("w.ask IS NOT NULL OR "),
        registers.any_found(),
        heard("w.log_index, "),
        registers.indexes()
    );
    for (at, (feature, made)) in view.features().iter().zip(made).enumerate() {
        let is_kept = has_readings || !matches!(feature.source, Source::Window { .. });
        let (value, event_us) = if is_kept {
            (made.value.as_str(), made.event_us.as_str())
        } else {
            ("CAST(NULL AS DOUBLE)", "0")
        };
        let _ = write!(sql, ",\n{value} AS v{at}, {event_us} AS t{at}");
    }
    sql.push_str("\nFROM hearth_ask AS a");
    if has_readings {
        windows.join(sql);
    }
    registers.join(sql);
    sql.push_str("),\nhearth_read AS (SELECT ask, at_us, known, is_known, log_index");
    for (at, feature) in view.features().iter().enumerate() {
        let stale = feature.ttl_us.map_or_else(
            || "false".to_owned(),
            |ttl_us| format!("v{at} IS NOT NULL AND t{at} <> 0 AND at_us - t{at} > {ttl_us}"),
        );
        let _ = write!(
            sql,
            ",\nv{at}, CASE WHEN v{at} IS NULL THEN 0 ELSE t{at} END AS t{at}, {stale} AS s{at}"
        );
    }
    sql.push_str(" FROM hearth_raw)");
    let last = work_out(sql, view);
    let _ = write!(sql, ",\nhearth_made AS (FROM {last})");
}

/// The features that are arithmetic over others, one after the other: an input is what the vector shows of
/// it, narrowed as there, and is missing where its own value is. The name of the last table.
fn work_out(sql: &mut String, view: &FeatureView) -> String {
    let mut from = "hearth_read".to_owned();
    let place = |name: &str| view.features().iter().position(|each| each.name == name);
    for (at, feature) in view.features().iter().enumerate() {
        let Source::Expression(expression) = &feature.source else { continue };
        let inputs: Vec<usize> = expression.names().iter().filter_map(|name| place(name)).collect();
        let value = expression_sql(expression, |name| match place(name) {
            Some(input) => {
                format!(
                    "CASE WHEN is_known THEN CAST({} AS DOUBLE) END",
                    narrow(&format!("v{input}"))
                )
            }
            None => of_request(view, name),
        });
        let ttl = feature.ttl_us.map_or_else(
            || "false".to_owned(),
            |ttl_us| format!("(new_t <> 0 AND at_us - new_t > {ttl_us})"),
        );
        let stale: Vec<String> = inputs.iter().map(|input| format!("s{input}")).collect();
        let times: Vec<String> = inputs.iter().map(|input| format!("t{input}")).collect();
        // Writing into a string cannot fail.
        let _ = write!(
            sql,
            ",\nhearth_worked_{at} AS (SELECT * EXCLUDE (new_v, new_t) REPLACE (\
             CASE WHEN isfinite(TRY_CAST(new_v AS FLOAT)) THEN new_v END AS v{at}, \
             CASE WHEN isfinite(TRY_CAST(new_v AS FLOAT)) THEN new_t ELSE 0 END AS t{at}, \
             isfinite(TRY_CAST(new_v AS FLOAT)) AND ({} OR {ttl}) AS s{at}) \
             FROM (SELECT *, CASE WHEN is_known THEN {value} END AS new_v, greatest(0{}{}) AS new_t FROM {from}))",
            if stale.is_empty() { "false".to_owned() } else { stale.join(" OR ") },
            if times.is_empty() { "" } else { ", " },
            times.join(", ")
        );
        from = format!("hearth_worked_{at}");
    }
    from
}

/// Nobody sends values along with the past: the view's own stand in.
fn of_request(view: &FeatureView, name: &str) -> String {
    let wanted = name.strip_prefix("request.").unwrap_or(name);
    let found = view.request().iter().find(|value| value.name == wanted);
    found.and_then(|value| value.default).map_or_else(
        || "CAST(NULL AS DOUBLE)".to_owned(),
        |default| format!("CAST('{default:?}' AS DOUBLE)"),
    )
}

fn value_of(at: usize, feature: &FeatureDef) -> String {
    narrow(&format!("coalesce(v.v{at}, CAST('{:?}' AS DOUBLE))", feature.default))
}

/// The value as the online store narrows it: what is too large for the type is infinite there, and what is
/// empty stays so.
fn narrow(value: &str) -> String {
    format!(
        "coalesce(TRY_CAST({value} AS FLOAT), CAST(CASE WHEN {value} > 0 THEN 'inf' WHEN {value} < 0 THEN '-inf' END AS FLOAT))"
    )
}

/// One of four words or numbers.
fn status_of(at: usize, [present, default, stale, not_found]: [&str; 4]) -> String {
    format!(
        "CASE WHEN NOT v.is_known THEN {not_found} WHEN v.v{at} IS NULL THEN {default} \
         WHEN v.s{at} THEN {stale} ELSE {present} END"
    )
}

fn give(sql: &mut String, question: &Question<'_>) {
    let features = || question.view.features().iter().enumerate();
    let list = |of: &dyn Fn(usize, &FeatureDef) -> String| {
        features().map(|(at, feature)| of(at, feature)).collect::<Vec<_>>().join(",\n ")
    };
    // Writing into a string cannot fail.
    let _ = match question.give {
        Give::Values => features().try_for_each(|(at, feature)| {
            write!(sql, ",\n{} AS {}", value_of(at, feature), quoted(&feature.name))
        }),
        Give::Provenance => {
            let words = ["'present'", "'default'", "'stale'", "'not_found'"];
            for (at, feature) in features() {
                let _ = write!(
                    sql,
                    ",\n{} AS {}, make_timestamp(nullif(v.t{at}, 0)) AS {}, {} AS {}",
                    value_of(at, feature),
                    quoted(&feature.name),
                    quoted(&format!("{}_event_time", feature.name)),
                    status_of(at, words),
                    quoted(&format!("{}_status", feature.name))
                );
            }
            let view = text(question.view.name());
            write!(sql, ",\n{view} AS view, v.known AS known_at, v.log_index AS log_index")
        }
        Give::Lists => write!(
            sql,
            ",\n[{}] AS made_values,\nCAST([{}] AS TINYINT[]) AS made_statuses,\n\
             CAST([{}] AS BIGINT[]) AS made_times",
            list(&value_of),
            list(&|at, _| status_of(at, ["0", "1", "2", "3"])),
            list(&|at, _| format!("v.t{at}"))
        ),
    };
}
