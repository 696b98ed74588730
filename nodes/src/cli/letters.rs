//! `hearth events`: what could not be taken, and sending it again.

use super::args::Remote;
use super::events::{Sent, send};
use super::feed::append;
use super::output::{Failure, print_rows, time_text};
use crate::client::{Client, feeds_client};
use crate::intake;
use crate::proto::hearth::{DeadLetter, ListDeadLettersRequest};
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// What could not be taken, newest first, with the reason
    DeadLetters {
        /// Only what came in here: mqtt, http, grpc or feed
        #[arg(long, default_value = "")]
        door: String,
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Sends again those that are whole events or rows by now: after an update, say, that knows a kind
        #[arg(long)]
        retry: bool,
    },
}

pub(crate) async fn run(command: EventsCommand, remote: &Remote) -> anyhow::Result<()> {
    let EventsCommand::DeadLetters { door, limit, retry } = command;
    let client = remote.client()?;
    let request = ListDeadLettersRequest { limit, door };
    let answer = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(feeds_client(channel).dead_letters(request).await?.into_inner()) }
        })
        .await?;
    if !retry {
        print_letters(&answer.letters, remote);
        return Ok(());
    }
    let mut batch = Vec::new();
    let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // The oldest first, as they came. Of what was cut short nothing can be sent.
    let whole = |letter: &&DeadLetter| letter.bytes == letter.payload.len() as u64;
    for letter in answer.letters.iter().rev().filter(whole) {
        let text = &letter.payload;
        if letter.door == "feed" && text.starts_with('{') {
            rows.entry(&letter.source).or_default().push(text.clone());
        } else if let Ok(event) = intake::event(text).or_else(|_| intake::cloud_event(text)) {
            batch.push(event.into());
        }
    }
    if batch.is_empty() && rows.is_empty() {
        let said = "none of these letters is a whole event or a whole row of a feed";
        return Err(Failure::refused(said).into());
    }
    for (feed, lines) in rows {
        send_rows(&client, feed, lines).await?;
    }
    if batch.is_empty() {
        return Ok(());
    }
    let mut sent = Sent::default();
    send(&client, &mut batch, &mut sent).await?;
    println!(
        "{} accepted, {} duplicates, {} rejected of {} letters",
        sent.accepted,
        sent.duplicates,
        sent.rejected,
        answer.letters.len()
    );
    Ok(())
}

async fn send_rows(client: &Client, feed: &str, lines: Vec<String>) -> anyhow::Result<()> {
    let count = lines.len();
    let told = append(client, feed, lines).await?;
    println!(
        "feed {feed}: {} applied, {} superseded, {} duplicates, {} rejected of {count} letters",
        told.applied,
        told.superseded,
        told.duplicates,
        told.rejected.len()
    );
    Ok(())
}

fn print_letters(letters: &[DeadLetter], remote: &Remote) {
    let headings = ["last", "door", "source", "reason", "times", "bytes", "payload"];
    let rows: Vec<Vec<Value>> = letters
        .iter()
        .map(|letter| {
            vec![
                time_text(letter.last_us),
                json!(letter.door),
                json!(letter.source),
                json!(letter.reason),
                json!(letter.times),
                json!(letter.bytes),
                json!(letter.payload.replace('\n', " ")),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}
