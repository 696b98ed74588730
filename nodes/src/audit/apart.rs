//! Which fields of an entry a row has otherwise than this node's memory.

use crate::state::Entry;
use serde_json::Value;

/// Fields that are named.
const NAMED_MAX: usize = 5;

/// In words; empty where both are the same.
pub(super) fn apart(row: &Entry, memory: &Entry) -> String {
    let mut fields = Vec::new();
    for (row, memory) in parts(row).iter().zip(&parts(memory)) {
        walk("", row, memory, &mut fields);
    }
    for (name, row, memory) in [
        ("previous_hash", row.previous_hash, memory.previous_hash),
        ("hash", row.hash, memory.hash),
    ] {
        if row != memory {
            fields.push(name.to_owned());
        }
    }
    let more = if fields.len() > NAMED_MAX { " and others" } else { "" };
    fields.truncate(NAMED_MAX);
    format!("{}{more}", fields.join(", "))
}

/// Its place in the chain, and what it says.
fn parts(entry: &Entry) -> [Value; 2] {
    let mut place = serde_json::from_str(&entry.text()).unwrap_or(Value::Null);
    let what = place.get_mut("what").and_then(|what| what.get_mut(entry.kind()));
    let what = what.map(Value::take).unwrap_or_default();
    [place, what]
}

fn walk(path: &str, row: &Value, memory: &Value, fields: &mut Vec<String>) {
    match (row, memory) {
        (Value::Object(row), Value::Object(memory)) if row.keys().eq(memory.keys()) => {
            for (name, value) in row {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, value, &memory[name], fields);
            }
        }
        (Value::Array(row), Value::Array(memory)) if row.len() == memory.len() => {
            for (at, (row, memory)) in row.iter().zip(memory).enumerate() {
                walk(&format!("{path}[{at}]"), row, memory, fields);
            }
        }
        _ if row != memory => fields.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::DecisionRecord;
    use crate::state::ledger::{Reading, What, ZERO};

    fn entry(edit: impl FnOnce(&mut DecisionRecord)) -> Entry {
        let reading = |value: f32| Reading {
            feature: "age".to_owned(),
            value,
            event_time_us: 1,
            status: "given".to_owned(),
        };
        let mut record =
            DecisionRecord { features: vec![reading(1.0), reading(2.0)], ..Default::default() };
        edit(&mut record);
        let what = What::Decision(Box::new(record));
        Entry { seq: 1, at_us: 2, term: 3, log_index: 4, what, previous_hash: ZERO, hash: ZERO }
    }

    #[test]
    fn changed_fields_are_named() {
        let whole = entry(|_| {});
        assert_eq!(apart(&whole, &whole), "");
        assert_eq!(apart(&entry(|record| record.outcome = "x".to_owned()), &whole), "outcome");
        let several = entry(|record| {
            record.score = 1e-9;
            record.features[1].value = f32::NAN;
        });
        let named = apart(&several, &whole);
        let mut named: Vec<&str> = named.split(", ").collect();
        named.sort_unstable();
        assert_eq!(named, ["features[1].value", "score"]);
        let shorter = Entry { at_us: 3, hash: [1; 32], ..entry(|record| record.features.clear()) };
        assert_eq!(apart(&shorter, &whole), "at_us, features, hash");
    }
}
