//! Whole numbers in as few bytes as they need: seven bits a byte, lowest first, the top bit set on
//! all but the last. Signed numbers are folded first, so that small ones of either sign stay short.

pub(crate) fn put(out: &mut Vec<u8>, mut value: u128) {
    // Nearly every number is short: 64-bit arithmetic from where it is.
    while value > u128::from(u64::MAX) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    put_u64(out, value as u64);
}

pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// The number at `*at`, which moves behind it; nothing where the bytes end too early or hold more
/// than 64 bits.
#[inline]
pub(crate) fn take_u64(bytes: &[u8], at: &mut usize) -> Option<u64> {
    match bytes.get(*at) {
        Some(byte) if *byte < 0x80 => {
            *at += 1;
            Some(u64::from(*byte))
        }
        _ => take_long(bytes, at),
    }
}

fn take_long(bytes: &[u8], at: &mut usize) -> Option<u64> {
    // Most that are not of one byte are of two.
    if let [low, high @ 0..0x80, ..] = bytes.get(*at..)? {
        *at += 2;
        return Some(u64::from(low & 0x7f) | u64::from(*high) << 7);
    }
    let mut value = 0_u64;
    let mut shift = 0_u32;
    for byte in bytes.get(*at..)? {
        *at += 1;
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
    None
}

/// The same for up to 128 bits.
pub(crate) fn take(bytes: &[u8], at: &mut usize) -> Option<u128> {
    let from = *at;
    if let Some(short) = take_u64(bytes, at) {
        return Some(u128::from(short));
    }
    *at = from;
    let mut value = 0_u128;
    let mut shift = 0_u32;
    for byte in bytes.get(from..)? {
        *at += 1;
        if shift == 126 && *byte > 3 {
            return None;
        }
        value |= u128::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
    None
}

pub(crate) fn take_u32(bytes: &[u8], at: &mut usize) -> Option<u32> {
    u32::try_from(take(bytes, at)?).ok()
}

pub(crate) fn take_signed(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let folded = take_u64(bytes, at)?;
    Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_survives() {
        for bit in 0..128 {
            for value in [1_u128 << bit, (1_u128 << bit) - 1, u128::MAX >> bit] {
                let mut bytes = Vec::new();
                put(&mut bytes, value);
                let mut at = 0;
                assert_eq!(take(&bytes, &mut at), Some(value));
                assert_eq!(at, bytes.len());
            }
        }
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(take_signed(&bytes, &mut 0), Some(value));
        }
    }

    #[test]
    fn short_and_oversized_bytes_are_refused() {
        assert_eq!(take(&[0x80], &mut 0), None);
        assert_eq!(take(&[0xff; 40], &mut 0), None);
        let mut bytes = Vec::new();
        put(&mut bytes, u128::from(u64::MAX) + 1);
        assert_eq!(take_u64(&bytes, &mut 0), None);
    }
}
