//! The newest score by resident and model, in as little as the portrait shows of it and the scorer needs
//! to tell the next one from it. All of a score, with its reasons, is in the table `risk_score`.

use super::ScoreRecord;
use crate::hex;
use imbl::{OrdSet, Vector};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest as _, Sha256};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// What scores have in common, by number: a model's version, and one of its bands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    model: String,
    version: String,
    model_sha256: String,
    band: String,
}

/// What scores have in common, and how many do: with none left its number is the next one's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shared {
    said: Arc<Said>,
    scores: u32,
}

/// One score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    score: f64,
    feature_hash: [u8; 32],
    read_index: u64,
    scored_us: i64,
    /// Its place among what is said.
    said: u32,
}

/// The newest score of a resident by one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewestScore<'a> {
    kept: Kept,
    said: &'a Said,
}

impl<'a> NewestScore<'a> {
    pub fn model(&self) -> &'a str {
        &self.said.model
    }

    pub fn version(&self) -> &'a str {
        &self.said.version
    }

    pub fn band(&self) -> &'a str {
        &self.said.band
    }

    pub fn score(&self) -> f64 {
        self.kept.score
    }

    pub fn read_index(&self) -> u64 {
        self.kept.read_index
    }

    pub fn scored_us(&self) -> i64 {
        self.kept.scored_us
    }

    /// Whether it was made of these features by this model.
    pub fn is_of(&self, feature_hash: &str, model_sha256: &str) -> bool {
        self.kept.feature_hash == hash_bytes(feature_hash) && self.said.model_sha256 == model_sha256
    }
}

/// How many bytes of a resident's scores say how long the key is.
const LENGTH_BYTES: usize = 4;
const KEPT_BYTES: usize = 60;

impl Kept {
    fn to_bytes(self) -> [u8; KEPT_BYTES] {
        let mut bytes = [0; KEPT_BYTES];
        bytes[..32].copy_from_slice(&self.feature_hash);
        bytes[32..40].copy_from_slice(&self.score.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.read_index.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.scored_us.to_le_bytes());
        bytes[56..].copy_from_slice(&self.said.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; KEPT_BYTES]) -> Option<Self> {
        Some(Self {
            feature_hash: *bytes.first_chunk()?,
            score: f64::from_le_bytes(*bytes[32..].first_chunk()?),
            read_index: u64::from_le_bytes(*bytes[40..].first_chunk()?),
            scored_us: i64::from_le_bytes(*bytes[48..].first_chunk()?),
            said: u32::from_le_bytes(*bytes[56..].first_chunk()?),
        })
    }
}

/// A resident's key and scores in one piece of memory, ordered by the key alone. The scores stand in the
/// order of the models' names.
#[derive(Clone, Debug)]
struct Scored(Arc<[u8]>);

impl Scored {
    fn of(resident: &str, kept: &[Kept]) -> Option<Self> {
        let length = u32::try_from(resident.len()).ok()?.to_le_bytes();
        let mut bytes = [&length[..], resident.as_bytes()].concat();
        bytes.extend(kept.iter().flat_map(|kept| kept.to_bytes()));
        Some(Self(bytes.into()))
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let length = self.0.first_chunk().copied().map_or(0, u32::from_le_bytes) as usize;
        let parts = self.0.get(LENGTH_BYTES..).and_then(|bytes| bytes.split_at_checked(length));
        parts.unwrap_or_default()
    }

    fn resident(&self) -> &str {
        std::str::from_utf8(self.parts().0).unwrap_or_default()
    }

    fn kept(&self) -> impl Iterator<Item = Kept> {
        self.parts().1.as_chunks().0.iter().filter_map(Kept::from_bytes)
    }
}

impl Borrow<[u8]> for Scored {
    fn borrow(&self) -> &[u8] {
        self.parts().0
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().0.cmp(other.parts().0)
    }
}

/// Copies share all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct NewestScores {
    all: OrdSet<Scored>,
    /// As many as bands of versions stood in newest scores at once.
    said: Vector<Shared>,
    len: usize,
}

impl PartialEq for NewestScores {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |scored: &Scored| Arc::clone(&scored.0);
        self.said == other.said && self.all.iter().map(bytes).eq(other.all.iter().map(bytes))
    }
}

/// Feature hashes are SHA-256 in hex; whatever else one is, its own hash stands for it.
fn hash_bytes(text: &str) -> [u8; 32] {
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bytes = if is_plain { hex::decode32(text) } else { None };
    bytes.unwrap_or_else(|| Sha256::digest(text).into())
}

impl NewestScores {
    pub(super) fn get(&self, resident: &str, model: &str) -> Option<NewestScore<'_>> {
        self.of(resident).find(|score| score.model() == model)
    }

    /// Those of a resident, in the order of the models' names.
    pub(super) fn of(&self, resident: &str) -> impl Iterator<Item = NewestScore<'_>> {
        let kept = self.all.get(resident.as_bytes()).into_iter().flat_map(Scored::kept);
        kept.filter_map(|kept| {
            Some(NewestScore { said: &self.said.get(kept.said as usize)?.said, kept })
        })
    }

    /// The number of what one more score says.
    fn number_of(&mut self, said: Said) -> u32 {
        let known = self.said.iter().position(|each| each.scores > 0 && *each.said == said);
        if let Some(shared) = known.and_then(|known| self.said.get_mut(known)) {
            shared.scores += 1;
        }
        let number = known.unwrap_or_else(|| {
            let shared = Shared { said: Arc::new(said), scores: 1 };
            let free = self.said.iter().position(|each| each.scores == 0);
            if let Some(place) = free.and_then(|free| self.said.get_mut(free)) {
                *place = shared;
            } else {
                self.said.push_back(shared);
            }
            free.unwrap_or(self.said.len() - 1)
        });
        number as u32
    }

    /// Puts a score in the place of the one before.
    pub(super) fn put(&mut self, score: &ScoreRecord) {
        let said = Said {
            model: score.model.clone(),
            version: score.version.clone(),
            model_sha256: score.model_sha256.clone(),
            band: score.band.clone(),
        };
        let number = self.number_of(said);
        let kept = Kept {
            score: score.score,
            feature_hash: hash_bytes(&score.feature_hash),
            read_index: score.read_index,
            scored_us: score.scored_us,
            said: number,
        };
        let resident = score.resident_key.as_str();
        let known = self.all.get(resident.as_bytes());
        let mut all: Vec<Kept> = known.into_iter().flat_map(Scored::kept).collect();
        let model = |kept: &Kept| Some(self.said.get(kept.said as usize)?.said.model.as_str());
        match all.binary_search_by(|each| model(each).cmp(&Some(score.model.as_str()))) {
            Ok(at) => {
                let before = std::mem::replace(&mut all[at], kept);
                if let Some(shared) = self.said.get_mut(before.said as usize) {
                    shared.scores -= 1;
                }
            }
            Err(at) => {
                all.insert(at, kept);
                self.len += 1;
            }
        }
        if let Some(scored) = Scored::of(resident, &all) {
            self.all.insert(scored);
        }
    }
}

/// As snapshots have had it from the first: whole scores by resident and model. Reasons stay out.
impl Serialize for NewestScores {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.len))?;
        for resident in self.all.iter().map(Scored::resident) {
            for score in self.of(resident) {
                let record = ScoreRecord {
                    resident_key: resident.to_owned(),
                    model: score.model().to_owned(),
                    version: score.version().to_owned(),
                    model_sha256: score.said.model_sha256.clone(),
                    score: score.score(),
                    band: score.band().to_owned(),
                    reasons: Vec::new(),
                    feature_hash: hex::encode(&score.kept.feature_hash),
                    read_index: score.read_index(),
                    scored_us: score.scored_us(),
                    alert: None,
                };
                map.serialize_entry(&(resident, score.model()), &record)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for NewestScores {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Records;
        impl<'de> Visitor<'de> for Records {
            type Value = NewestScores;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("scores by resident and model")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<NewestScores, A::Error> {
                let mut scores = NewestScores::default();
                while let Some((_, record)) = from.next_entry::<(String, String), ScoreRecord>()? {
                    scores.put(&record);
                }
                Ok(scores)
            }
        }
        from.deserialize_map(Records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn record(resident: &str, model: &str, step: u64) -> ScoreRecord {
        ScoreRecord {
            resident_key: resident.to_owned(),
            model: model.to_owned(),
            version: (1 + step / 3).to_string(),
            model_sha256: "5".repeat(64),
            score: step as f64 / 10.0,
            band: ["low", "high"][step as usize % 2].to_owned(),
            reasons: vec![("age".to_owned(), 80.0, 0.3)],
            feature_hash: if step == 4 { "no hex".to_owned() } else { format!("{step:064x}") },
            read_index: step,
            scored_us: step as i64 * 7,
            alert: None,
        }
    }

    #[test]
    fn the_newest_of_each_model_is_kept_and_known_again_after_a_snapshot() {
        let mut scores = NewestScores::default();
        let mut want = BTreeMap::new();
        for step in 0..6 {
            for (resident, model) in [("r2", "fall_risk"), ("r1", "subsidy"), ("r1", "fall_risk")] {
                let record = record(resident, model, step + u64::from(model == "subsidy"));
                scores.put(&record);
                want.insert((resident.to_owned(), model.to_owned()), record);
            }
        }
        let bytes = postcard::to_stdvec(&scores).unwrap();
        let again: NewestScores = postcard::from_bytes(&bytes).unwrap();
        // A snapshot of an older program has the reasons, too.
        let older: NewestScores =
            postcard::from_bytes(&postcard::to_stdvec(&want).unwrap()).unwrap();
        for scores in [&scores, &again, &older] {
            assert_eq!(postcard::to_stdvec(scores).unwrap(), bytes);
            let models: Vec<&str> = scores.of("r1").map(|score| score.model()).collect();
            assert_eq!(models, ["fall_risk", "subsidy"]);
            assert_eq!(scores.of("r3").count(), 0);
            for ((resident, model), record) in &want {
                let score = scores.get(resident, model).unwrap();
                assert!(score.is_of(&record.feature_hash, &record.model_sha256));
                assert!(!score.is_of(&format!("{:064x}", 77), &record.model_sha256));
                assert!(!score.is_of(&record.feature_hash, "6"));
                assert_eq!((score.version(), score.band()), (&*record.version, &*record.band));
                assert_eq!((score.score(), score.read_index()), (record.score, record.read_index));
                assert_eq!(score.scored_us(), record.scored_us);
            }
        }
        assert_eq!(scores.len, 3);
    }

    /// A model that gets a version a day for years costs what it says now.
    #[test]
    fn what_no_score_says_any_more_is_dropped() {
        let mut scores = NewestScores::default();
        for step in 0..3_000 {
            for resident in ["r1", "r2", "r3"] {
                scores.put(&record(resident, "fall_risk", step));
            }
            scores.put(&record("r1", "subsidy", 1));
            // Two bands of a version are on their way while residents are scored anew.
            assert!(scores.said.len() <= 4, "{} after {step}", scores.said.len());
            for resident in ["r1", "r2", "r3"] {
                let score = scores.get(resident, "fall_risk").unwrap();
                assert_eq!(score.version(), (1 + step / 3).to_string());
                assert_eq!(score.band(), ["low", "high"][step as usize % 2]);
            }
            assert_eq!(scores.get("r1", "subsidy").unwrap().version(), "1");
        }
        let again: NewestScores =
            postcard::from_bytes(&postcard::to_stdvec(&scores).unwrap()).unwrap();
        assert_eq!(postcard::to_stdvec(&again).unwrap(), postcard::to_stdvec(&scores).unwrap());
    }

    #[test]
    fn a_hash_that_is_no_hex_is_told_from_others() {
        assert_eq!(hash_bytes(&"0a".repeat(32)), [10; 32]);
        assert_eq!(hex::encode(&[10; 32]), "0a".repeat(32));
        let others = ["", "0a", &"0A".repeat(32), &"zz".repeat(32)].map(hash_bytes);
        for (at, other) in others.iter().enumerate() {
            assert!(!others[..at].contains(other) && *other != [10; 32]);
            // What a snapshot says of it leads to it.
            assert_eq!(hash_bytes(&hex::encode(other)), *other);
        }
    }
}
