//! The store against a plain recomputation from the readings, whatever the order they came in.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use features::window::{DAY_US, HOUR_US, MINUTE_US};
use features::{EntityKind, FeatureView, Kind, Landing, Reading, Store, Summary, Window, fixed};
use proptest::prelude::*;
use std::fmt::Write as _;

/// An hour's edge, so that small steps cross the edges of every hop.
const BASE_US: i64 = 1_800_000_000_000_000 - 1_800_000_000_000_000 % (6 * HOUR_US);
const KEYS: [&str; 2] = ["resident-1", "resident-2"];
const KINDS: [Kind; 3] = [Kind::Door, Kind::Respiration, Kind::Gas];
const ENTITY: EntityKind = EntityKind::Resident;

/// A store that keeps every window of what the tests send.
fn store() -> Store {
    let mut text = "name = 'all'\nentity = 'resident'\nversion = 1\n".to_owned();
    for kind in ["door", "respiration", "gas", "help", "any"] {
        let _ = write!(
            text,
            "[[feature]]\nname = '{kind}'\nkind = '{kind}'\naggregate = 'sum'\nwindow = '365d'\n"
        );
    }
    Store::serving([FeatureView::parse(&text).unwrap()].iter())
}

#[derive(Clone, Copy, Debug)]
struct Event {
    key: usize,
    kind: Kind,
    at_us: i64,
    value: f64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The log time moves on by so much.
    Advance(i64),
    /// An event at the log time plus so much.
    Record(usize, Kind, i64, f64),
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(1.0),
        (-40..200_i32).prop_map(f64::from),
        -1e3..1e3_f64,
        Just(1e9),
        Just(-1e9),
        Just(0.000_000_5)
    ]
}

/// A span of up to `most_us`, often one of whole minutes: edges matter most.
fn span(most_us: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        0..most_us,
        (0..most_us / MINUTE_US + 1).prop_map(|minutes| minutes * MINUTE_US),
        Just(0)
    ]
}

/// From 400 days late to six minutes ahead of the log.
fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => span(10 * MINUTE_US).prop_map(|late| -late),
        3 => span(2 * HOUR_US).prop_map(|late| -late),
        2 => span(2 * DAY_US).prop_map(|late| -late),
        2 => span(9 * DAY_US).prop_map(|late| -late),
        1 => span(400 * DAY_US).prop_map(|late| -late),
        2 => span(6 * MINUTE_US),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let advance = prop_oneof![
        4 => span(10 * MINUTE_US),
        2 => span(3 * HOUR_US),
        1 => span(2 * DAY_US),
        1 => span(40 * DAY_US),
    ];
    prop_oneof![
        1 => advance.prop_map(Step::Advance),
        3 => (0..KEYS.len(), prop::sample::select(&KINDS[..]), offset(), value())
            .prop_map(|(key, kind, offset, value)| Step::Record(key, kind, offset, value)),
    ]
}

/// The edge rule, written down a second time and without tiles.
fn recompute(
    events: &[Event],
    key: usize,
    kind: Option<Kind>,
    window: Window,
    as_of_us: i64,
) -> Summary {
    let (length_us, hop_us) = match window {
        Window::M5 => (5 * MINUTE_US, MINUTE_US),
        Window::M15 => (15 * MINUTE_US, 5 * MINUTE_US),
        Window::H1 => (HOUR_US, 5 * MINUTE_US),
        Window::H6 => (6 * HOUR_US, HOUR_US),
        Window::D1 => (DAY_US, HOUR_US),
        Window::D7 => (7 * DAY_US, 6 * HOUR_US),
        Window::D28 => (28 * DAY_US, DAY_US),
        Window::D90 => (90 * DAY_US, DAY_US),
        Window::D365 => (365 * DAY_US, 7 * DAY_US),
    };
    let start_us = (as_of_us - length_us).div_euclid(hop_us) * hop_us;
    let inside = events.iter().filter(|event| {
        event.key == key
            && kind.is_none_or(|kind| kind == event.kind)
            && (start_us..=as_of_us).contains(&event.at_us)
    });
    let readings: Vec<_> = inside
        .map(|event| Reading { at_us: event.at_us, value: fixed::to_micros(event.value).unwrap() })
        .collect();
    Summary {
        count: readings.len() as u64,
        sum: readings.iter().map(|reading| i128::from(reading.value)).sum(),
        min: readings.iter().map(|reading| reading.value).min().unwrap_or(0),
        max: readings.iter().map(|reading| reading.value).max().unwrap_or(0),
        last: readings.iter().max_by_key(|reading| (reading.at_us, reading.value)).copied(),
    }
}

fn check(store: &Store, events: &[Event], as_of_us: i64) -> Result<(), TestCaseError> {
    for (key, name) in KEYS.iter().enumerate() {
        let kinds = KINDS.iter().copied().map(Some).chain([None]);
        for (kind, window) in kinds.flat_map(|kind| Window::ALL.map(|window| (kind, window))) {
            let want = recompute(events, key, kind, window, as_of_us);
            let got = store.summary(ENTITY, name, kind, Some(window), as_of_us).unwrap_or_default();
            prop_assert_eq!(got, want, "{} {:?} {} at {}", name, kind, window, as_of_us);
        }
    }
    Ok(())
}

fn record(store: &mut Store, event: &Event) -> Landing {
    store.record(ENTITY, KEYS[event.key], event.kind, event.at_us, event.value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_window_is_what_the_readings_say(
        steps in prop::collection::vec(step(), 1..150),
        later in prop::collection::vec(span(380 * DAY_US), 1..4),
    ) {
        let mut store = store();
        store.advance(BASE_US);
        let mut events = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Step::Advance(by_us) => store.advance(store.now_us() + by_us),
                Step::Record(key, kind, offset_us, value) => {
                    let event = Event { key, kind, at_us: store.now_us() + offset_us, value };
                    prop_assert_ne!(record(&mut store, &event), Landing::Refused);
                    events.push(event);
                }
            }
            if at % 16 == 0 {
                check(&store, &events, store.now_us())?;
            }
        }
        for by_us in later {
            check(&store, &events, store.now_us() + by_us)?;
            check(&store, &events, store.now_us() + by_us % (6 * MINUTE_US))?;
        }
        for (key, name) in KEYS.iter().enumerate() {
            let life = store.summary(ENTITY, name, None, None, i64::MAX).unwrap_or_default();
            prop_assert_eq!(life.count, events.iter().filter(|event| event.key == key).count() as u64);
        }
    }

    #[test]
    fn the_order_of_arrival_leaves_no_trace(
        (events, shuffled) in prop::collection::vec(
            (0..KEYS.len(), prop::sample::select(&KINDS[..]), offset(), value()),
            1..120,
        )
        .prop_map(|all| {
            let event = |(key, kind, offset, value)| Event { key, kind, at_us: BASE_US + offset, value };
            all.into_iter().map(event).collect::<Vec<_>>()
        })
        .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        waits in prop::collection::vec(span(2 * HOUR_US), 0..20),
        snapshot_at in 0..120_usize,
    ) {
        // One learns of everything at the end; the other hears it mixed, while time passes, and is
        // restored from a snapshot on the way.
        let (mut whole, mut mixed) = (store(), store());
        for store in [&mut whole, &mut mixed] {
            // Slots follow first sight, and that the log decides.
            for key in 0..KEYS.len() {
                record(store, &Event { key, kind: Kind::Help, at_us: BASE_US, value: 0.0 });
            }
        }
        let mut now_us = BASE_US - 2 * DAY_US;
        for (at, event) in shuffled.iter().enumerate() {
            mixed.advance(now_us);
            now_us += waits.get(at).copied().unwrap_or(0);
            record(&mut mixed, event);
            if at == snapshot_at {
                let mut bytes = Vec::new();
                mixed.write(&mut bytes);
                mixed = Store::from_bytes(&bytes).unwrap();
            }
        }
        let end_us = now_us.max(BASE_US);
        mixed.advance(end_us);
        whole.advance(end_us);
        for event in &events {
            record(&mut whole, event);
        }
        prop_assert_eq!(whole.hash(), mixed.hash());
        check_same(&whole, &mixed, end_us)?;
    }

    #[test]
    fn a_store_leads_back_from_its_bytes(
        steps in prop::collection::vec(step(), 0..100),
        more in prop::collection::vec(step(), 0..50),
    ) {
        let mut store = store();
        store.advance(BASE_US);
        apply(&mut store, &steps);
        let mut bytes = Vec::new();
        store.write(&mut bytes);
        let mut restored = Store::from_bytes(&bytes).unwrap();
        let mut again = Vec::new();
        restored.write(&mut again);
        prop_assert_eq!(&again, &bytes);
        // What the restored store goes on with is the same, too.
        apply(&mut store, &more);
        apply(&mut restored, &more);
        prop_assert_eq!(store.hash(), restored.hash());
        check_same(&store, &restored, store.now_us() + 6 * MINUTE_US)?;
    }
}

fn apply(store: &mut Store, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Advance(by_us) => store.advance(store.now_us() + by_us),
            Step::Record(key, kind, offset_us, value) => {
                record(store, &Event { key, kind, at_us: store.now_us() + offset_us, value });
            }
        }
    }
}

fn check_same(left: &Store, right: &Store, as_of_us: i64) -> Result<(), TestCaseError> {
    for key in KEYS {
        let live = |store: &Store| store.current(ENTITY, key, as_of_us).collect::<Vec<_>>();
        prop_assert_eq!(live(left), live(right));
        for kind in KINDS {
            let life = |store: &Store| store.summary(ENTITY, key, Some(kind), None, as_of_us);
            prop_assert_eq!(life(left), life(right));
        }
    }
    Ok(())
}

/// Counts alone are counts, and take a third of the memory; what the readings were is known from when
/// somebody asks for it.
#[test]
fn where_only_counts_are_asked_for_nothing_else_is_kept() {
    let view = |aggregate: &str, version: u32| {
        let text = format!(
            "name = 'v'\nentity = 'device'\nversion = {version}\n[[feature]]\nname = 'n'\n\
             kind = 'respiration'\naggregate = '{aggregate}'\nwindow = '7d'\ndefault = -1\n"
        );
        FeatureView::parse(&text).unwrap()
    };
    let (counts, sums) = (view("count", 1), view("sum", 2));
    let mut counting = Store::serving([counts.clone()].iter());
    let mut summing = Store::serving([sums.clone()].iter());
    let reading = |step: i64| 12.0 + (step * 7_919 % 9_001) as f64 / 1e3;
    for step in 0..8 * 24 * 60 {
        for store in [&mut counting, &mut summing] {
            store.advance(BASE_US + step * MINUTE_US);
            store.record(EntityKind::Device, "d", Kind::Respiration, store.now_us(), reading(step));
        }
    }
    let tiles = |store: &Store| -> usize {
        store.series(EntityKind::Device, "d").map(|series| series.tile_bytes()).sum()
    };
    let (few, many) = (tiles(&counting), tiles(&summing));
    println!("{few} bytes of counts, {many} of values");
    assert!(few * 3 < many, "{few} of {many}");
    let read = |store: &Store, view: &FeatureView| {
        let vector = store.read(view, "d", store.now_us(), &());
        (vector.values[0], vector.statuses[0])
    };
    let (count, _) = read(&counting, &counts);
    assert_eq!(read(&summing, &counts).0.to_bits(), count.to_bits());
    assert!(count > 10_000.0);
    // A view that is not in force gets no sum made of nothing.
    assert_eq!(read(&counting, &sums), (-1.0, features::Status::Default));

    let mut bytes = Vec::new();
    counting.write(&mut bytes);
    let mut restored = Store::from_bytes(&bytes).unwrap();
    let sent: Vec<f64> = (0..90).map(|step| reading(step) + 1.0).collect();
    let begun_us = counting.now_us();
    for store in [&mut counting, &mut restored] {
        store.serve([counts.clone(), sums.clone()].iter());
        for (step, value) in sent.iter().enumerate() {
            store.advance(begun_us + (step as i64 + 1) * MINUTE_US);
            store.record(EntityKind::Device, "d", Kind::Respiration, store.now_us(), *value);
        }
    }
    assert_eq!(counting.hash(), restored.hash());
    assert_eq!(read(&counting, &sums).1, features::Status::Partial);
    let window = Some(Window::H1);
    let hour = counting.summary(EntityKind::Device, "d", None, window, counting.now_us());
    assert!(hour.is_none(), "nobody asks for every kind");
    let hour = |kind| counting.summary(EntityKind::Device, "d", Some(kind), window, 0).unwrap();
    let all = hour(Kind::Respiration);
    assert!(all.count >= 60 && all.min >= fixed::to_micros(13.0).unwrap(), "{all:?}");
}
