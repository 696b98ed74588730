//! Which version answers whom: the same entity gets the same version on every node, and one that is
//! in a small canary stays in it while the canary grows.

use crate::Version;

/// The versions of one model that calls without a version go to.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    pub active: &'a Version,
    /// Answers the entities whose bucket is below its share.
    pub canary: Option<&'a Version>,
    /// Runs beside the active version for the entities of the uppermost buckets, so that a small
    /// canary and a small shadow do not meet.
    pub shadow: Option<&'a Version>,
}

/// The hundred buckets that entities fall into, 0 to 99; another model shares them out anew.
pub fn bucket(model: &str, entity: &[u8]) -> u8 {
    // FNV-1a over the model's name, a byte that no name has, and the key; the last step spreads what
    // it leaves in the low bits. Stable for ever: a canary must not change its people by an update.
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = model.bytes().chain([0xff]).chain(entity.iter().copied());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let spread = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((u128::from(spread ^ (spread >> 33)) * 100) >> 64) as u8
}

/// Whether a canary with this share answers an entity of this bucket.
pub fn in_canary(bucket: u8, share: u8) -> bool {
    bucket < share
}

/// Whether a shadow with this share runs for an entity of this bucket.
pub fn in_shadow(bucket: u8, share: u8) -> bool {
    bucket.saturating_add(share) >= 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_grow_without_moving_anybody() {
        let keys: Vec<String> = (0..20_000).map(|n| format!("r{n:07}")).collect();
        let count = |share| {
            keys.iter().filter(|key| in_canary(bucket("fall_risk", key.as_bytes()), share)).count()
        };
        for share in [1, 5, 10, 50, 99] {
            let wanted = 200.0 * f64::from(share);
            let got = count(share) as f64;
            assert!((got - wanted).abs() < 4.0 * wanted.sqrt(), "{share}: {got} of {wanted}");
        }
        assert_eq!((count(0), count(100)), (0, keys.len()));
        let shadowed = keys.iter().filter(|key| in_shadow(bucket("m", key.as_bytes()), 10)).count();
        assert!((1_700..2_300).contains(&shadowed), "{shadowed}");
        for each in 0..100 {
            assert!(in_shadow(each, 100) && !in_shadow(each, 0));
            assert!(!(in_shadow(each, 30) && in_canary(each, 30)));
        }
    }

    #[test]
    fn a_bucket_never_changes() {
        // Written down on the day the rule was made: another number here moves people between versions.
        let known = ["r1", "r2", "", "王"].map(|key| bucket("fall_risk", key.as_bytes()));
        assert_eq!(known, KNOWN);
        let other = |key: &str| bucket("subsidy_triage", key.as_bytes());
        assert_ne!(
            ["r1", "r2", "r3"].map(|key| bucket("fall_risk", key.as_bytes())),
            ["r1", "r2", "r3"].map(other)
        );
    }

    const KNOWN: [u8; 4] = [38, 97, 92, 83];
}
