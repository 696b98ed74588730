//! The machine's own clock. This is the one place of the crate that reads it.

use crate::config::Config;

#[cfg(not(feature = "sim"))]
#[derive(Debug, Default)]
pub(crate) struct Wall;

#[cfg(not(feature = "sim"))]
impl Wall {
    pub(crate) fn new(_: &Config) -> Self {
        Self
    }

    /// Microseconds since 1970, UTC.
    #[expect(clippy::disallowed_methods, clippy::unused_self, reason = "this is the place")]
    pub(crate) fn now_us(&self) -> i64 {
        use std::time::{Duration, SystemTime, UNIX_EPOCH};
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// The clock of a simulated host.
#[cfg(feature = "sim")]
#[derive(Debug, Default)]
pub(crate) struct Wall(crate::sim::Host);

#[cfg(feature = "sim")]
impl Wall {
    pub(crate) fn new(config: &Config) -> Self {
        Self(config.sim.clone())
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.0.now_us()
    }
}
