//! Numbers and hashes in an entry's text. A float keeps its bits: a finite one as the shortest decimal
//! that reads back as itself, any other as its bits in hexadecimal.

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A float of an entry.
pub(super) mod real {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Text};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &f64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() && !value.is_finite() {
            return format!("bits:{:016x}", value.to_bits()).serialize(to);
        }
        value.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<f64, D::Error> {
        if from.is_human_readable() { from.deserialize_any(Text) } else { f64::deserialize(from) }
    }
}

/// A feature's value, as the model read it: every f32 is an f64 too.
pub(super) mod single {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Single};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &f32,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if !to.is_human_readable() {
            return value.serialize(to);
        }
        if value.is_finite() {
            return f64::from(*value).serialize(to);
        }
        format!("bits:{:08x}", value.to_bits()).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<f32, D::Error> {
        if !from.is_human_readable() {
            return f32::deserialize(from);
        }
        from.deserialize_any(Single)
    }
}

struct Single;

impl Visitor<'_> for Single {
    type Value = f32;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a number or bits:XXXXXXXX")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f32, E> {
        let bits = text.strip_prefix("bits:").filter(|bits| bits.len() == 8);
        let bits = bits.and_then(|bits| u32::from_str_radix(bits, 16).ok());
        bits.map(f32::from_bits).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = f64;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a number or bits:XXXXXXXXXXXXXXXX")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f64, E> {
        let bits = text.strip_prefix("bits:").filter(|bits| bits.len() == 16);
        let bits = bits.and_then(|bits| u64::from_str_radix(bits, 16).ok());
        bits.map(f64::from_bits).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// 32 bytes, in text as hexadecimal.
pub(super) mod hash {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use serde::de::Error as _;

    pub(in super::super) fn serialize<S: Serializer>(
        hash: &[u8; 32],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            crate::hex::encode(hash).serialize(to)
        } else {
            hash.serialize(to)
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u8; 32], D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            crate::hex::decode32(&text).ok_or_else(|| D::Error::custom("a hash has 64 hex digits"))
        } else {
            <[u8; 32]>::deserialize(from)
        }
    }
}
