//! `features_at('view', list, known_at := ..., provenance := true)` in a statement: found by its words
//! and written out, so that it may stand wherever a table stands.

use std::{borrow::Cow, sync::Arc};

use features::FeatureView;

use super::{Give, Question, features_sql};
use crate::{
    Error,
    warehouse::lexer::{Token, tokens},
};

const NAME: &str = "features_at";
/// Each call is a query of its own.
const CALLS_MAX: usize = 8;
const USAGE: &str = "write features_at('view', list), features_at('view', (SELECT key, time FROM ...)), \
     and behind it known_at := TIME or provenance := true";

/// The statement with every call written out. `view` finds a view by its name.
pub(crate) fn expand<'a>(
    sql: &'a str,
    view: &dyn Fn(&str) -> Result<Arc<FeatureView>, Error>,
) -> Result<Cow<'a, str>, Error> {
    let mut sql = Cow::Borrowed(sql);
    for _ in 0..=CALLS_MAX {
        let words = tokens(&sql);
        // The last one first: what stands in its brackets holds no other.
        let Some(at) = words.windows(2).rposition(|pair| pair[0].is(NAME) && pair[1].text == "(")
        else {
            return Ok(sql);
        };
        let (from, written, to) = write_out(&sql, &words, at, view)?;
        sql = Cow::Owned(format!("{}{written}{}", &sql[..from], &sql[to..]));
    }
    Err(Error::TooMuch(format!("a statement may call {NAME} {CALLS_MAX} times")))
}

fn write_out(
    sql: &str,
    words: &[Token<'_>],
    at: usize,
    view: &dyn Fn(&str) -> Result<Arc<FeatureView>, Error>,
) -> Result<(usize, String, usize), Error> {
    let wrong = |what: &str| Error::Query(format!("{NAME}: {what}; {USAGE}"));
    let (arguments, end) =
        arguments(sql, &words[at + 2..]).ok_or_else(|| wrong("a bracket is open"))?;
    let [name, list, options @ ..] = arguments.as_slice() else {
        return Err(wrong("it takes a view and a list"));
    };
    let name = name
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .ok_or_else(|| wrong("the view comes first, in quotation marks"))?;
    let view = view(name)?;
    let mut question =
        Question { view: &view, list: "", known_at: None, through: None, give: Give::Values };
    for option in options {
        let (key, value) = option
            .split_once(":=")
            .or_else(|| option.split_once("=>"))
            .ok_or_else(|| wrong("of a view and a list there is one each"))?;
        match (key.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("known_at", time) if !time.is_empty() => question.known_at = Some(time),
            ("provenance", value) if value.eq_ignore_ascii_case("true") => {
                question.give = Give::Provenance;
            }
            ("provenance", value) if value.eq_ignore_ascii_case("false") => {}
            _ => return Err(wrong("an option is not known")),
        }
    }
    let list = table(list);
    question.list = &list;
    let before = qualifiers(words, at);
    Ok((words[before].start, features_sql(&question), end))
}

/// The list as something that a FROM takes.
fn table(list: &str) -> Cow<'_, str> {
    let words = tokens(list);
    let is_query = words.first().is_some_and(|first| {
        ["select", "with", "values", "from", "table"].iter().any(|word| first.is(word))
    });
    if is_query { Cow::Owned(format!("(\n{list}\n)")) } else { Cow::Borrowed(list) }
}

/// Where the call begins with the schema and the catalog that may stand before it.
fn qualifiers(words: &[Token<'_>], at: usize) -> usize {
    let mut first = at;
    while first >= 2
        && words[first - 1].text == "."
        && (words[first - 2].is("civil") || words[first - 2].is("hearth"))
    {
        first -= 2;
    }
    first
}

/// What stands between the commas of the brackets, and where they end.
fn arguments<'a>(sql: &'a str, words: &[Token<'a>]) -> Option<(Vec<&'a str>, usize)> {
    let mut depth = 0_usize;
    let mut from = words.first()?.start;
    let mut found = Vec::new();
    for word in words {
        match word.text {
            "(" | "[" | "{" => depth += 1,
            ")" if depth == 0 => {
                found.push(sql[from..word.start].trim());
                return Some((found, word.start + 1));
            }
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            "," if depth == 0 => {
                found.push(sql[from..word.start].trim());
                from = word.start + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fall_risk(name: &str) -> Result<Arc<FeatureView>, Error> {
        let views = features::builtin::views().unwrap();
        let found = views.into_iter().find(|view| view.name() == name);
        found.map(Arc::new).ok_or_else(|| Error::Query(format!("no view {name}")))
    }

    fn expanded(sql: &str) -> Result<String, String> {
        expand(sql, &fall_risk).map(Cow::into_owned).map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_is_written_out_wherever_a_table_stands() {
        let plain = "SELECT 'features_at(1)', features_at FROM t -- features_at(";
        assert_eq!(expanded(plain).unwrap(), plain);
        let made =
            expanded("SELECT * FROM features_at('fall_risk', people) WHERE age > 3").unwrap();
        assert!(made.starts_with("SELECT * FROM (WITH hearth_list AS MATERIALIZED"), "{made}");
        assert!(made.contains("* FROM people)") && made.ends_with(") WHERE age > 3"), "{made}");
        let made = expanded(
            "FROM hearth.civil.Features_At ( 'fall_risk' , (SELECT k, t FROM x WHERE f(k, ')') ) , known_at := t + INTERVAL 1 DAY )",
        )
        .unwrap();
        assert!(made.starts_with("FROM (WITH") && made.ends_with("l.hearth_row)"), "{made}");
        assert!(made.contains("f(k, ')')"), "{made}");
        assert!(made.contains("CAST((t + INTERVAL 1 DAY) AS TIMESTAMP) AS known"), "{made}");
        let made = expanded("FROM features_at('fall_risk', TABLE people)").unwrap();
        assert!(made.contains("* FROM (\nTABLE people\n))"), "{made}");
        let both = "FROM features_at('fall_risk', (SELECT resident_key, t FROM features_at('subsidy', l)))";
        let made = expanded(both).unwrap();
        assert_eq!(made.matches("WITH hearth_list").count(), 2);
        assert!(!made.contains(NAME), "{made}");
    }

    #[test]
    fn a_wrong_call_says_how_it_is_written() {
        for (sql, part) in [
            ("FROM features_at('fall_risk', l", "bracket"),
            ("FROM features_at('fall_risk')", "a view and a list"),
            ("FROM features_at(fall_risk, l)", "quotation marks"),
            ("FROM features_at('none', l)", "no view none"),
            ("FROM features_at('fall_risk', l, m)", "one each"),
            ("FROM features_at('fall_risk', l, as_of := 3)", "not known"),
        ] {
            let said = expanded(sql).unwrap_err();
            assert!(said.contains(part) && !said.contains('\n'), "{sql}: {said}");
        }
        let many = "FROM features_at('subsidy', l)".repeat(CALLS_MAX + 1);
        assert!(expanded(&many).unwrap_err().contains("8 times"));
    }
}
