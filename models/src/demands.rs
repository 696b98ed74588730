//! What a manifest asks of the node that runs its model: how urgent its calls are, and what becomes of
//! a row with a feature that is not there or too old.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::Missing;

/// How urgent an inference is; the more urgent one is less.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Somebody may come to harm while it waits. Never waits behind the others.
    Safety,
    #[default]
    Normal,
    /// Nobody waits for the single answer.
    Batch,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Safety, Self::Normal, Self::Batch];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Normal => "normal",
            Self::Batch => "batch",
        }
    }

    /// As Triton numbers them: 1 is the highest, what is beyond the last is the last, 0 leaves it open.
    pub fn of_level(level: u64) -> Option<Self> {
        let at = usize::try_from(level).unwrap_or(usize::MAX).checked_sub(1)?;
        Some(Self::ALL.get(at).copied().unwrap_or(Self::Batch))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that names no priority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority {0:?} is unknown: it is safety, normal or batch")]
pub struct UnknownPriority(pub String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(text: &str) -> Result<Self, UnknownPriority> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownPriority(text.chars().take(64).collect()))
    }
}

/// What one feature is treated by, where it differs from the model's own rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureDemand {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Missing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_have_words_and_levels() {
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse(), Ok(priority));
        }
        assert!(Priority::Safety < Priority::Normal && Priority::Normal < Priority::Batch);
        assert_eq!(Priority::of_level(0), None);
        assert_eq!(Priority::of_level(1), Some(Priority::Safety));
        assert_eq!(Priority::of_level(u64::MAX), Some(Priority::Batch));
        let said = "urgent".parse::<Priority>().unwrap_err().to_string();
        assert!(said.contains("safety, normal or batch"), "{said}");
    }
}
