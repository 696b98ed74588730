//! The topic of a message as named levels: `{city}/{street}/{device}/{type}`.

use super::mapping::MappingError;

/// Levels in a topic's template.
const LEVELS_MAX: usize = 64;

/// One level of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Named(String),
    Literal(String),
    /// `+`: any one level.
    Any,
    /// `#`: all that follow.
    Rest,
}

/// How topics are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    text: String,
    levels: Vec<Level>,
}

impl Topic {
    pub(super) fn parse(text: &str) -> Result<Self, MappingError> {
        let refuse = || MappingError::Layout {
            path: "topic".to_owned(),
            reason: format!(
                "{text:?} is no template such as \"{{city}}/+/{{device}}/#\": a level is a name \
                 in braces, a word, + or, at the end, #"
            ),
        };
        let mut levels = Vec::new();
        let parts: Vec<&str> = text.split('/').collect();
        for (at, part) in parts.iter().enumerate() {
            let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            levels.push(match (name, *part) {
                (Some(name), _) if !name.is_empty() && !name.contains(['{', '}', '/']) => {
                    Level::Named(name.to_owned())
                }
                (None, "+") => Level::Any,
                (None, "#") if at + 1 == parts.len() => Level::Rest,
                (None, word) if !word.contains(['{', '}', '+', '#']) => {
                    Level::Literal(word.to_owned())
                }
                _ => return Err(refuse()),
            });
        }
        let named = |level: &Level| matches!(level, Level::Named(_));
        let twice = levels
            .iter()
            .enumerate()
            .any(|(at, level)| named(level) && levels[..at].contains(level));
        if levels.len() > LEVELS_MAX || twice {
            return Err(refuse());
        }
        Ok(Self { text: text.to_owned(), levels })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.levels.iter().any(|level| matches!(level, Level::Named(each) if each == name))
    }

    pub(super) fn names(&self) -> String {
        let names = self.levels.iter().filter_map(|level| match level {
            Level::Named(name) => Some(name.as_str()),
            _ => None,
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// The named levels of a topic.
    pub(super) fn cut(&self, topic: &str) -> Result<Vec<(String, String)>, String> {
        let refuse = || format!("the topic {topic:?} is not as {:?}", self.text);
        let mut parts = topic.split('/');
        let mut found = Vec::new();
        for level in &self.levels {
            if *level == Level::Rest {
                return Ok(found);
            }
            let part = parts.next().ok_or_else(refuse)?;
            match level {
                Level::Named(name) => found.push((name.clone(), part.to_owned())),
                Level::Literal(word) if word != part => return Err(refuse()),
                _ => {}
            }
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_cut_into_its_names() {
        let topic = Topic::parse("hz/{street}/+/{device}/#").unwrap();
        let cut = topic.cut("hz/南星/x/d1/a/b").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(cut, [pair("street", "南星"), pair("device", "d1")]);
        assert!(topic.cut("hz/s/x/d1").is_ok());
        assert!(topic.cut("hz/s/x").unwrap_err().contains("is not as"));
        assert!(topic.cut("nb/s/x/d1").is_err());
        assert!(Topic::parse("a/{b}").unwrap().cut("a/b/c").is_err());
        for wrong in ["a/{}", "a/{b", "#/a", "a+/b", "{a}/{a}", "x{a}"] {
            assert!(Topic::parse(wrong).is_err(), "{wrong}");
        }
    }
}
