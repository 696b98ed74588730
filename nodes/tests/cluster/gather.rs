//! Events as senders make them.

use nodes::proto::hearth::Event;

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const DAY_US: i64 = 86_400 * SECOND_US;

/// A reading of a device, a minute old.
pub(crate) fn reading(source: &str, id: &str, device: &str, kind: &str, value: f64) -> Event {
    Event {
        event_id: id.to_owned(),
        device_id: device.to_owned(),
        kind: kind.to_owned(),
        event_time_us: nodes::clock::now_us() - 60 * SECOND_US,
        value,
        source: source.to_owned(),
        ..Event::default()
    }
}

/// Motion of numbered devices, by number.
pub(crate) fn motions(source: &str, numbers: std::ops::Range<u64>) -> Vec<Event> {
    numbers
        .map(|number| {
            let device = format!("pir-{}", number % 17);
            reading(source, &format!("{source}-{number:06}"), &device, "motion", 1.0)
        })
        .collect()
}
