//! What the process says when it ends.

/// Done.
pub const DONE: i32 = 0;
/// Wrong usage.
pub const USAGE: i32 = 2;
/// Refused, or not found.
pub const REFUSED: i32 = 3;
/// Nobody could answer.
pub const UNAVAILABLE: i32 = 4;
/// Data on disk is damaged.
pub const DAMAGED: i32 = 5;
/// The consensus core died; start the process again.
pub const CORE_DIED: i32 = 70;
