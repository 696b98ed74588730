//! The whole query: the caller's list, what was heard of its entities, what the registers said, and one
//! value a feature.

use std::fmt::Write as _;

use features::{EntityKind, FeatureDef, FeatureView, Source};

use super::{quoted, readings, registers::Registers, text, windows::Windows};

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

/// The value of one feature in SQL, empty where there is none, and its event time, 0 where it has none.
pub(super) struct Made {
    pub(super) value: String,
    pub(super) event_us: String,
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
            Source::Window { kind, aggregate, window } => windows.make(*kind, *aggregate, *window),
            Source::Column { path, transform } => registers.make(path, transform),
        })
        .collect();
    let known = question.known_at.map_or_else(|| "#3".to_owned(), |known| format!("({known})"));
    let mut sql = format!(
        "(WITH hearth_list AS MATERIALIZED (SELECT row_number() OVER () AS hearth_row, * FROM {}),\n\
         hearth_ask AS MATERIALIZED (SELECT hearth_row AS ask, CAST(#2 AS VARCHAR) AS entity, \
         epoch_us(CAST(#3 AS TIMESTAMP)) AS at_us, CAST({known} AS TIMESTAMP) AS known FROM hearth_list)",
        question.list
    );
    let has_readings = matches!(view.entity(), EntityKind::Device | EntityKind::Resident);
    if has_readings {
        readings::write(&mut sql, view.entity(), question.through, &windows);
        windows.write(&mut sql);
    }
    registers.write(&mut sql, question.through);
    let known_entity = if has_readings {
        format!("(w.ask IS NOT NULL OR {})", registers.any_found())
    } else {
        registers.any_found()
    };
    // A column without a table's name would be taken from the list where that has one of the name.
    let _ = write!(sql, "\nSELECT l.* EXCLUDE (hearth_row)");
    let parts: Vec<Parts> = view
        .features()
        .iter()
        .zip(&made)
        .map(|(feature, made)| Parts::of(feature, made, &known_entity, has_readings))
        .collect();
    give(&mut sql, question, &parts, &registers, has_readings);
    sql.push_str("\nFROM hearth_list AS l JOIN hearth_ask AS a ON a.ask = l.hearth_row");
    if has_readings {
        sql.push_str(" LEFT JOIN hearth_wide AS w ON w.ask = l.hearth_row");
    }
    registers.join(&mut sql);
    sql.push_str("\nORDER BY l.hearth_row)");
    sql
}

/// One feature's columns.
struct Parts {
    name: String,
    value: String,
    status: String,
    event_us: String,
}

impl Parts {
    fn of(feature: &FeatureDef, made: &Made, known_entity: &str, has_readings: bool) -> Self {
        // Readings are kept of devices and residents only; a window of anything else is empty.
        let is_kept = has_readings || matches!(feature.source, Source::Column { .. });
        let (value, event_us) = if is_kept {
            (made.value.as_str(), made.event_us.as_str())
        } else {
            ("CAST(NULL AS DOUBLE)", "0")
        };
        let default = format!("CAST('{:?}' AS DOUBLE)", feature.default);
        let present = match feature.ttl_us {
            Some(ttl_us) => format!(
                "CASE WHEN {event_us} <> 0 AND a.at_us - {event_us} > {ttl_us} THEN 'stale' ELSE 'present' END"
            ),
            None => "'present'".to_owned(),
        };
        Self {
            name: feature.name.clone(),
            value: to_float(&format!("coalesce({value}, {default})")),
            status: format!(
                "CASE WHEN NOT {known_entity} THEN 'not_found' WHEN {value} IS NULL THEN 'default' ELSE {present} END"
            ),
            event_us: format!("CASE WHEN {value} IS NULL THEN 0 ELSE {event_us} END"),
        }
    }
}

/// As the online store narrows: what is too large for the type is infinite there.
fn to_float(value: &str) -> String {
    format!(
        "coalesce(TRY_CAST({value} AS FLOAT), CAST(CASE WHEN {value} > 0 THEN 'inf' ELSE '-inf' END AS FLOAT))"
    )
}

fn give(
    sql: &mut String,
    question: &Question<'_>,
    parts: &[Parts],
    registers: &Registers,
    has_readings: bool,
) {
    let list = |of: fn(&Parts) -> &str| parts.iter().map(of).collect::<Vec<_>>().join(",\n ");
    // A list of texts would be most of what is sent: the place of each in `Status` stands for it.
    let code = "list_position(['present', 'default', 'stale', 'not_found'], each)";
    // Writing into a string cannot fail.
    let _ = match question.give {
        Give::Values => parts
            .iter()
            .try_for_each(|part| write!(sql, ",\n{} AS {}", part.value, quoted(&part.name))),
        Give::Provenance => {
            for part in parts {
                let (status, time) =
                    (format!("{}_status", part.name), format!("{}_event_time", part.name));
                let _ = write!(
                    sql,
                    ",\n{} AS {}, make_timestamp(nullif({}, 0)) AS {}, {} AS {}",
                    part.value,
                    quoted(&part.name),
                    part.event_us,
                    quoted(&time),
                    part.status,
                    quoted(&status)
                );
            }
            let heard = if has_readings { "w.log_index, " } else { "" };
            write!(
                sql,
                ",\n{} AS view, a.known AS known_at, greatest({heard}{}) AS log_index",
                text(question.view.name()),
                registers.indexes()
            )
        }
        Give::Lists => write!(
            sql,
            ",\n[{}] AS made_values,\nlist_transform([{}], lambda each: CAST({code} - 1 AS TINYINT)) AS made_statuses,\n\
             CAST([{}] AS BIGINT[]) AS made_times",
            list(|part| &part.value),
            list(|part| &part.status),
            list(|part| &part.event_us)
        ),
    };
}
