//! Takes in a snapshot or a blob, piece by piece, with bounded memory.

use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use futures::Stream;
use tonic::{Status, Streaming};

use super::frame::{Kind, open};
use super::proto::Frame;
use super::stream::next_piece;
use crate::config::PIECE_BYTES;
use crate::durable::Draft;

/// Writes the pieces that follow into a synced draft; exactly `size` bytes have to come.
pub(crate) async fn receive_file(
    dir: &Path,
    size: u64,
    frames: &mut Streaming<Frame>,
) -> Result<Draft, Status> {
    let dir = dir.to_owned();
    let mut draft = blocking(move || Draft::create(&dir)).await?;
    let mut got = 0;
    while let Some(frame) = next_piece(frames).await? {
        let piece: Bytes = open(Kind::Piece, frame)?;
        got += piece.len() as u64;
        if got > size {
            return Err(Status::out_of_range("a transfer is longer than it said"));
        }
        draft = blocking(move || {
            draft.write_all(&piece)?;
            Ok(draft)
        })
        .await?;
    }
    if got != size {
        return Err(Status::aborted(format!("a transfer ended after {got} of {size} bytes")));
    }
    blocking(move || {
        draft.sync()?;
        Ok(draft)
    })
    .await
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    crate::blocking::spawn_blocking(work)
        .await
        .map_err(|e| Status::internal(e.to_string()))?
        .map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Status::data_loss(e.to_string())
            }
            _ => Status::internal(e.to_string()),
        })
}

/// A file in order, in pieces.
pub(super) fn blob_pieces(file: std::fs::File) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    futures::stream::try_unfold(file, |file| async move {
        blocking(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
        })
        .await
    })
}
