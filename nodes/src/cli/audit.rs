//! `hearth audit`: the decision ledger from outside.

use super::args::Remote;
use super::output::{Failure, Format, print_rows};
use crate::audit::{Checked, Checker, ExportFile, FileError, Header, read_file};
use crate::client::{Client, ClientError, cluster_client, scores_client};
use crate::json as messages;
use crate::proto::hearth::{
    Decision, GetDecisionRequest, LedgerHead, LedgerHeadRequest, ReadLedgerRequest,
    RecordOutcomeRequest, RecordReviewRequest, StatusRequest,
};
use crate::state::ledger::Hash;
use crate::{exit, hex};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Number and hash of the last entry: write it down elsewhere, and compare with --head later
    Head,
    /// Walks the whole chain on every node, or in an export, and names the first entry that does not fit
    Verify {
        /// An export; without it the nodes' own tables are checked
        file: Option<PathBuf>,
        /// A hash that was written down: it must be in the chain
        #[arg(long)]
        head: Option<String>,
        /// Checks only the node that answers at --addr
        #[arg(long)]
        only: bool,
    },
    /// Writes entries to a file that `verify` checks by itself: NDJSON, or Parquet where it ends so
    Export(ExportArgs),
    /// One decision, whole
    Show { decision_id: String },
    /// Runs a decision again from its record and compares bit for bit
    Replay { decision_id: String },
    /// A person's word on a decision
    Review {
        decision_id: String,
        /// uphold, overturn or refer
        #[arg(long)]
        verdict: String,
        /// Who has looked at it
        #[arg(long, env = "USER")]
        reviewer: String,
        #[arg(long)]
        reason: String,
    },
    /// What became of it: of a decision, or of the newest score of an entity by a model
    Outcome(OutcomeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[arg(long)]
    out: PathBuf,
    /// The first: an entry's number, a date, or a time as 2026-01-31T08:00:00Z
    #[arg(long)]
    from: Option<String>,
    /// The end: the last entry's number, or a date or time that all entries are before
    #[arg(long)]
    to: Option<String>,
    /// Only this entity's entries; of all others the digest, so that the chain can be followed
    #[arg(long, default_value = "")]
    entity: String,
}

#[derive(Debug, Args)]
pub(crate) struct OutcomeArgs {
    #[arg(long, default_value = "")]
    decision: String,
    #[arg(long, default_value = "")]
    entity: String,
    #[arg(long, default_value = "")]
    model: String,
    /// Of the newest score at or before this time
    #[arg(long)]
    at: Option<String>,
    /// 0 or 1, or a value
    #[arg(long, allow_negative_numbers = true)]
    observed: f64,
    /// When it happened
    #[arg(long)]
    when: Option<String>,
    /// Who says so
    #[arg(long, env = "USER", default_value = "")]
    source: String,
    /// Your own id for it: sent again, it changes nothing
    #[arg(long, default_value = "")]
    id: String,
}

pub(crate) async fn run(command: AuditCommand, remote: &Remote) -> anyhow::Result<()> {
    match command {
        AuditCommand::Head => print_head(&head(&remote.client()?).await?, remote.format),
        AuditCommand::Verify { file: Some(file), head, .. } => {
            verify_file(&file, head.as_deref(), remote.format)?;
        }
        AuditCommand::Verify { head, only, .. } => verify(remote, head.as_deref(), only).await?,
        AuditCommand::Export(args) => export(&args, remote).await?,
        AuditCommand::Show { decision_id } => {
            let decision = decision(&remote.client()?, &decision_id).await?;
            println!("{}", messages::decision(&decision));
        }
        AuditCommand::Replay { decision_id } => replay(&remote.client()?, decision_id).await?,
        AuditCommand::Review { decision_id, verdict, reviewer, reason } => {
            let request = RecordReviewRequest { decision_id, reviewer, verdict, reason };
            let reviewed =
                remote
                    .client()?
                    .call(|channel| {
                        let request = request.clone();
                        async move {
                            Ok(scores_client(channel).record_review(request).await?.into_inner())
                        }
                    })
                    .await?;
            println!("{}", messages::decision(&reviewed));
        }
        AuditCommand::Outcome(args) => outcome(args, &remote.client()?).await?,
    }
    Ok(())
}

async fn head(client: &Client) -> Result<LedgerHead, ClientError> {
    client
        .call(|channel| async move {
            let request = LedgerHeadRequest {};
            Ok(scores_client(channel).get_ledger_head(request).await?.into_inner())
        })
        .await
}

fn print_head(head: &LedgerHead, format: Format) {
    let row = vec![
        json!(head.seq),
        json!(hex::encode(&head.hash)),
        json!(head.reviews),
        json!(head.outcomes),
        json!(head.log_index),
        json!(head.cluster_id),
    ];
    let headings = ["entries", "head", "reviews", "outcomes", "log_index", "cluster"];
    print_rows(format, &headings, &[row]);
}

async fn decision(client: &Client, id: &str) -> Result<Decision, ClientError> {
    client
        .call(|channel| {
            let request = GetDecisionRequest { decision_id: id.to_owned() };
            async move { Ok(scores_client(channel).get_decision(request).await?.into_inner()) }
        })
        .await
}

async fn replay(client: &Client, decision_id: String) -> anyhow::Result<()> {
    let answer = client
        .call(|channel| {
            let request = GetDecisionRequest { decision_id: decision_id.clone() };
            async move { Ok(scores_client(channel).replay_decision(request).await?.into_inner()) }
        })
        .await?;
    if !answer.identical {
        let said = format!("decision {decision_id}: {}", answer.difference);
        return Err(Failure { said, code: exit::DAMAGED }.into());
    }
    let score = answer.replayed.map(|replayed| replayed.score).unwrap_or_default();
    println!("{}", json!({ "decision_id": decision_id, "identical": true, "score": score }));
    Ok(())
}

async fn outcome(args: OutcomeArgs, client: &Client) -> anyhow::Result<()> {
    let time = |text: &Option<String>| text.as_deref().map_or(Ok(0), time_us);
    let request = RecordOutcomeRequest {
        decision_id: args.decision,
        entity: args.entity,
        model: args.model,
        scored_us: time(&args.at)?,
        observed: args.observed,
        // Said here, so that a call that is made again says the same.
        observed_us: args.when.as_deref().map_or(Ok(crate::clock::now_us()), time_us)?,
        source: args.source,
        outcome_id: args.id,
    };
    let written = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(scores_client(channel).record_outcome(request).await?.into_inner()) }
        })
        .await?;
    println!("{}", messages::outcome(&written));
    Ok(())
}

fn verify_file(file: &Path, head: Option<&str>, format: Format) -> anyhow::Result<()> {
    let wanted = head.map(parse_head).transpose()?;
    let (header, checked) = read_file(file).map_err(|error| file_failure(&error))?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != checked.head) {
        return Err(damaged(format!(
            "{}: its head is {}, not {}",
            file.display(),
            hex::encode(&checked.head),
            hex::encode(&wanted)
        )));
    }
    print_checked(&[(header.cluster_id, checked)], format);
    Ok(())
}

/// Every member's own copy, or only that of the node at `--addr`.
async fn verify(remote: &Remote, head: Option<&str>, only: bool) -> anyhow::Result<()> {
    let wanted = head.map(parse_head).transpose()?;
    let client = remote.client()?;
    let mut nodes = vec![(String::from("node"), client.clone())];
    if !only {
        let members = client.members().await?;
        nodes.clear();
        for member in members {
            nodes.push((
                format!("node {} at {}", member.id, member.grpc),
                Client::new(&member.grpc)?,
            ));
        }
    }
    let mut checked = Vec::new();
    let mut away = None;
    for (name, node) in nodes {
        match verify_node(&node, wanted).await {
            Ok(found) => checked.push((name, found)),
            Err(Trouble::Damaged(said)) => return Err(damaged(format!("{name}: {said}"))),
            Err(Trouble::Away(error)) => away = Some((name, error)),
        }
    }
    print_checked(&checked, remote.format);
    match away {
        Some((name, error)) => {
            let said = format!("{name} was not checked: {error}");
            Err(Failure { said, code: error.exit_code() }.into())
        }
        None => Ok(()),
    }
}

enum Trouble {
    Damaged(String),
    Away(ClientError),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        if error.exit_code() == exit::DAMAGED {
            Self::Damaged(error.to_string())
        } else {
            Self::Away(error)
        }
    }
}

async fn verify_node(client: &Client, wanted: Option<Hash>) -> Result<Checked, Trouble> {
    // A node that is away is said, not waited for.
    client
        .call_once(|channel| async move { cluster_client(channel).status(StatusRequest {}).await })
        .await?;
    let mut checker = Checker::default();
    let mut is_seen = wanted.is_none();
    let head = each_entry(client, &ReadLedgerRequest::default(), |entry| {
        checker.take(entry).map_err(|misfit| Trouble::Damaged(misfit.to_string()))?;
        is_seen |= wanted.is_some_and(|wanted| entry.hash == wanted);
        Ok::<_, Trouble>(())
    })
    .await?;
    let hash: Hash = head.hash.as_slice().try_into().unwrap_or_default();
    checker.ends_at(head.seq, &hash).map_err(|misfit| Trouble::Damaged(misfit.to_string()))?;
    if !is_seen {
        let said = format!("no entry has the hash {}", hex::encode(&wanted.unwrap_or_default()));
        return Err(Trouble::Damaged(said));
    }
    Ok(checker.checked())
}

/// Calls for each entry in its order; gives the head as it was when the reading began.
async fn each_entry<E: From<ClientError>>(
    client: &Client,
    request: &ReadLedgerRequest,
    mut each: impl FnMut(&crate::proto::hearth::LedgerEntry) -> Result<(), E>,
) -> Result<LedgerHead, E> {
    let refused = |status| ClientError::Refused(Box::new(status));
    let mut parts = client
        .call(|channel: Channel| {
            let request = request.clone();
            async move { Ok(scores_client(channel).read_ledger(request).await?.into_inner()) }
        })
        .await?;
    let mut head = LedgerHead::default();
    while let Some(part) = parts.message().await.map_err(refused)? {
        if let Some(told) = part.head {
            head = told;
        }
        for entry in &part.entries {
            each(entry)?;
        }
    }
    Ok(head)
}

async fn export(args: &ExportArgs, remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    let mut request = ReadLedgerRequest { entity: args.entity.clone(), ..Default::default() };
    (request.from_seq, request.from_us) = place(args.from.as_deref())?;
    (request.to_seq, request.to_us) = place(args.to.as_deref())?;
    let known = head(&client).await?;
    let header = Header::new(&known.group, &known.cluster_id, &args.entity, crate::clock::now_us());
    let mut file = ExportFile::create(&args.out, &header).map_err(|error| file_failure(&error))?;
    if let Err(error) = fill(&mut file, &client, &request).await {
        file.abandon();
        return Err(error);
    }
    let checked = file.finish().map_err(|error| file_failure(&error))?;
    print_checked(&[(args.out.display().to_string(), checked)], remote.format);
    Ok(())
}

async fn fill(
    file: &mut ExportFile,
    client: &Client,
    request: &ReadLedgerRequest,
) -> anyhow::Result<()> {
    let told = each_entry(client, request, |entry| {
        file.push(entry).map_err(|error| anyhow::Error::from(file_failure(&error)))
    })
    .await?;
    let is_open = request.to_seq == 0 && request.to_us == 0;
    let is_part = request.from_seq > 0 || request.from_us > 0;
    if is_open && !(is_part && file.entries() == 0) {
        let hash: Hash = told.hash.as_slice().try_into().unwrap_or_default();
        file.ends_at(told.seq, &hash).map_err(|error| file_failure(&error))?;
    }
    Ok(())
}

/// An entry's number, or microseconds since 1970.
fn place(text: Option<&str>) -> anyhow::Result<(u64, i64)> {
    match text {
        None => Ok((0, 0)),
        Some(text) if text.chars().all(|each| each.is_ascii_digit()) => {
            let number = text.parse().map_err(|_| Failure::usage(format!("{text}: no number")))?;
            Ok((number, 0))
        }
        Some(text) => Ok((0, time_us(text)?)),
    }
}

fn time_us(text: &str) -> anyhow::Result<i64> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = chrono::DateTime::parse_from_rfc3339(&whole).map_err(|_| {
        Failure::usage(format!("{text:?} is no time: write 2026-01-31 or 2026-01-31T08:00:00Z"))
    })?;
    Ok(time.timestamp_micros())
}

fn parse_head(text: &str) -> anyhow::Result<Hash> {
    let found = hex::decode32(text.trim());
    found.ok_or_else(|| Failure::usage("--head has 64 hex digits").into())
}

fn damaged(said: String) -> anyhow::Error {
    Failure { said, code: exit::DAMAGED }.into()
}

fn file_failure(error: &FileError) -> Failure {
    let code = match error {
        FileError::Io { .. } | FileError::Parquet(_) => exit::REFUSED,
        FileError::Damaged { .. } | FileError::Misfit { .. } => exit::DAMAGED,
    };
    Failure { said: error.to_string(), code }
}

fn print_checked(all: &[(String, Checked)], format: Format) {
    let rows: Vec<_> = all
        .iter()
        .map(|(name, checked)| {
            vec![
                json!(name),
                json!(checked.entries),
                json!(checked.left_out),
                json!(checked.seq),
                json!(hex::encode(&checked.head)),
            ]
        })
        .collect();
    print_rows(format, &["where", "entries", "left_out", "last", "head"], &rows);
}
