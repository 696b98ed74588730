//! What features can be about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::civil;
use crate::table::Table;

/// What a feature vector describes; each has its register table. An entity kind is
/// stored as its place in this list: new ones go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum EntityKind {
    Device,
    Dwelling,
    Resident,
    Household,
    Organisation,
    /// For a grant: its register is `subsidy`.
    Application,
}

impl EntityKind {
    pub const ALL: [Self; 6] = [
        Self::Device,
        Self::Dwelling,
        Self::Resident,
        Self::Household,
        Self::Organisation,
        Self::Application,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Dwelling => "dwelling",
            Self::Resident => "resident",
            Self::Household => "household",
            Self::Organisation => "organisation",
            Self::Application => "application",
        }
    }

    /// Whether readings are folded into its windows.
    pub const fn has_readings(self) -> bool {
        matches!(self, Self::Device | Self::Dwelling | Self::Resident)
    }

    /// The register table whose key is this entity's key.
    pub fn table(self) -> Option<&'static Table> {
        civil::TABLES.get(self.table_place()?)
    }

    /// The place of [`EntityKind::table`] in [`civil::TABLES`].
    pub(crate) fn table_place(self) -> Option<usize> {
        let name = match self {
            Self::Application => "subsidy",
            other => other.as_str(),
        };
        civil::TABLES.iter().position(|each| each.name == name)
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that names no entity kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "entity {0:?} is unknown: it is device, dwelling, resident, household, organisation or application"
)]
pub struct UnknownEntity(pub String);

impl FromStr for EntityKind {
    type Err = UnknownEntity;

    fn from_str(text: &str) -> Result<Self, UnknownEntity> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownEntity(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_has_a_table_with_a_key_of_one_column() {
        for (at, entity) in EntityKind::ALL.into_iter().enumerate() {
            assert_eq!(entity as usize, at);
            assert_eq!(entity.table().unwrap().key, 1);
            assert_eq!(entity.as_str().parse(), Ok(entity));
        }
        assert!("residents".parse::<EntityKind>().is_err());
    }
}
