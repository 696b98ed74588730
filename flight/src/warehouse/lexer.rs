//! Just enough of SQL's words to see where a statement begins and ends.

/// One word, quotation or sign, as a range of the text's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of a statement, without blanks and comments.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = blank_bytes(rest);
        let length = if blank > 0 { blank } else { token_bytes(rest) };
        if blank == 0 {
            found.push(Token { text: &rest[..length], start: at });
        }
        at += length;
    }
    found
}

/// The statement without what follows its last word: semicolons, blanks and comments.
pub(crate) fn without_tail(sql: &str) -> &str {
    let last = tokens(sql).into_iter().rev().find(|token| token.text != ";");
    last.map_or("", |token| &sql[..token.end()])
}

fn blank_bytes(rest: &str) -> usize {
    if rest.starts_with("--") {
        return rest.find('\n').map_or(rest.len(), |end| end + 1);
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    rest.len() - rest.trim_start().len()
}

fn token_bytes(rest: &str) -> usize {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        '\'' | '"' => quotation_bytes(rest, first),
        '$' => dollar_bytes(rest),
        _ if is_word(first) => rest.find(|each| !is_word(each)).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    }
}

fn is_word(each: char) -> bool {
    each.is_alphanumeric() || each == '_'
}

/// A doubled quote stands for itself, so it neither ends the quotation nor begins another.
fn quotation_bytes(rest: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = rest[at..].find(quote) {
        at += end + 1;
        if !rest[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    rest.len()
}

/// `$tag$ ... $tag$`, or the name of a parameter.
fn dollar_bytes(rest: &str) -> usize {
    let name = 1 + rest[1..].find(|each| !is_word(each)).unwrap_or(rest.len() - 1);
    if !rest[name..].starts_with('$') {
        return name;
    }
    let tag = &rest[..=name];
    rest[tag.len()..].find(tag).map_or(rest.len(), |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_and_comments_hide_semicolons() {
        let check = |sql, expected: &[&str]| {
            let found: Vec<&str> = tokens(sql).iter().map(|token| token.text).collect();
            assert_eq!(found, expected, "{sql}");
        };
        check("select 'a;''b' -- ; x\n, \"c;\"", &["select", "'a;''b'", ",", "\"c;\""]);
        check("/* ; */ select $1+$x", &["select", "$1", "+", "$x"]);
        check("select $t$ it's; $t$;", &["select", "$t$ it's; $t$", ";"]);
        check("select 'open", &["select", "'open"]);
        check("select 名 from \u{3000}t", &["select", "名", "from", "t"]);
        assert_eq!(without_tail("select 1 ; -- end\n ;"), "select 1");
        assert_eq!(without_tail(" -- nothing"), "");
    }
}
