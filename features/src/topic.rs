//! What a series is about: the readings of one kind, or those of every kind together.

use crate::kind::Kind;

/// Stored as a kind's code, [`Topic::ANY`] as the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(u8);

impl Topic {
    /// Every kind together.
    pub const ANY: Self = Self(u8::MAX);

    pub const fn of(kind: Kind) -> Self {
        Self(kind.code())
    }

    /// Nothing where it is every kind.
    pub fn kind(self) -> Option<Kind> {
        Kind::from_code(self.0)
    }

    pub(crate) const fn code(self) -> u8 {
        self.0
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        let topic = Self(code);
        (topic == Self::ANY || topic.kind().is_some()).then_some(topic)
    }
}

impl From<Option<Kind>> for Topic {
    fn from(kind: Option<Kind>) -> Self {
        kind.map_or(Self::ANY, Self::of)
    }
}
