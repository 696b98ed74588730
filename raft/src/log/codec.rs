//! How raft-log writes our types.
//!
//! The log truncates a record that ends too early, which is right for a torn tail and wrong for a
//! damaged length. So the length of a payload carries its own checksum: only a real end of file
//! looks like one.

use std::io::{Error, ErrorKind, Read, Result, Write};

use bytes::Bytes;
use openraft::vote::RaftLeaderId;
use raft_log::codeq::{Decode, Encode};
use tokio::sync::oneshot;

use super::pending::Ticket;
use crate::batch::Batch;
use crate::config::ENTRY_MAX_BYTES;
use crate::types::{LeaderId, LogId, Payload, Types, Vote};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogTypes;

impl raft_log::Types for LogTypes {
    type LogId = Key;
    type LogPayload = Body;
    type Vote = Ballot;
    type Callback = Flushed;
    type UserData = ();

    fn log_index(key: &Key) -> u64 {
        key.0.index
    }

    fn payload_size(body: &Body) -> u64 {
        match &body.0 {
            Payload::Normal(batch) => batch.len() as u64,
            // A guess is enough: it only steers the cache.
            Payload::Blank | Payload::Membership(_) => 256,
        }
    }
}

/// Told when a flush has reached the disk.
pub(super) enum Flushed {
    Entries(openraft::storage::IOFlushed<Types>, Ticket),
    Waiter(oneshot::Sender<Result<()>>, Ticket),
}

impl raft_log::Callback for Flushed {
    fn send(self, result: Result<()>) {
        match self {
            Self::Entries(callback, _ticket) => callback.io_completed(result),
            Self::Waiter(waiter, _ticket) => drop(waiter.send(result)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) LogId);

impl Encode for Key {
    fn encode<W: Write>(&self, mut to: W) -> Result<usize> {
        to.write_all(&self.0.leader_id.term.to_be_bytes())?;
        to.write_all(&self.0.leader_id.node_id.to_be_bytes())?;
        to.write_all(&self.0.index.to_be_bytes())?;
        Ok(24)
    }
}

impl Decode for Key {
    fn decode<R: Read>(mut from: R) -> Result<Self> {
        let term = read_u64(&mut from)?;
        let node_id = read_u64(&mut from)?;
        let index = read_u64(&mut from)?;
        Ok(Self(LogId::new(LeaderId::new(term, node_id), index)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
pub(super) struct Ballot(pub(super) Vote);

impl Encode for Ballot {
    fn encode<W: Write>(&self, mut to: W) -> Result<usize> {
        to.write_all(&self.0.leader_id.term.to_be_bytes())?;
        to.write_all(&self.0.leader_id.node_id.to_be_bytes())?;
        to.write_all(&[u8::from(self.0.committed)])?;
        Ok(17)
    }
}

impl Decode for Ballot {
    fn decode<R: Read>(mut from: R) -> Result<Self> {
        let term = read_u64(&mut from)?;
        let node_id = read_u64(&mut from)?;
        match read::<1>(&mut from)? {
            [0] => Ok(Self(Vote::new(term, node_id))),
            [1] => Ok(Self(Vote::new_committed(term, node_id))),
            _ => Err(invalid("a vote is neither committed nor not")),
        }
    }
}

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;
const VERSION: u8 = 1;

/// `[version u8][tag u8][length u32][crc32 of these u32][bytes]`, big endian.
#[derive(Debug, Clone)]
pub(super) struct Body(pub(super) Payload);

impl Body {
    fn parts(&self) -> Result<(u8, Bytes)> {
        Ok(match &self.0 {
            Payload::Blank => (BLANK, Bytes::new()),
            Payload::Normal(batch) => (NORMAL, batch.as_bytes().clone()),
            Payload::Membership(membership) => {
                let bytes = postcard::to_stdvec(membership).map_err(Error::other)?;
                (MEMBERSHIP, bytes.into())
            }
        })
    }
}

impl Encode for Body {
    fn encode<W: Write>(&self, mut to: W) -> Result<usize> {
        let (tag, bytes) = self.parts()?;
        if bytes.len() > ENTRY_MAX_BYTES {
            return Err(invalid("an entry is larger than the limit"));
        }
        let mut head = [0; 10];
        head[0] = VERSION;
        head[1] = tag;
        head[2..6].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
        let crc = crc32fast::hash(&head[..6]);
        head[6..].copy_from_slice(&crc.to_be_bytes());
        to.write_all(&head)?;
        to.write_all(&bytes)?;
        Ok(head.len() + bytes.len())
    }
}

impl Decode for Body {
    fn decode<R: Read>(mut from: R) -> Result<Self> {
        let head = read::<10>(&mut from)?;
        let mut crc = [0; 4];
        crc.copy_from_slice(&head[6..]);
        if u32::from_be_bytes(crc) != crc32fast::hash(&head[..6]) {
            return Err(invalid("the head of an entry does not match its checksum"));
        }
        if head[0] != VERSION {
            return Err(invalid("an entry has a version this program does not know"));
        }
        let mut length = [0; 4];
        length.copy_from_slice(&head[2..6]);
        let length = u32::from_be_bytes(length) as usize;
        if length > ENTRY_MAX_BYTES {
            return Err(invalid("an entry is larger than the limit"));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        Ok(Self(match head[1] {
            BLANK => Payload::Blank,
            NORMAL => Payload::Normal(Batch::from_bytes(bytes.into())),
            MEMBERSHIP => Payload::Membership(
                postcard::from_bytes(&bytes)
                    .map_err(|_| invalid("a membership entry cannot be read"))?,
            ),
            _ => return Err(invalid("an entry has an unknown kind")),
        }))
    }
}

fn read<const N: usize>(from: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u64(from: &mut impl Read) -> Result<u64> {
    Ok(u64::from_be_bytes(read(from)?))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> Vec<u8> {
        let batch = Batch::new(7, [Bytes::from_static(b"command")].iter());
        let mut bytes = Vec::new();
        Body(Payload::Normal(batch)).encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_cut_is_an_early_end_and_a_flip_in_the_head_is_not() {
        let whole = encoded();
        for cut in 0..whole.len() {
            let error = Body::decode(&whole[..cut]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        for bit in 0..80 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Body::decode(&flipped[..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "bit {bit}");
        }
    }

    #[test]
    fn keys_and_votes_come_back() {
        let key = Key(LogId::new(LeaderId::new(3, 9), 77));
        let mut bytes = Vec::new();
        assert_eq!(key.encode(&mut bytes).unwrap(), bytes.len());
        assert_eq!(Key::decode(&bytes[..]).unwrap(), key);
        for vote in [Vote::new(4, 2), Vote::new_committed(4, 2)] {
            let mut bytes = Vec::new();
            assert_eq!(Ballot(vote).encode(&mut bytes).unwrap(), bytes.len());
            assert_eq!(Ballot::decode(&bytes[..]).unwrap(), Ballot(vote));
        }
    }
}
