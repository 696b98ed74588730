//! Time in quarters of a second since 2020, which fits 32 bits until 2054.

/// 2020-01-01.
const BEGIN_US: i64 = 1_577_836_800_000_000;
/// Timers fire at the end of the tick that their time lies in: at most a quarter of a second late.
pub(crate) const TICK_US: i64 = 250_000;
pub(crate) const TICKS_PER_S: u32 = 4;

/// The last tick that has begun.
pub(crate) fn floor(us: i64) -> u32 {
    clamp((us - BEGIN_US).div_euclid(TICK_US))
}

/// The first tick that begins at this time or later.
pub(crate) fn ceil(us: i64) -> u32 {
    clamp((us - BEGIN_US + TICK_US - 1).div_euclid(TICK_US))
}

pub(crate) fn to_us(tick: u32) -> i64 {
    BEGIN_US + i64::from(tick) * TICK_US
}

fn clamp(ticks: i64) -> u32 {
    // The two highest are words of the wheel.
    ticks.clamp(0, i64::from(u32::MAX - 2)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_between_its_two_ticks() {
        for us in [BEGIN_US, 1_790_000_000_000_001, 1_790_000_000_250_000, 1_790_000_000_249_999] {
            assert!(to_us(floor(us)) <= us && us - to_us(floor(us)) < TICK_US);
            assert!(to_us(ceil(us)) >= us && to_us(ceil(us)) - us < TICK_US);
        }
        assert_eq!((floor(0), ceil(0)), (0, 0));
    }
}
