//! What an entry of the ledger says, and its text.

use super::chain::{Hash, content_digest};
use super::exact;
use serde::{Deserialize, Serialize};

/// The first word of every entry's text.
const TEXT_VERSION: u8 = 1;

/// What a model decides about: this word in its manifest asks for a person before anything is refused.
pub const EFFECT_BENEFIT: &str = "benefit";
/// The outcome of a decision about a benefit as the machine leaves it: a person has to look at it.
pub const OUTCOME_PROPOSED: &str = "proposed";
/// The outcome of any other decision: the machine has advised somebody.
pub const OUTCOME_ADVISED: &str = "advised";
/// What a reviewer may find.
pub const VERDICTS: [&str; 3] = ["uphold", "overturn", "refer"];

/// One feature as the model read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    pub feature: String,
    #[serde(with = "exact::single")]
    pub value: f32,
    pub event_time_us: i64,
    /// present, default, stale; given where the caller sent the value.
    pub status: String,
}

/// What one feature added to the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    pub feature: String,
    #[serde(with = "exact::real")]
    pub value: f64,
    #[serde(with = "exact::real")]
    pub contribution: f64,
}

/// One decision: the score with everything it was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    pub decision_id: String,
    /// Empty where the caller sent the features and named nobody.
    pub entity: String,
    pub model: String,
    pub version: String,
    pub model_sha256: String,
    /// The content address of the package, by which it is found again when it is long retired.
    pub package_sha256: String,
    /// The feature view and its fingerprint; empty where the caller sent the features.
    pub view: String,
    pub view_fingerprint: String,
    /// The time that windows and ages were read at.
    pub as_of_us: i64,
    pub read_index: u64,
    #[serde(with = "exact::real")]
    pub score: f64,
    pub band: String,
    #[serde(with = "exact::real")]
    pub base: f64,
    pub link: String,
    pub contributions: Vec<Contribution>,
    pub features: Vec<Reading>,
    pub caller: String,
    pub purpose: String,
    /// What turned the score into a band.
    pub policy: String,
    /// `benefit`, or empty.
    pub effect: String,
    /// As the machine left it. Reviews are entries of their own.
    pub outcome: String,
    /// Who is to look at it, where the caller said so.
    pub human_reviewer: String,
}

/// What a person found of a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRecord {
    pub decision_id: String,
    pub decision_seq: u64,
    /// The decision's own hash: the review is of that one and no other.
    #[serde(with = "exact::hash")]
    pub decision_hash: Hash,
    pub entity: String,
    pub reviewer: String,
    /// One of [`VERDICTS`].
    pub verdict: String,
    pub reason: String,
}

/// What became of it, learnt later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedRecord {
    /// Empty where the score was not a recorded decision.
    pub decision_id: String,
    pub entity: String,
    pub model: String,
    pub version: String,
    /// What had been foretold, and when.
    #[serde(with = "exact::real")]
    pub score: f64,
    pub scored_us: i64,
    #[serde(with = "exact::real")]
    pub observed: f64,
    pub observed_us: i64,
    /// Who says so.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    Decision(Box<DecisionRecord>),
    Review(ReviewRecord),
    Outcome(ObservedRecord),
}

/// One entry in its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without a gap.
    pub seq: u64,
    pub at_us: i64,
    pub term: u64,
    pub log_index: u64,
    pub what: What,
    pub previous_hash: Hash,
    pub hash: Hash,
}

/// The part of an entry that its hash covers, in the order of its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<W> {
    hearth_ledger: u8,
    seq: u64,
    at_us: i64,
    term: u64,
    log_index: u64,
    what: W,
}

impl Entry {
    /// What the hash covers.
    pub fn text(&self) -> String {
        let text = Text {
            hearth_ledger: TEXT_VERSION,
            seq: self.seq,
            at_us: self.at_us,
            term: self.term,
            log_index: self.log_index,
            what: &self.what,
        };
        // Plain data with text keys: writing it into memory cannot fail.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// The entry that a text says; the text must be exactly what this program would write.
    pub fn parse(text: &str, previous_hash: Hash, hash: Hash) -> Result<Self, String> {
        let read: Text<What> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if read.hearth_ledger != TEXT_VERSION {
            return Err(format!(
                "an entry of version {}, this program reads {TEXT_VERSION}: update hearth",
                read.hearth_ledger
            ));
        }
        let Text { seq, at_us, term, log_index, what, .. } = read;
        let entry = Self { seq, at_us, term, log_index, what, previous_hash, hash };
        if entry.text() != text {
            return Err("its text is not in the form that its hash was made of".to_owned());
        }
        Ok(entry)
    }

    pub fn content_digest(&self) -> Hash {
        content_digest(self.text().as_bytes())
    }

    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Decision(_) => "decision",
            What::Review(_) => "review",
            What::Outcome(_) => "outcome",
        }
    }

    /// The decision that it is or speaks of; empty where there is none.
    pub fn decision_id(&self) -> &str {
        match &self.what {
            What::Decision(each) => &each.decision_id,
            What::Review(each) => &each.decision_id,
            What::Outcome(each) => &each.decision_id,
        }
    }

    pub fn entity(&self) -> &str {
        match &self.what {
            What::Decision(each) => &each.entity,
            What::Review(each) => &each.entity,
            What::Outcome(each) => &each.entity,
        }
    }

    pub fn decision(&self) -> Option<&DecisionRecord> {
        if let What::Decision(decision) = &self.what { Some(decision.as_ref()) } else { None }
    }

    /// In words, for messages.
    pub fn name(&self) -> String {
        match &self.what {
            What::Decision(each) => format!("entry {}, decision {}", self.seq, each.decision_id),
            What::Review(each) => {
                format!("entry {}, a review of decision {}", self.seq, each.decision_id)
            }
            What::Outcome(each) if each.decision_id.is_empty() => {
                format!("entry {}, an outcome of {}", self.seq, each.entity)
            }
            What::Outcome(each) => {
                format!("entry {}, an outcome of decision {}", self.seq, each.decision_id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ledger::chain::ZERO;

    fn entry() -> Entry {
        let values = [0.1_f32, -0.0, f32::NAN, f32::NEG_INFINITY, 1e-42, 16_777_216.0];
        let readings = values.iter().map(|value| Reading {
            feature: "年龄 \"x\"\n".to_owned(),
            value: *value,
            event_time_us: 1,
            status: "present".to_owned(),
        });
        let decision = DecisionRecord {
            decision_id: "d1".to_owned(),
            score: 0.1 + 0.2,
            base: -2.5e-310,
            contributions: vec![Contribution {
                feature: "a".to_owned(),
                value: f64::from_bits(0x7ff8_0000_0000_1234),
                contribution: 1.0 / 3.0,
            }],
            features: readings.collect(),
            ..DecisionRecord::default()
        };
        let what = What::Decision(Box::new(decision));
        Entry { seq: 1, at_us: 2, term: 3, log_index: 4, what, previous_hash: ZERO, hash: ZERO }
    }

    #[test]
    fn a_text_keeps_every_bit() {
        let entry = entry();
        let text = entry.text();
        let back = Entry::parse(&text, ZERO, ZERO).unwrap();
        assert_eq!(back.text(), text);
        let (old, new) = (entry.decision().unwrap(), back.decision().unwrap());
        let bits =
            |all: &[Reading]| all.iter().map(|each| each.value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&old.features), bits(&new.features));
        assert_eq!(old.score.to_bits(), new.score.to_bits());
        assert_eq!(old.base.to_bits(), new.base.to_bits());
        assert_eq!(old.contributions[0].value.to_bits(), new.contributions[0].value.to_bits());
    }

    /// Entries outlive programs: this text and its digest never change.
    #[test]
    fn the_text_is_fixed() {
        let review = ReviewRecord { reviewer: "wang".to_owned(), ..ReviewRecord::default() };
        let what = What::Review(review);
        let entry = Entry {
            seq: 7,
            at_us: 2,
            term: 3,
            log_index: 4,
            what,
            previous_hash: ZERO,
            hash: ZERO,
        };
        let zeros = "0".repeat(64);
        assert_eq!(
            entry.text(),
            format!(
                r#"{{"hearth_ledger":1,"seq":7,"at_us":2,"term":3,"log_index":4,"what":{{"review":{{"decision_id":"","decision_seq":0,"decision_hash":"{zeros}","entity":"","reviewer":"wang","verdict":"","reason":""}}}}}}"#
            )
        );
    }

    #[test]
    fn a_text_in_another_form_is_refused() {
        let text = entry().text();
        assert!(Entry::parse(&text.replace("\"seq\":1", "\"seq\": 1"), ZERO, ZERO).is_err());
        assert!(Entry::parse(&text.replace("\"seq\":1", "\"seq\":01"), ZERO, ZERO).is_err());
        let newer = text.replace("\"hearth_ledger\":1", "\"hearth_ledger\":2");
        assert!(Entry::parse(&newer, ZERO, ZERO).unwrap_err().contains("update hearth"));
    }
}
