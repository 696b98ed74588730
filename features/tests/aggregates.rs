//! Every aggregate over every window, through a view, against a plain recomputation from the readings:
//! shuffled, late, early, twice, and with views that come and go.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use features::window::{DAY_US, HOUR_US, MINUTE_US};
use features::{Aggregate, EntityKind, FeatureView, Kind, Source, Status, Store, Window, fixed};
use proptest::prelude::*;

/// Not a whole minute, so that edges are met on purpose only.
const BASE_US: i64 = 1_800_000_000_000_000 + 12_345_678;
const KINDS: [Kind; 2] = [Kind::Respiration, Kind::Door];
const KEY: &str = "r";
const ENTITY: EntityKind = EntityKind::Resident;
/// Beijing's.
const OFFSET_H: i64 = 8;

#[derive(Clone, Copy, Debug)]
struct Event {
    kind: Kind,
    at_us: i64,
    value: f64,
}

/// Every aggregate over every window that it fits, of one kind or of all.
fn view(kind: &str, windows: &[Window]) -> FeatureView {
    let mut text = format!(
        "name = 'all_{kind}'\nentity = 'resident'\nversion = 1\nutc_offset_h = {OFFSET_H}\n"
    );
    for aggregate in Aggregate::ALL {
        for window in windows.iter().filter(|window| aggregate.fits(**window)) {
            let hour = if aggregate.wants_hour() { "\nhour = 7" } else { "" };
            let _ = write!(
                text,
                "[[feature]]\nname = '{aggregate}_{window}'\nkind = '{kind}'\naggregate = '{aggregate}'\n\
                 window = '{window}'\ndefault = -77{hour}\n"
            );
        }
    }
    FeatureView::parse(&text).unwrap()
}

fn views() -> Vec<FeatureView> {
    ["respiration", "door", "any"].map(|kind| view(kind, &Window::ALL)).into()
}

/// What a feature says of these readings, computed from the words of `docs/features.md`.
fn recompute(events: &[Event], aggregate: Aggregate, window: Window, as_of_us: i64) -> Option<f64> {
    let start_us = (as_of_us - window.length_us()).div_euclid(window.hop_us()) * window.hop_us();
    let mut inside: Vec<(i64, i64)> = events
        .iter()
        .filter(|event| (start_us..=as_of_us).contains(&event.at_us))
        .map(|event| (event.at_us, fixed::to_micros(event.value).unwrap()))
        .collect();
    inside.sort_unstable();
    let count = inside.len() as i128;
    let values = || inside.iter().map(|(_, value)| i128::from(*value));
    let sum: i128 = values().sum();
    let one = |value: i64| value as f64 / 1e6;
    match aggregate {
        Aggregate::Count => Some(count as f64),
        Aggregate::Sum => Some(sum as f64 / 1e6),
        Aggregate::RatePerH => Some(count as f64 * 3.6e9 / (as_of_us - start_us) as f64),
        Aggregate::Distinct => Some(values().collect::<BTreeSet<_>>().len() as f64),
        _ if inside.is_empty() && !matches!(aggregate, Aggregate::HourMean | Aggregate::HourZ) => {
            None
        }
        Aggregate::Mean => Some(sum as f64 / 1e6 / count as f64),
        Aggregate::Min => values().min().map(|value| one(value as i64)),
        Aggregate::Max => values().max().map(|value| one(value as i64)),
        Aggregate::First => Some(one(inside[0].1)),
        Aggregate::Last => inside.last().map(|(_, value)| one(*value)),
        Aggregate::TimeSinceS => inside.last().map(|(at_us, _)| (as_of_us - at_us) as f64 / 1e6),
        Aggregate::Variance | Aggregate::Std => {
            let squares: i128 = values().map(|value| value * value).sum();
            let variance =
                (count * squares - sum * sum) as f64 / (count * (count - 1)) as f64 / 1e12;
            let said = if aggregate == Aggregate::Std { variance.sqrt() } else { variance };
            (count > 1).then_some(said)
        }
        Aggregate::GapMaxS => {
            let slot_us = window.slot_s() * 1_000_000;
            let slots: BTreeSet<i64> =
                inside.iter().map(|(at_us, _)| at_us.div_euclid(slot_us)).collect();
            let slots: Vec<i64> = slots.into_iter().collect();
            let gap = slots.windows(2).map(|pair| pair[1] - pair[0]).max();
            gap.map(|gap| (gap * window.slot_s()) as f64)
        }
        Aggregate::HourShare => {
            let local = |at_us: &i64| (at_us + OFFSET_H * HOUR_US).rem_euclid(DAY_US) / HOUR_US;
            let of = inside.iter().filter(|(at_us, _)| local(at_us) == 7).count();
            Some(of as f64 / count as f64)
        }
        Aggregate::HourMean | Aggregate::HourZ => hour(&inside, aggregate, start_us, as_of_us),
        Aggregate::TrendPerDay => {
            let times = || inside.iter().map(|(at_us, _)| i128::from(at_us.div_euclid(1_000_000)));
            let base = times().next()?;
            let times = || times().map(|time| time - base);
            let total: i128 = times().sum();
            let over = count
                * times().zip(values()).map(|(time, value)| time * value).sum::<i128>()
                - total * sum;
            let under = count * times().map(|time| time * time).sum::<i128>() - total * total;
            (under > 0).then(|| over as f64 / under as f64 * 86_400.0 / 1e6)
        }
    }
}

/// The last whole hour beside the same hour on the days before.
fn hour(inside: &[(i64, i64)], aggregate: Aggregate, start_us: i64, as_of_us: i64) -> Option<f64> {
    let hour_us = as_of_us.div_euclid(HOUR_US) * HOUR_US - HOUR_US;
    let counted = |from_us: i64| {
        inside.iter().filter(|(at_us, _)| (from_us..from_us + HOUR_US).contains(at_us)).count()
            as i128
    };
    let mut days: Vec<i128> = Vec::new();
    let mut from_us = hour_us - DAY_US;
    // The first day that has any reading, and of which the window holds this hour.
    let day = |at_us: i64| at_us.div_euclid(DAY_US);
    let held: Vec<i64> = inside
        .iter()
        .map(|(at_us, _)| day(*at_us))
        .filter(|each| each * DAY_US + hour_us.rem_euclid(DAY_US) >= start_us)
        .collect();
    let first = held.into_iter().min()?;
    while day(from_us) >= first {
        days.push(counted(from_us));
        from_us -= DAY_US;
    }
    let n = days.len() as i128;
    let sum: i128 = days.iter().sum();
    if n == 0 {
        return None;
    }
    let mean = sum as f64 / n as f64;
    if aggregate == Aggregate::HourMean {
        return Some(mean);
    }
    let spread = n * days.iter().map(|count| count * count).sum::<i128>() - sum * sum;
    let now = counted(hour_us);
    match n {
        1 => None,
        _ if spread == 0 => (now * n == sum).then_some(0.0),
        _ => Some((now as f64 - mean) / (spread as f64 / (n * (n - 1)) as f64).sqrt()),
    }
}

/// The events of a feature's kind.
fn of_kind(events: &[Event], kind: Option<Kind>) -> Vec<Event> {
    events.iter().filter(|event| kind.is_none_or(|kind| kind == event.kind)).copied().collect()
}

/// Every value that is not said to be partial is the one recomputed; says how many those are.
fn check(
    store: &Store,
    views: &[FeatureView],
    events: &[Event],
    as_of_us: i64,
) -> Result<usize, TestCaseError> {
    let mut whole = 0;
    for view in views {
        let vector = store.read(view, KEY, as_of_us, &());
        for (at, feature) in view.features().iter().enumerate() {
            let Source::Window { kind, aggregate, window: Some(window), .. } = feature.source
            else {
                continue;
            };
            if vector.statuses[at] == Status::Partial {
                continue;
            }
            whole += 1;
            let own = of_kind(events, kind);
            // A sensor that was silent since a view asked for it is as one that never spoke.
            let since_us = store.since_us(view)[at].min(as_of_us - window.length_us());
            let spoke = own.iter().any(|event| (since_us..=as_of_us).contains(&event.at_us))
                || vector.statuses[at] == Status::Present;
            let want = recompute(&own, aggregate, window, as_of_us).filter(|_| spoke);
            let status = if want.is_some() { Status::Present } else { Status::Default };
            let want = want.unwrap_or(-77.0) as f32;
            let got = (vector.values[at].to_bits(), vector.statuses[at]);
            prop_assert_eq!(
                got,
                (want.to_bits(), status),
                "{} {} at {}: {} is not {}",
                view.name(),
                &feature.name,
                as_of_us,
                vector.values[at],
                want
            );
        }
    }
    Ok(whole)
}

fn span(most_us: i64) -> impl Strategy<Value = i64> {
    prop_oneof![0..most_us, (0..most_us / MINUTE_US + 1).prop_map(|minutes| minutes * MINUTE_US)]
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => span(10 * MINUTE_US).prop_map(|late| -late),
        3 => span(2 * HOUR_US).prop_map(|late| -late),
        3 => span(3 * DAY_US).prop_map(|late| -late),
        3 => span(40 * DAY_US).prop_map(|late| -late),
        1 => span(400 * DAY_US).prop_map(|late| -late),
        1 => span(5 * MINUTE_US),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let value = prop_oneof![Just(1.0), (10..40_i32).prop_map(f64::from), -1e3..1e3_f64, Just(1e9)];
    (prop::sample::select(&KINDS[..]), offset(), value).prop_map(|(kind, offset, value)| Event {
        kind,
        at_us: BASE_US + offset,
        value,
    })
}

fn record(store: &mut Store, event: &Event) {
    store.record(ENTITY, KEY, event.kind, event.at_us, event.value);
}

fn restored(store: &Store) -> Store {
    let mut bytes = Vec::new();
    store.write(&mut bytes);
    Store::from_bytes(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_aggregate_is_what_the_readings_say(
        (events, shuffled) in prop::collection::vec(event(), 1..60)
            // Some come twice: who counts them once is the log, not the windows.
            .prop_map(|all| all.iter().chain(all.iter().step_by(7)).copied().collect::<Vec<_>>())
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        waits in prop::collection::vec(span(3 * HOUR_US), 60..90),
        later in prop::collection::vec(span(380 * DAY_US), 1..3),
    ) {
        let views = views();
        let (mut whole, mut mixed) =
            (Store::serving(views.iter()), Store::serving(views.iter()));
        let mut now_us = BASE_US - 2 * DAY_US;
        for (at, event) in shuffled.iter().enumerate() {
            mixed.advance(now_us);
            now_us += waits.get(at).copied().unwrap_or(0);
            record(&mut mixed, event);
            if at % 16 == 9 {
                mixed = restored(&mixed);
            }
        }
        let end_us = now_us.max(BASE_US);
        mixed.advance(end_us);
        whole.advance(end_us);
        for event in &events {
            record(&mut whole, event);
        }
        prop_assert_eq!(whole.hash(), mixed.hash());
        check(&mixed, &views, &events, end_us)?;
        for by_us in later {
            check(&whole, &views, &events, end_us + by_us % (6 * MINUTE_US))?;
            check(&mixed, &views, &events, end_us + by_us)?;
        }
    }

    /// Two replicas, one of which compacts whenever it can: views come, go and come back, and both hold
    /// the same; nothing that is not said to be partial lacks a reading.
    #[test]
    fn views_come_and_go_and_nothing_is_made_up(
        steps in prop::collection::vec((0..4_usize, span(3 * DAY_US), event(), span(9 * DAY_US)), 20..60),
    ) {
        let all = views();
        let short = [view("respiration", &[Window::H1, Window::D7]), view("any", &[Window::D28])];
        let sets: [Vec<&FeatureView>; 4] = [
            all.iter().collect(),
            short.iter().collect(),
            all[..1].iter().collect(),
            Vec::new(),
        ];
        let mut eager = Store::serving(short.iter());
        eager.advance(BASE_US);
        let mut lazy = eager.clone();
        let mut events: Vec<Event> = Vec::new();
        let mut now_us = BASE_US;
        for (at, (set, wait_us, event, late_us)) in steps.iter().enumerate() {
            let event = Event { at_us: now_us - late_us, ..*event };
            events.push(event);
            for store in [&mut eager, &mut lazy] {
                record(store, &event);
                if at % 5 == 0 {
                    store.serve(sets[*set].iter().copied());
                }
            }
            eager = restored(&eager);
            prop_assert_eq!(eager.hash(), lazy.hash(), "step {}", at);
            check_same(&eager, &lazy, &all, now_us);
            now_us += wait_us;
            for store in [&mut eager, &mut lazy] {
                store.advance(now_us);
            }
        }
        for store in [&mut eager, &mut lazy] {
            store.serve(all.iter());
        }
        check(&lazy, &all, &known(&events, now_us), now_us)?;
    }
}

/// Readings whose time had not come when they were taken in are left out of the check: there are none.
fn known(events: &[Event], now_us: i64) -> Vec<Event> {
    events.iter().filter(|event| event.at_us <= now_us).copied().collect()
}

fn check_same(left: &Store, right: &Store, views: &[FeatureView], as_of_us: i64) {
    for view in views {
        let bits = |store: &Store| {
            let vector = store.read(view, KEY, as_of_us, &());
            let bits: Vec<u32> = vector.values.iter().map(|value| value.to_bits()).collect();
            (bits, vector.statuses, vector.event_times_us)
        };
        assert_eq!(bits(left), bits(right));
    }
}

/// A new demand begins at the entry that brings it, says so, and is whole once its window has passed.
#[test]
fn what_is_asked_for_anew_is_partial_until_its_window_has_passed() {
    let old = "name = 'old'\nentity = 'resident'\nversion = 1\n[[feature]]\n\
               name = 'n'\nkind = 'respiration'\naggregate = 'sum'\nwindow = '7d'";
    let old = FeatureView::parse(old).unwrap();
    let new = view("respiration", &[Window::D28]);
    let mut store = Store::serving([old.clone()].iter());
    let mut events = Vec::new();
    let mut statuses: BTreeMap<i64, usize> = BTreeMap::new();
    for hour in 0..24 * 45 {
        let now_us = BASE_US + hour * HOUR_US;
        store.advance(now_us);
        let event = Event { kind: Kind::Respiration, at_us: now_us, value: (hour % 13) as f64 };
        events.push(event);
        record(&mut store, &event);
        if hour == 24 * 10 {
            store.serve([old.clone(), new.clone()].iter());
        }
        if hour % 24 == 0 && hour >= 24 * 10 {
            let whole = check(&store, std::slice::from_ref(&new), &events, now_us).unwrap();
            statuses.insert(hour / 24, whole);
        }
    }
    let every = new.features().len();
    // The newest reading was known all along.
    assert_eq!(statuses[&10], 2, "{statuses:?}");
    // Seven days of values were there already, of gaps and squares none: 28 days and a hop later all is.
    assert!(statuses[&32] > 2 && statuses[&32] < every, "{statuses:?}");
    assert_eq!(statuses[&40], every, "{statuses:?}");
}
