//! The commands of one log entry in one buffer, so that log, cache and wire share it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// version, time, count
const HEAD_BYTES: usize = 1 + 8 + 4;
const LENGTH_BYTES: usize = 4;

/// `[version u8][time_us i64][count u32]([length u32][bytes])*`, little endian.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batch(Bytes);

/// One reply a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replies(pub(crate) Vec<Bytes>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) time_us: i64,
    pub(crate) commands: Vec<Bytes>,
}

impl Batch {
    pub(crate) fn new<'a>(time_us: i64, commands: impl Iterator<Item = &'a Bytes> + Clone) -> Self {
        let size: usize = commands.clone().map(|c| c.len() + LENGTH_BYTES).sum();
        let mut buffer = BytesMut::with_capacity(HEAD_BYTES + size);
        buffer.put_u8(VERSION);
        buffer.put_i64_le(time_us);
        buffer.put_u32_le(commands.clone().count() as u32);
        for command in commands {
            buffer.put_u32_le(command.len() as u32);
            buffer.put_slice(command);
        }
        Self(buffer.freeze())
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The commands, as slices of this buffer.
    pub(crate) fn open(&self) -> Result<Opened, &'static str> {
        let mut rest = self.0.clone();
        if rest.len() < HEAD_BYTES {
            return Err("a batch is shorter than its head");
        }
        if rest[0] != VERSION {
            return Err("a batch has a version this program does not know; update it");
        }
        let head = rest.split_to(HEAD_BYTES);
        let time_us = i64::from_le_bytes(array(&head[1..9]));
        let count = u32::from_le_bytes(array(&head[9..13])) as usize;
        if count > rest.len() / LENGTH_BYTES {
            return Err("a batch has fewer bytes than commands");
        }
        let mut commands = Vec::with_capacity(count);
        for _ in 0..count {
            if rest.len() < LENGTH_BYTES {
                return Err("a batch ends within a length");
            }
            let length = u32::from_le_bytes(array(&rest.split_to(LENGTH_BYTES))) as usize;
            if rest.len() < length {
                return Err("a batch ends within a command");
            }
            commands.push(rest.split_to(length));
        }
        if rest.is_empty() {
            Ok(Opened { time_us, commands })
        } else {
            Err("a batch has bytes after its last command")
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} bytes)", self.0.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn opens_what_was_packed(time_us: i64, commands: Vec<Vec<u8>>) {
            let commands: Vec<Bytes> = commands.into_iter().map(Bytes::from).collect();
            let batch = Batch::new(time_us, commands.iter());
            prop_assert_eq!(batch.open(), Ok(Opened { time_us, commands }));
        }

        #[test]
        fn never_panics_on_noise(noise: Vec<u8>) {
            let mut noise = noise;
            if let Some(first) = noise.first_mut() { *first = VERSION; }
            let _ = Batch::from_bytes(noise.into()).open();
        }
    }

    #[test]
    fn refuses_a_cut_batch_and_a_newer_version() {
        let batch = Batch::new(5, [Bytes::from_static(b"abc")].iter());
        for cut in 0..batch.len() {
            assert!(Batch(batch.0.slice(..cut)).open().is_err(), "cut at {cut}");
        }
        let mut newer = batch.0.to_vec();
        newer[0] = 2;
        assert!(Batch(newer.into()).open().is_err());
    }

    #[test]
    fn travels_as_plain_bytes() {
        let batch = Batch::new(5, [Bytes::from_static(b"abc")].iter());
        let packed = postcard::to_stdvec(&batch).unwrap();
        assert_eq!(packed.len(), batch.len() + 1, "one length byte, no more");
        assert_eq!(postcard::from_bytes::<Batch>(&packed).unwrap(), batch);
    }
}
