//! Versioned bodies.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use super::proto::Frame;
use crate::error::Error;

/// 2: with a checksum.
pub(super) const VERSION: u32 = 2;

/// What a body is. Numbers are never used again for something else; 6 was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Append = 1,
    AppendReply = 2,
    AppendStreamReply = 3,
    Ballot = 4,
    BallotReply = 5,
    Piece = 7,
    SnapshotReply = 8,
    Commands = 9,
    CommandsReply = 10,
    ReadIndex = 11,
    ReadIndexReply = 12,
    Change = 13,
    ChangeReply = 14,
    BlobHead = 15,
    BlobReply = 16,
    BlobWanted = 17,
    UrgentCommands = 18,
    SnapshotName = 19,
    SnapshotHeld = 20,
    SnapshotFrom = 21,
    Clock = 22,
    ClockReply = 23,
}

pub(crate) fn pack<T: Serialize>(kind: Kind, body: &T) -> Result<Frame, Status> {
    let body = postcard::to_stdvec(body)
        .map_err(|e| Status::internal(format!("cannot write a message: {e}")))?;
    Ok(plain(kind, body.into()))
}

pub(crate) fn plain(kind: Kind, body: Bytes) -> Frame {
    let checksum = checksum(VERSION, kind as u32, &body);
    Frame { version: VERSION, kind: kind as u32, body, checksum }
}

fn checksum(version: u32, kind: u32, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&version.to_le_bytes());
    sum.update(&kind.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

pub(crate) fn open(kind: Kind, frame: Frame) -> Result<Bytes, Status> {
    if frame.version != VERSION {
        return Err(Status::failed_precondition(format!(
            "message version {} is not known here ({VERSION} is); update the older node",
            frame.version
        )));
    }
    if frame.checksum != checksum(frame.version, frame.kind, &frame.body) {
        return Err(Status::data_loss(
            "a message was damaged on its way: its checksum does not fit",
        ));
    }
    if frame.kind != kind as u32 {
        return Err(Status::invalid_argument(format!(
            "expected a message of kind {}, got {}",
            kind as u32, frame.kind
        )));
    }
    Ok(frame.body)
}

pub(crate) fn unpack<T: DeserializeOwned>(kind: Kind, frame: Frame) -> Result<T, Status> {
    postcard::from_bytes(&open(kind, frame)?)
        .map_err(|e| Status::invalid_argument(format!("cannot read a message: {e}")))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NoLeader | Error::Unreachable(_) | Error::Stopped => Self::unavailable(text),
            Error::DeadlineExceeded { .. } => Self::deadline_exceeded(text),
            Error::Overloaded { .. } => Self::resource_exhausted(text),
            Error::TooLarge { .. } => Self::out_of_range(text),
            Error::Damaged { .. } => Self::data_loss(text),
            Error::DiskFull { .. } => Self::failed_precondition(text),
            Error::Refused(why) => Self::invalid_argument(why),
            Error::Fatal(_) | Error::Io { .. } => Self::internal(text),
        }
    }
}

/// What a peer's answer means for the caller here.
pub(crate) fn meaning(status: &Status, queue_limit: usize) -> Error {
    match status.code() {
        tonic::Code::ResourceExhausted => Error::Overloaded { limit: queue_limit },
        tonic::Code::InvalidArgument
        | tonic::Code::OutOfRange
        | tonic::Code::FailedPrecondition => Error::Refused(status.message().to_owned()),
        _ => Error::Unreachable(format!("{}: {}", status.code(), status.message())),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn no_flipped_bit_of_a_message_is_accepted() {
        let body: Vec<u64> = (0..40).map(|n| n * n).collect();
        let sent = pack(Kind::Append, &body).unwrap().encode_to_vec();
        let taken = |bytes: &[u8]| {
            let frame = Frame::decode(bytes).ok()?;
            unpack::<Vec<u64>>(Kind::Append, frame).ok()
        };
        assert_eq!(taken(&sent), Some(body));
        for bit in 0..sent.len() * 8 {
            let mut damaged = sent.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(taken(&damaged), None, "bit {bit}");
        }
    }
}
