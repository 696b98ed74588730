//! `model.linfa`: `HLIN`, a version byte, the postcard form of what is stored, and the SHA-256 of
//! all before it.
//!
//! Version 2 holds every family. Version 1 held logistic regression of two classes only; it is read
//! for ever and not written any more.

use serde::{Deserialize, Serialize};

use super::body::Body;
use super::family::Family;
use super::{LINFA_VERSION, first_file};
use crate::Error;
use crate::digest::{DIGEST_BYTES, sha256};

const MAGIC: &[u8; 4] = b"HLIN";
const FIRST_VERSION: u8 = 1;
const FILE_VERSION: u8 = 2;
/// The largest model.linfa, in bytes: a thousand trees of two thousand leaves.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) linfa_version: String,
    pub(super) family: Family,
    pub(super) features: Vec<String>,
    /// Empty where nothing is classified.
    pub(super) classes: Vec<String>,
    /// Of the training rows: the reference of contributions, and of the standardisation.
    pub(super) means: Vec<f64>,
    /// Standard deviations; 1 for a feature that never varied.
    pub(super) scales: Vec<f64>,
    pub(super) body: Body,
}

impl Stored {
    pub(super) fn new(
        family: Family,
        features: &[String],
        (means, scales): (Vec<f64>, Vec<f64>),
        body: Body,
    ) -> Self {
        Self {
            linfa_version: LINFA_VERSION.into(),
            family,
            features: features.to_vec(),
            classes: Vec::new(),
            means,
            scales,
            body,
        }
    }
}

fn wrong(reason: &str) -> Error {
    Error::Model(format!("model.linfa: {reason}"))
}

pub(super) fn write(stored: &Stored) -> Result<Vec<u8>, Error> {
    let mut bytes = [MAGIC.as_slice(), &[FILE_VERSION]].concat();
    let body = postcard::to_stdvec(stored).map_err(|error| wrong(&error.to_string()))?;
    bytes.extend_from_slice(&body);
    let digest = sha256(&bytes);
    bytes.extend_from_slice(&digest);
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Error::Limit(format!(
            "model.linfa would have {} bytes of at most {FILE_BYTES_MAX}; fit fewer or smaller trees",
            bytes.len()
        )));
    }
    Ok(bytes)
}

pub(super) fn read(bytes: &[u8]) -> Result<Stored, Error> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Error::Limit(format!(
            "model.linfa has {} bytes; at most {FILE_BYTES_MAX} are taken",
            bytes.len()
        )));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(wrong("not a linfa model file; write it with `hearth train`"));
    }
    let (content, digest) = bytes
        .split_at_checked(bytes.len().saturating_sub(DIGEST_BYTES))
        .filter(|(content, _)| content.len() > MAGIC.len())
        .ok_or_else(|| wrong("the file is cut short"))?;
    if sha256(content) != digest {
        return Err(wrong("the file is damaged: its SHA-256 does not fit its content"));
    }
    let body = &content[MAGIC.len() + 1..];
    match content[MAGIC.len()] {
        FIRST_VERSION => first_file::read(body).map_err(|reason| wrong(&reason)),
        FILE_VERSION => postcard::from_bytes(body).map_err(|error| wrong(&error.to_string())),
        other => Err(wrong(&format!("version {other} of the file is not known; update hearth"))),
    }
}
