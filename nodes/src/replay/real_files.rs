//! The mapping files that come with the product, against the files they were made for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use features::event::Event;

use super::{Mapping, Reader, builtin};
use crate::real_data::real;

/// A time after every file's.
const NOW_US: i64 = 1_767_196_800_000_000;

fn read(path: &Path, mapping: &str) -> Vec<Event> {
    let mapping = Mapping::parse(builtin(mapping).unwrap()).unwrap();
    let events: Result<Vec<_>, _> = Reader::open(path, &mapping).unwrap().collect();
    let events = events.unwrap();
    for event in &events {
        if let Err(error) = event.check(NOW_US) {
            panic!("{error}: {event:?}");
        }
    }
    let ids: BTreeSet<_> = events.iter().map(|each| (&each.source, &each.event_id)).collect();
    assert_eq!(ids.len(), events.len());
    events
}

/// Openings a day (UTC) straight from the file's columns.
fn doors_of_file(path: &Path, doors: &[&str]) -> BTreeMap<i64, usize> {
    let mut days = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        if doors.contains(&cells[2]) {
            *days.entry(cells[0].parse::<i64>().unwrap() / 86_400).or_default() += 1;
        }
    }
    days
}

fn doors_of_events(events: &[Event]) -> BTreeMap<i64, usize> {
    let mut days = BTreeMap::new();
    for event in events.iter().filter(|each| each.kind == "door") {
        *days.entry(event.event_time_us / 86_400_000_000).or_default() += 1;
    }
    days
}

#[test]
fn house_b_is_whole_and_its_doors_are_the_files() {
    let Some(path) = real("kasteren/houseB.sensors") else { return };
    let events = read(&path, "kasteren-houseB");
    assert_eq!(events.len(), 19_075);
    assert_eq!(doors_of_events(&events), doors_of_file(&path, &["4", "7"]));
    assert_eq!(events[0].attributes["place"], "toilet door");
    assert_eq!(events[1].attributes["duration_s"], "1436");
    assert_eq!(read(&path, "kasteren-houseB"), events);
}

#[test]
fn house_a_is_whole_and_its_doors_are_the_files() {
    let Some(path) = real("kasteren/houseA.sensors") else { return };
    let events = read(&path, "kasteren-houseA");
    assert_eq!(events.len(), 1_229);
    assert_eq!(doors_of_events(&events), doors_of_file(&path, &["12"]));
}

#[test]
fn the_densely_fitted_flat_gives_its_motion_and_its_switches() {
    let mut motion = 0;
    for day in ["mavpad/1-12-2005.data.gz", "mavpad/1-13-2005.data.gz"] {
        let Some(path) = real(day) else { return };
        let events = read(&path, "mavpad");
        motion += events.iter().filter(|each| each.kind == "motion").count();
        assert!(events.iter().all(|each| each.kind != "motion" || each.value > 0.99));
        assert!(events.iter().any(|each| each.kind == "contact"));
    }
    assert_eq!(motion, 1_597);
}

#[test]
fn the_worn_sensor_gives_every_row_and_its_label() {
    let Some(path) = real("bed_exit/S1.csv.gz") else { return };
    let events = read(&path, "bed_exit");
    assert_eq!(events.len(), 52_482);
    let devices: BTreeSet<_> = events.iter().map(|each| &each.device_id).collect();
    assert_eq!(devices.len(), 60);
    assert_eq!(events.iter().filter(|each| each.value > 0.5).count(), 15_162 + 30_983);
}

/// The two blocks of the documentation's example, in the order in which they stand there.
#[test]
fn the_documented_example_works() {
    let page = include_str!("../../../docs/replay-mapping.md");
    let example = page.split_once("## An example").unwrap().1;
    let mut blocks = example.split("```").skip(1).step_by(2);
    let rows = blocks.next().unwrap().trim_start().to_owned();
    let mapping = Mapping::parse(blocks.next().unwrap().strip_prefix("toml").unwrap()).unwrap();
    let events: Vec<Event> = Reader::new(std::io::Cursor::new(rows), "export.csv", &mapping)
        .map(Result::unwrap)
        .collect();
    let said: Vec<_> = events.iter().map(|each| (each.kind.as_str(), each.value)).collect();
    assert_eq!(said, [("motion", 1.0), ("bed", 1.0), ("bed", 0.0), ("temperature", 21.5)]);
    assert_eq!(events[2].event_time_us - events[1].event_time_us, 5_400_000_000);
    assert_eq!(
        (events[0].event_id.as_str(), events[0].event_time_us),
        ("export.csv:3.1", 1_105_525_507_000_000)
    );
    for event in &events {
        event.check(NOW_US).unwrap();
    }
}
