//! Sensor Measurement Lists, RFC 8428, as events.
//!
//! A record's name ends in a kind (`urn:dev:ow:10e2073a:temperature`, `home7/hall/motion`); what stands
//! before it is the device. Where it does not, the unit says the kind, and all of the name is the device.

use super::payload::Read;
use crate::replay::{content_id, minute};
use features::{Event, Kind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Records in one pack.
const RECORDS_MAX: usize = 10_000;
/// Times below are relative to now, RFC 8428 section 4.5.3.
const ABSOLUTE_FROM_S: f64 = 268_435_456.0;

/// The units of RFC 8428 and RFC 8798 that measure what a kind is about.
const KIND_OF_UNIT: &[(&str, Kind)] = &[
    ("Cel", Kind::Temperature),
    ("%RH", Kind::Humidity),
    ("lx", Kind::Light),
    ("Pa", Kind::Pressure),
    ("beat/min", Kind::HeartRate),
    ("%EL", Kind::Battery),
];

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(default)]
    bn: Option<String>,
    #[serde(default)]
    bt: Option<f64>,
    #[serde(default)]
    bu: Option<String>,
    #[serde(default)]
    bv: Option<f64>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    u: Option<String>,
    #[serde(default)]
    v: Option<f64>,
    #[serde(default)]
    vb: Option<bool>,
    #[serde(default)]
    t: f64,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Default)]
struct Base {
    name: String,
    time: f64,
    unit: String,
    value: f64,
}

/// The events of a pack, each for itself.
pub(crate) fn read(
    text: &str,
    topic: &str,
    source: &str,
    now_us: i64,
) -> Result<Vec<Read>, String> {
    let records: Vec<Record> =
        serde_json::from_str(text).map_err(|error| format!("not SenML: {error}"))?;
    if records.is_empty() || records.len() > RECORDS_MAX {
        return Err(format!("a SenML pack has 1 to {RECORDS_MAX} records"));
    }
    let mut base = Base::default();
    let mut read = Vec::with_capacity(records.len());
    for record in records {
        if let Some(name) = &record.bn {
            base.name.clone_from(name);
        }
        if let Some(unit) = &record.bu {
            base.unit.clone_from(unit);
        }
        base.time = record.bt.unwrap_or(base.time);
        base.value = record.bv.unwrap_or(base.value);
        let told = record.v.is_some() || record.vb.is_some();
        let has_other_value = ["vs", "vd", "s"].iter().any(|key| record.others.contains_key(*key));
        if !told && !has_other_value {
            // Base values alone.
            continue;
        }
        let text = format!("{record:?}");
        read.push(event(&record, &base, (topic, source), now_us).map_err(|reason| (reason, text)));
    }
    Ok(read)
}

fn event(
    record: &Record,
    base: &Base,
    (topic, source): (&str, &str),
    now_us: i64,
) -> Result<Event, String> {
    if let Some(key) = record.others.keys().find(|key| key.ends_with('_')) {
        return Err(format!("the record needs {key:?} to be understood, and it is not"));
    }
    let value = match (record.v, record.vb) {
        (Some(value), _) => base.value + value,
        (None, Some(truth)) => f64::from(u8::from(truth)),
        (None, None) => return Err("only v and vb are taken: send a number or a truth".to_owned()),
    };
    let name = format!("{}{}", base.name, record.n);
    let unit = record.u.clone().unwrap_or_else(|| base.unit.clone());
    let (device, kind) = device_and_kind(&name, &unit).ok_or_else(|| {
        format!("{name:?} ends in no kind, and the unit {unit:?} does not say one")
    })?;
    let seconds = base.time + record.t;
    let is_absolute = seconds >= ABSOLUTE_FROM_S;
    let event_time_us =
        if is_absolute { 0 } else { now_us }.saturating_add((seconds * 1e6).round() as i64);
    // A time that is relative to its receipt is another one when the message comes again.
    let when = if is_absolute { event_time_us } else { minute(event_time_us) };
    let number = format!("{when}:{}", value.to_bits());
    Ok(Event {
        event_id: content_id(&[source, topic, &name, &number]),
        device_id: device,
        kind: kind.as_str().to_owned(),
        event_time_us,
        value,
        unit,
        source: source.to_owned(),
        ..Event::default()
    })
}

fn device_and_kind(name: &str, unit: &str) -> Option<(String, Kind)> {
    if let Some((device, last)) = name.rsplit_once([':', '/'])
        && let Ok(kind) = last.parse::<Kind>()
        && !device.is_empty()
    {
        return Some((device.to_owned(), kind));
    }
    let known = KIND_OF_UNIT.iter().find(|(known, _)| *known == unit);
    known.map(|(_, kind)| (name.trim_end_matches([':', '/']).to_owned(), *kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn events(text: &str) -> Vec<Read> {
        read(text, "t", "s", NOW_US).unwrap()
    }

    #[test]
    fn base_values_carry_on() {
        let pack = r#"[{"bn":"urn:dev:ow:10e2073a:","bt":1.78e9,"bu":"Cel","bv":20},
            {"n":"temperature","v":3.5},{"n":"humidity","u":"%RH","v":-1,"t":-5},
            {"bn":"home7/hall/","n":"motion","vb":true,"bt":0,"t":-2}]"#;
        let events: Vec<Event> = events(pack).into_iter().map(Result::unwrap).collect();
        let seen: Vec<_> = events
            .iter()
            .map(|e| (e.device_id.as_str(), e.kind.as_str(), e.value, e.event_time_us))
            .collect();
        let at = 1_780_000_000_000_000;
        assert_eq!(
            seen,
            [
                ("urn:dev:ow:10e2073a", "temperature", 23.5, at),
                ("urn:dev:ow:10e2073a", "humidity", 19.0, at - 5_000_000),
                ("home7/hall", "motion", 1.0, NOW_US - 2_000_000),
            ]
        );
        assert_eq!(events[0].unit, "Cel");
    }

    #[test]
    fn a_repeat_has_the_same_ids_and_the_unit_may_say_the_kind() {
        let pack = r#"[{"n":"urn:dev:x","u":"lx","v":7,"t":1780000000}]"#;
        let first = events(pack)[0].clone().unwrap();
        assert_eq!((first.device_id.as_str(), first.kind.as_str()), ("urn:dev:x", "light"));
        let later = read(pack, "t", "s", NOW_US + 60_000_000).unwrap();
        assert_eq!(later[0].clone().unwrap().event_id, first.event_id);
        let other = read(pack, "t2", "s", NOW_US).unwrap();
        assert_ne!(other[0].clone().unwrap().event_id, first.event_id);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let said = |record: &str| events(&format!("[{record}]"))[0].clone().unwrap_err().0;
        assert!(said(r#"{"n":"a:b","v":1}"#).contains("no kind"));
        assert!(said(r#"{"n":"a:gas","vs":"x"}"#).contains("v and vb"));
        assert!(said(r#"{"n":"a:gas","v":1,"new_":2}"#).contains("new_"));
        assert!(read("[]", "t", "s", NOW_US).is_err());
        assert!(read("[3]", "t", "s", NOW_US).unwrap_err().contains("SenML"));
    }
}
