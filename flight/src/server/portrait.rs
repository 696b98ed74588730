//! The portrait without DuckDB: recognised in SQL, or asked for by a plain ticket.

use crate::warehouse::lexer::{Token, tokens};

/// Whose portrait a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Key(String),
    /// The statement's one parameter is the key.
    Parameter,
}

/// Recognises `SELECT * FROM portrait('…')` and `portrait(?)`; anything more goes to the warehouse.
pub(super) fn asked(sql: &str) -> Option<Asked> {
    let mut words = tokens(sql);
    while words.last().is_some_and(|last| last.text == ";") {
        words.pop();
    }
    let rest = after(&words, &["select", "*", "from"])?;
    let rest = after(rest, &["hearth", "."]).unwrap_or(rest);
    let rest = after(rest, &["civil", "."]).unwrap_or(rest);
    match after(rest, &["portrait", "("])? {
        [key, close] if close.text == ")" => key_of(key.text),
        _ => None,
    }
}

fn after<'a, 'b>(words: &'b [Token<'a>], expected: &[&str]) -> Option<&'b [Token<'a>]> {
    let (head, rest) = words.split_at_checked(expected.len())?;
    head.iter().zip(expected).all(|(word, expected)| word.is(expected)).then_some(rest)
}

fn key_of(text: &str) -> Option<Asked> {
    if matches!(text, "?" | "$1") {
        return Some(Asked::Parameter);
    }
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Asked::Key(inner.replace("''", "'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_form_is_recognised() {
        let key = |key: &str| Some(Asked::Key(key.to_owned()));
        for (sql, expected) in [
            ("SELECT * FROM portrait('r1')", key("r1")),
            ("select *\nfrom hearth.civil.Portrait ( 'it''s' ) ; -- end", key("it's")),
            ("select * from portrait(?)", Some(Asked::Parameter)),
            ("select * from portrait($1);", Some(Asked::Parameter)),
            ("select age from portrait('r1')", None),
            ("select * from portrait('r1') limit 1", None),
            ("select * from portrait('a' || 'b')", None),
            ("select * from portrait(1)", None),
            ("select", None),
        ] {
            assert_eq!(asked(sql), expected, "{sql}");
        }
    }
}
