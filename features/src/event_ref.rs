//! An event whose texts lie in somebody else's bytes: a message on its way in, a command of the log.

use serde::{Deserialize, Serialize};

use crate::event::{
    ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX,
    Event, EventError, ID_BYTES_MAX, TIME_AHEAD_MAX_US, TIME_MIN_US, UNIT_BYTES_MAX, VALUE_MAX,
    check_text,
};
use crate::kind::Kind;

/// The fields of [`Event`] in their order, so that both are the same bytes in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRef<'a> {
    pub event_id: &'a str,
    pub device_id: &'a str,
    pub kind: &'a str,
    pub event_time_us: i64,
    pub value: f64,
    pub unit: &'a str,
    pub source: &'a str,
    pub boot_id: u32,
    pub seq: u64,
    /// By name, as a map is stored.
    #[serde(borrow)]
    pub attributes: Vec<(&'a str, &'a str)>,
}

impl EventRef<'_> {
    /// What the event is about, or why it is refused.
    pub fn check(&self, now_us: i64) -> Result<Kind, EventError> {
        check_text("event_id", self.event_id, ID_BYTES_MAX)?;
        check_text("device_id", self.device_id, ID_BYTES_MAX)?;
        check_text("source", self.source, ID_BYTES_MAX)?;
        if !self.unit.is_empty() {
            check_text("unit", self.unit, UNIT_BYTES_MAX)?;
        }
        let kind = self.kind.parse()?;
        if !self.value.is_finite() {
            return Err(EventError::NotFinite);
        }
        if self.value.abs() > VALUE_MAX {
            return Err(EventError::Range { got: self.value });
        }
        if self.event_time_us < TIME_MIN_US {
            return Err(EventError::TooOld { got: self.event_time_us });
        }
        if self.event_time_us > now_us.saturating_add(TIME_AHEAD_MAX_US) {
            return Err(EventError::TooNew { got: self.event_time_us });
        }
        self.check_attributes()?;
        Ok(kind)
    }

    fn check_attributes(&self) -> Result<(), EventError> {
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(EventError::Attributes { got: self.attributes.len() });
        }
        let mut together = 0;
        for (key, value) in &self.attributes {
            check_text("the name of an attribute", key, ATTRIBUTE_KEY_BYTES_MAX)?;
            if value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
                let (field, got) = ("the value of an attribute", value.len());
                return Err(EventError::Long { field, got, max: ATTRIBUTE_VALUE_BYTES_MAX });
            }
            together += key.len() + value.len();
        }
        if together > ATTRIBUTES_BYTES_MAX {
            return Err(EventError::AttributesLong { got: together });
        }
        Ok(())
    }

    /// The same event with texts of its own.
    pub fn to_event(&self) -> Event {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Event {
            event_id: self.event_id.to_owned(),
            device_id: self.device_id.to_owned(),
            kind: self.kind.to_owned(),
            event_time_us: self.event_time_us,
            value: self.value,
            unit: self.unit.to_owned(),
            source: self.source.to_owned(),
            boot_id: self.boot_id,
            seq: self.seq,
            attributes: self.attributes.iter().map(own).collect(),
        }
    }
}

impl<'a> From<&'a Event> for EventRef<'a> {
    fn from(event: &'a Event) -> Self {
        let attributes = event.attributes.iter();
        Self {
            event_id: &event.event_id,
            device_id: &event.device_id,
            kind: &event.kind,
            event_time_us: event.event_time_us,
            value: event.value,
            unit: &event.unit,
            source: &event.source,
            boot_id: event.boot_id,
            seq: event.seq,
            attributes: attributes.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_and_owned_are_the_same_bytes() {
        let event = Event {
            event_id: "e-1".into(),
            device_id: "门-0001".into(),
            kind: "door".into(),
            event_time_us: -5,
            value: 1.5,
            unit: "Cel".into(),
            source: "gateway-7".into(),
            boot_id: 3,
            seq: u64::MAX,
            attributes: [("a".into(), "b".into()), ("c".into(), String::new())].into(),
        };
        let bytes = postcard::to_stdvec(&event).unwrap();
        assert_eq!(postcard::to_stdvec(&EventRef::from(&event)).unwrap(), bytes);
        let read: EventRef<'_> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_event(), event);
    }
}
