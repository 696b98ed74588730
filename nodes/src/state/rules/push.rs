//! A new rule set through the log, and those that were in force before.
//!
//! A set travels as text, so that one with a key that an older log does not know still is a command
//! of its own, and the history can be read by people.

use super::Rules;
use crate::state::{Refusal, Reply, State};
use imbl::Vector;
use raft::Position;
use serde::{Deserialize, Serialize};

/// Versions that are remembered.
const VERSIONS_KEPT: usize = 50;
/// The longest text of a set, in bytes.
const TEXT_MAX: usize = 256 << 10;

/// A set on its way into force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulePush {
    /// [`Rules`] as JSON.
    pub text: String,
    pub actor: String,
    pub note: String,
}

/// A set that is or was in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleVersion {
    pub version: u32,
    pub text: String,
    pub actor: String,
    pub note: String,
    pub at_us: i64,
    pub log_index: u64,
}

/// The sets that came through the log, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleHistory {
    versions: Vector<RuleVersion>,
}

impl RuleHistory {
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &RuleVersion> {
        self.versions.iter()
    }

    fn add(&mut self, version: RuleVersion) {
        self.versions.push_back(version);
        if self.versions.len() > VERSIONS_KEPT {
            self.versions.pop_front();
        }
    }
}

impl Rules {
    /// Reads TOML, or JSON where the text begins with a brace.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!(
                "a rule set has at most {TEXT_MAX} bytes, this one {}",
                text.len()
            ));
        }
        let rules: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            toml::from_str(text).map_err(|error| error.to_string().replace('\n', " "))?
        };
        rules.check()?;
        Ok(rules)
    }

    /// The set as it goes through the log.
    pub fn to_text(&self) -> String {
        // Plain data with text keys: it cannot fail. An empty text is refused when it is read.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl RulePush {
    pub fn new(rules: &Rules, actor: &str, note: &str) -> Self {
        Self { text: rules.to_text(), actor: actor.to_owned(), note: note.to_owned() }
    }
}

impl State {
    pub(crate) fn push_rules(&mut self, at: Position, push: RulePush) -> Reply {
        let rules = match Rules::parse(&push.text) {
            Ok(rules) => rules,
            Err(why) => return Reply::Refused(Refusal::Invalid(why)),
        };
        // The built-in set is nobody's decision: the first one that is replaces it under any version.
        let is_first = self.rule_history.versions.is_empty();
        if rules.version <= self.rules.version && !(is_first && rules.version >= 1) {
            let said = format!(
                "rules of version {} are in force, these are of version {}: give them a higher one",
                self.rules.version, rules.version
            );
            return Reply::Refused(Refusal::Precondition(said));
        }
        self.rule_history.add(RuleVersion {
            version: rules.version,
            text: push.text,
            actor: push.actor,
            note: push.note,
            at_us: self.clock_us,
            log_index: at.index,
        });
        self.put_rules_in_force(rules);
        Reply::Done
    }

    pub(crate) fn set_old_rules(&mut self, rules: Rules) -> Reply {
        if rules.version < self.rules.version {
            let said = format!(
                "rules of version {} are in force, these are of version {}",
                self.rules.version, rules.version
            );
            return Reply::Refused(Refusal::Precondition(said));
        }
        self.put_rules_in_force(rules);
        Reply::Done
    }

    fn put_rules_in_force(&mut self, rules: Rules) {
        self.conditions.change_rules(&self.rules, &rules);
        self.rules = rules;
    }
}
