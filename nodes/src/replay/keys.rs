//! A TOML table that is read key by key, and says which key it does not know.

use toml::{Table, Value};

use super::mapping::MappingError;

/// How alike two names must be (Jaro-Winkler) before one is offered for the other.
const ALIKE_MIN: f64 = 0.7;

/// The keys of one table that have not been read yet, and where in the file they stand.
#[derive(Debug)]
pub(super) struct Keys {
    path: String,
    left: Table,
}

impl Keys {
    /// Refuses a key that is not among `known`.
    pub(super) fn new(
        path: impl Into<String>,
        table: Table,
        known: &[&str],
    ) -> Result<Self, MappingError> {
        let path = path.into();
        for key in table.keys() {
            if !known.contains(&key.as_str()) {
                return Err(MappingError::UnknownKey {
                    path,
                    key: key.clone(),
                    nearest: nearest(key, known),
                });
            }
        }
        Ok(Self { path, left: table })
    }

    /// The table behind `value`, which must be one.
    pub(super) fn of(
        path: impl Into<String>,
        value: Value,
        known: &[&str],
    ) -> Result<Self, MappingError> {
        let path = path.into();
        match value {
            Value::Table(table) => Self::new(path, table, known),
            other => Err(wrong(path, "a table", &other)),
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn here(&self) -> &str {
        &self.path
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.left.remove(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(self.path(key), "a text", &other)),
        }
    }

    pub(super) fn truth(&mut self, key: &str) -> Result<Option<bool>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(truth)) => Ok(Some(truth)),
            Some(other) => Err(wrong(self.path(key), "true or false", &other)),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => Ok(Some(number as f64)),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(number)),
            Some(other) => Err(wrong(self.path(key), "a number", &other)),
        }
    }

    /// A whole number of at least 0.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) if number >= 0 => Ok(Some(number.unsigned_abs())),
            Some(other) => Err(wrong(self.path(key), "a whole number of 0 or more", &other)),
        }
    }

    /// One text or a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(values)) => {
                let texts = values.iter().map(|each| {
                    scalar(each).ok_or_else(|| wrong(self.path(key), "a list of texts", each))
                });
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(value) => match scalar(&value) {
                Some(text) => Ok(Some(vec![text])),
                None => Err(wrong(self.path(key), "a text or a list of texts", &value)),
            },
        }
    }
}

/// The text of a plain value; a whole float keeps no point, so that `1.0` and `1` are the same.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

pub(super) fn wrong(path: String, want: &'static str, got: &Value) -> MappingError {
    MappingError::WrongType { path, want, got: got.type_str() }
}

/// "; did you mean ..." or what there is.
fn nearest(key: &str, known: &[&str]) -> String {
    let best = known
        .iter()
        .map(|each| (strsim::jaro_winkler(key, each), *each))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match best {
        Some((alike, name)) if alike >= ALIKE_MIN => format!("did you mean {name:?}?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_names_the_nearest_known() {
        let table: Table = "colum = 3".parse().unwrap();
        let said = Keys::new("event[1].kind", table, &["column", "constant"]).unwrap_err();
        assert_eq!(
            said.to_string(),
            "unknown key \"colum\" in event[1].kind; did you mean \"column\"?"
        );
        let table: Table = "zzz = 3".parse().unwrap();
        let said = Keys::new("", table, &["column", "map"]).unwrap_err().to_string();
        assert_eq!(said, "unknown key \"zzz\" at the top; known are column, map");
    }
}
