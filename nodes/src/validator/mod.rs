//! Validation of a pushed package in a process of its own, so that a hostile file can crash, starve or
//! hang nothing but that process.
//!
//! The process is this same program (`hearth validate-model`): it limits itself before it looks at the
//! package, which comes on its standard input, and says its verdict in one line of JSON.

mod child;
mod parent;

pub(crate) use child::{ValidateArgs, run};
pub(crate) use parent::{Source, Validator};

use serde::{Deserialize, Serialize};

/// What the process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Valid {
        golden_rows: u32,
        row_ns: u64,
    },
    /// The file is at fault.
    Refused(String),
    /// This node is at fault.
    Unable(String),
}

/// What a file may take while it is validated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidatorLimits {
    /// Address space, in MiB.
    pub memory_mib: u64,
    /// Processor time; four times as long on the clock.
    pub seconds: u64,
}

impl Default for ValidatorLimits {
    fn default() -> Self {
        Self { memory_mib: 2_048, seconds: 20 }
    }
}
