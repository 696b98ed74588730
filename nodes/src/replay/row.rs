//! One line of the file, opened: the cells of a delimited line or the value of a JSON line.

use serde_json::Value;

/// The most cells a delimited line may have.
pub(super) const CELLS_MAX: usize = 1_024;

/// How a delimited line is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// `None` cuts at runs of white space.
    pub(super) delimiter: Option<char>,
    pub(super) quote: Option<char>,
    pub(super) trim: bool,
}

/// What a mapping's places are looked up in.
#[derive(Debug)]
pub(super) enum Row {
    Cells(Vec<String>),
    Json(Value),
    /// A message: its payload, a text where it is no JSON, and the named levels of its topic.
    Message {
        payload: Value,
        levels: Vec<(String, String)>,
    },
}

impl Row {
    pub(super) fn cell(&self, column: usize) -> Option<&str> {
        match self {
            Self::Cells(cells) => cells.get(column).map(String::as_str),
            Self::Json(_) | Self::Message { .. } => None,
        }
    }

    /// A level of a message's topic.
    pub(super) fn level(&self, name: &str) -> Option<&str> {
        let Self::Message { levels, .. } = self else { return None };
        levels.iter().find(|(each, _)| each == name).map(|(_, level)| level.as_str())
    }

    /// A text, number or truth at a JSON pointer; anything else counts as missing.
    pub(super) fn pointer(&self, pointer: &str) -> Option<String> {
        let (Self::Json(value) | Self::Message { payload: value, .. }) = self else { return None };
        match value.pointer(pointer)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }
}

impl Cut {
    pub(super) fn cells(&self, line: &str) -> Result<Vec<String>, String> {
        let cells = match self.delimiter {
            None => line.split_whitespace().map(str::to_owned).collect(),
            Some(delimiter) => self.split(line, delimiter)?,
        };
        if cells.len() > CELLS_MAX {
            return Err(format!(
                "a line may have {CELLS_MAX} columns, this one has {}",
                cells.len()
            ));
        }
        Ok(cells)
    }

    fn split(&self, line: &str, delimiter: char) -> Result<Vec<String>, String> {
        let mut cells = Vec::new();
        let mut cell = String::new();
        // Whether the cell is inside quotes, and whether it had any.
        let (mut inside, mut quoted) = (false, false);
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            if inside {
                // A doubled quote stands for itself.
                inside = Some(letter) != self.quote || letters.next_if_eq(&letter).is_some();
                if inside {
                    cell.push(letter);
                }
            } else if letter == delimiter {
                cells.push(self.finish(&mut cell, quoted));
                quoted = false;
            } else if Some(letter) == self.quote && !quoted && cell.trim().is_empty() {
                cell.clear();
                (inside, quoted) = (true, true);
            } else if !(quoted && letter.is_whitespace()) {
                cell.push(letter);
            }
        }
        if inside {
            return Err("a quote is opened and not closed on this line".to_owned());
        }
        cells.push(self.finish(&mut cell, quoted));
        Ok(cells)
    }

    fn finish(&self, cell: &mut String, quoted: bool) -> String {
        let text = std::mem::take(cell);
        if self.trim && !quoted { text.trim().to_owned() } else { text }
    }
}

/// The cells of a line with commas and, around some, quotes.
pub(crate) fn cells(line: &str) -> Result<Vec<String>, String> {
    Cut { delimiter: Some(','), quote: Some('"'), trim: true }.cells(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(delimiter: Option<char>) -> Cut {
        Cut { delimiter, quote: Some('"'), trim: true }
    }

    #[test]
    fn lines_are_cut() {
        let comma = cut(Some(','));
        assert_eq!(comma.cells("a, b ,,c").unwrap(), ["a", "b", "", "c"]);
        assert_eq!(
            comma.cells("\"a,b\",\"say \"\"no\"\"\", \" x \" ").unwrap(),
            ["a,b", "say \"no\"", " x "]
        );
        assert_eq!(comma.cells("5\" pipe,2").unwrap(), ["5\" pipe", "2"]);
        assert!(comma.cells("\"open,2").is_err());
        assert_eq!(cut(None).cells("  a \t b  c ").unwrap(), ["a", "b", "c"]);
        assert!(comma.cells(&",".repeat(CELLS_MAX)).is_err());
    }

    #[test]
    fn a_pointer_reads_plain_values_only() {
        let row = Row::Json(serde_json::json!({"a": {"b": [1.5, true, null]}, "t": "x"}));
        assert_eq!(row.pointer("/a/b/0").as_deref(), Some("1.5"));
        assert_eq!(row.pointer("/a/b/1").as_deref(), Some("true"));
        assert_eq!(row.pointer("/a/b/2"), None);
        assert_eq!(row.pointer("/a"), None);
        assert_eq!(row.cell(0), None);
    }
}
