//! Who calls, and how fresh the answer has to be.

use std::time::Duration;

use tonic::{Status, metadata::MetadataMap};

use super::analyst::Analyst;
use crate::{Error, MIN_LOG_INDEX_HEADER, READ_HEADER};

/// How long a caller may wait for an index.
const INDEX_WAIT_MAX: Duration = Duration::from_secs(10);
const BEARER: &str = "bearer ";

/// An admitted caller.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: String,
    /// What the caller's handles belong to: the token, or the name where there is none.
    pub(super) session: String,
}

impl Analyst {
    /// Lets a caller in, once this node has recorded the index that the caller demands.
    pub(super) async fn admit(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let caller = self.caller(metadata)?;
        self.wait_for_index(metadata).await?;
        Ok(caller)
    }

    pub(super) fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let token = bearer_token(metadata)?;
        let who = self.live.who(token)?;
        let session = token.map_or_else(|| who.clone(), ToOwned::to_owned);
        Ok(Caller { who, session })
    }

    async fn wait_for_index(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let text =
            |name: &str| metadata.get(name).map(|header| header.to_str().unwrap_or_default());
        let index = match (text(READ_HEADER), text(MIN_LOG_INDEX_HEADER)) {
            // What the tables hold is what is recorded here, however little that is.
            (Some("local"), _) | (None, None) => return Ok(()),
            (Some(level), _) => self.live.read_index(level).await?,
            (None, Some(index)) => index.trim().parse().map_err(|_| {
                Status::invalid_argument(format!(
                    "header {MIN_LOG_INDEX_HEADER} must be a whole number"
                ))
            })?,
        };
        if index <= self.warehouse.recorded_index() {
            return Ok(());
        }
        let late = || {
            let recorded = self.warehouse.recorded_index();
            let seconds = INDEX_WAIT_MAX.as_secs();
            Error::Late(format!(
                "log index {index} was not recorded within {seconds} s; this node is at {recorded}"
            ))
        };
        match tokio::time::timeout(INDEX_WAIT_MAX, self.live.wait_recorded(index, INDEX_WAIT_MAX))
            .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Late(_))) | Err(_) => Err(late().into()),
            Ok(Err(other)) => Err(other.into()),
        }
    }
}

fn bearer_token(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    let Some(header) = metadata.get("authorization") else { return Ok(None) };
    let text = header
        .to_str()
        .map_err(|_| Status::unauthenticated("the authorization header is not text"))?;
    match text.get(..BEARER.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(BEARER) => {
            Ok(Some(text[BEARER.len()..].trim()))
        }
        _ => Err(Status::unauthenticated(
            "sign in by handshake, then send `authorization: Bearer <token>`",
        )),
    }
}
