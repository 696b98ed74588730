//! The client's side of a backup: everything into a folder, which gets its name at the end.

use super::Progress;
use super::draft::{Draft, DraftFile};
use super::error::BackupError;
use super::history::{self, Source};
use super::manifest::{FileEntry, Manifest, STATE_FILE};
use crate::client::{Client, cluster_client};
use crate::hex;
use crate::proto::hearth::backup_part::Part;
use crate::proto::hearth::{BackupFile, BackupHead, BackupPart, BackupRequest};
use std::path::Path;
use tonic::{Code, Status, Streaming};

/// A mebibyte as people read it.
const MIB: u64 = 1 << 20;

/// Takes a backup from whichever node answers first.
pub(crate) async fn take(client: &Client, out: &Path) -> Result<Manifest, BackupError> {
    let draft = Draft::begin(out)?;
    let work = fill(client, &draft);
    let manifest = tokio::select! {
        manifest = work => manifest?,
        _ = tokio::signal::ctrl_c() => {
            return Err(BackupError::Refused("stopped; nothing was kept".to_owned()));
        }
    };
    let (manifest, text) = manifest.seal()?;
    draft.keep(&text)?;
    Ok(manifest)
}

async fn fill(client: &Client, draft: &Draft) -> Result<Manifest, BackupError> {
    let progress = Progress::new();
    progress.say("waiting for the state");
    let (head, mut files) = state_and_files(client, draft, &progress).await?;
    let others = head.members.iter().map(|member| member.flight.clone());
    let addresses = std::iter::once(head.flight.clone()).chain(others).collect();
    let mut source = Source::new(addresses);
    files.extend(history::copy(&mut source, draft, head.log_index, &progress).await?);
    Ok(Manifest::of(head, files))
}

/// One node after the other until one has given everything.
async fn state_and_files(
    client: &Client,
    draft: &Draft,
    progress: &Progress,
) -> Result<(BackupHead, Vec<FileEntry>), BackupError> {
    let mut last = None;
    for node in client.each() {
        let call = node.call(|channel| async move {
            Ok(cluster_client(channel).backup(BackupRequest {}).await?.into_inner())
        });
        let outcome = match call.await {
            Ok(parts) => receive(parts, draft, progress).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Err(error) if error.exit_code() == crate::exit::UNAVAILABLE => {
                draft.clear_files()?;
                last = Some(error);
            }
            outcome => return outcome,
        }
    }
    Err(last.unwrap_or_else(|| BackupError::Unavailable("no node is known".to_owned())))
}

async fn receive(
    mut parts: Streaming<BackupPart>,
    draft: &Draft,
    progress: &Progress,
) -> Result<(BackupHead, Vec<FileEntry>), BackupError> {
    let Some(Part::Head(head)) = next(&mut parts).await? else {
        return Err(cut_off());
    };
    let mut files = Vec::new();
    let mut received = 0;
    let mut part = next(&mut parts).await?;
    while let Some(Part::File(file)) = part {
        let name = match file.sha256.as_slice() {
            [] => STATE_FILE.to_owned(),
            sha256 => format!("files/{}", hex::encode(sha256)),
        };
        let mut into = draft.create(name)?;
        loop {
            part = next(&mut parts).await?;
            let Some(Part::Piece(piece)) = &part else { break };
            received += piece.len() as u64;
            into.write(piece)?;
            progress.say(&format!("state and files: {} MiB", received / MIB));
        }
        files.push(complete(into, &file)?);
    }
    if files.len() != head.files as usize || part.is_some() {
        return Err(cut_off());
    }
    Ok((head, files))
}

/// The file, if it is what was announced.
fn complete(into: DraftFile, file: &BackupFile) -> Result<FileEntry, BackupError> {
    let entry = into.finish()?;
    let is_named = file.sha256.is_empty() || hex::encode(&file.sha256) == entry.sha256;
    if entry.bytes == file.bytes && is_named { Ok(entry) } else { Err(cut_off()) }
}

async fn next(parts: &mut Streaming<BackupPart>) -> Result<Option<Part>, BackupError> {
    let part = parts.message().await.map_err(failed)?;
    Ok(part.and_then(|part| part.part))
}

fn failed(status: Status) -> BackupError {
    match status.code() {
        // What the transport says when a node goes away in the middle.
        Code::Unknown | Code::Cancelled | Code::Internal => {
            BackupError::Unavailable(format!("the node broke off: {}", status.message()))
        }
        _ => crate::client::ClientError::Refused(Box::new(status)).into(),
    }
}

fn cut_off() -> BackupError {
    BackupError::Unavailable("the node sent less than it announced; try again".to_owned())
}
