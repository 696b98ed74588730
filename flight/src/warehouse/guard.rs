//! What an analyst may run: one statement that reads.
//!
//! Three layers hold together. This check lets a single SELECT through (which WITH, VALUES, SHOW,
//! DESCRIBE and SUMMARIZE are) or EXPLAIN of one, and known table functions only. The transaction is
//! read-only. The database has no access to files or the network, and its settings are locked.

use std::{collections::VecDeque, sync::Arc};

use duckdb::Connection;
use parking_lot::Mutex;

use super::{
    lexer::{Token, tokens, without_tail},
    open::one_line,
};
use crate::{Error, nearest};

/// The longest statement as it is sent.
pub(crate) const SQL_BYTES_MAX: usize = 256 * 1024;
/// The longest one once calls in it are written out.
const WRITTEN_OUT_BYTES_MAX: usize = 4 << 20;
/// Statements that were let through and are remembered, if they are short enough.
const VERDICTS_MAX: usize = 128;
const VERDICT_BYTES_MAX: usize = 4096;
const READS_ONLY: &str = "only one SELECT (also WITH, VALUES, SHOW, DESCRIBE, SUMMARIZE, EXPLAIN) is answered; \
     reference tables are loaded by ingest";

/// Table functions that only compute or describe. DuckDB's own descriptions begin with `duckdb_`.
const FUNCTIONS: &[&str] = &[
    "generate_series",
    // Finds a list by its handle, which nobody can guess.
    "hearth_list",
    "histogram",
    "histogram_values",
    "icu_calendar_names",
    "json_each",
    "json_tree",
    "pg_timezone_names",
    "portrait",
    "pragma_database_size",
    "pragma_show",
    "pragma_storage_info",
    "pragma_table_info",
    "pragma_version",
    "range",
    "repeat",
    "repeat_row",
    "summary",
    "test_all_types",
    "unnest",
];

// DuckDB's own parser lists what the statement is made of; `$..function` finds table functions.
const PARSE: &str = "SELECT coalesce(j->>'$.error', 'true'), coalesce(j->>'$.error_type', ''), \
     coalesce(j->>'$.error_message', ''), coalesce(j->>'$.position', ''), \
     coalesce(json_array_length(j, '$.statements'), 0)::BIGINT, \
     coalesce(array_to_string(j->>'$..function.function_name', chr(10)), '') \
     FROM (SELECT json_serialize_sql(?::VARCHAR) AS j)";

/// A statement that was found to be one that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    sql: Arc<str>,
    explains: bool,
}

impl Checked {
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// True for EXPLAIN, whose answer is a plan.
    pub(super) fn explains(&self) -> bool {
        self.explains
    }
}

/// The texts that were let through lately: clients send the same ones again and again.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    recent: Mutex<VecDeque<(Box<str>, Checked)>>,
}

impl Verdicts {
    pub(super) fn find(&self, sql: &str) -> Option<Checked> {
        let recent = self.recent.lock();
        recent.iter().find(|(text, _)| **text == *sql).map(|(_, checked)| checked.clone())
    }

    pub(super) fn check(&self, connection: &Connection, sql: &str) -> Result<Checked, Error> {
        let checked = check(connection, sql)?;
        if sql.len() <= VERDICT_BYTES_MAX {
            let mut recent = self.recent.lock();
            if recent.len() == VERDICTS_MAX {
                recent.pop_back();
            }
            recent.push_front((sql.into(), checked.clone()));
        }
        Ok(checked)
    }
}

struct Parsed {
    error: bool,
    error_type: String,
    message: String,
    position: String,
    statements: i64,
    functions: String,
}

fn check(connection: &Connection, sql: &str) -> Result<Checked, Error> {
    if sql.len() > WRITTEN_OUT_BYTES_MAX {
        return Err(Error::TooMuch(format!(
            "a statement may have {WRITTEN_OUT_BYTES_MAX} bytes, this one has {}",
            sql.len()
        )));
    }
    let sql = without_tail(sql);
    let words = tokens(sql);
    let Some(first) = words.first() else {
        return Err(Error::Query("the statement is empty".to_owned()));
    };
    let explains = first.is("explain");
    let select = if explains { &sql[explained_at(&words, sql.len())..] } else { sql };
    let parsed = parse(connection, select)?;
    if parsed.error {
        return Err(parse_error(&parsed));
    }
    if parsed.statements != 1 {
        return Err(Error::Query(format!(
            "{} statements were sent; {READS_ONLY}",
            parsed.statements
        )));
    }
    for name in parsed.functions.lines().map(str::to_lowercase) {
        if !(FUNCTIONS.contains(&name.as_str()) || name.starts_with("duckdb_")) {
            let near = nearest(&name, FUNCTIONS.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Err(Error::Query(format!(
                "the table function {name} cannot be used here{hint}"
            )));
        }
    }
    Ok(Checked { sql: Arc::from(sql), explains })
}

/// Where the statement begins that an EXPLAIN is about.
fn explained_at(words: &[Token<'_>], end: usize) -> usize {
    let mut rest = words
        .iter()
        .skip(1)
        .skip_while(|token| token.is("analyze") || token.is("verbose"))
        .peekable();
    if rest.peek().is_some_and(|token| token.text == "(") {
        let options: Vec<&Token<'_>> =
            rest.by_ref().take_while(|token| token.text != ")").collect();
        // `EXPLAIN (SELECT ...)` has no options, but a statement in brackets.
        if let Some(first) =
            options.get(1).filter(|token| !(token.is("format") || token.is("analyze")))
        {
            return options.first().map_or(first.start, |bracket| bracket.start);
        }
    }
    rest.next().map_or(end, |token| token.start)
}

fn parse(connection: &Connection, sql: &str) -> Result<Parsed, Error> {
    let internal = |error: duckdb::Error| Error::Query(one_line(&error));
    let mut statement = connection.prepare(PARSE).map_err(internal)?;
    let parsed = statement.query_row([sql], |row| {
        Ok(Parsed {
            error: row.get::<_, String>(0)? == "true",
            error_type: row.get(1)?,
            message: row.get(2)?,
            position: row.get(3)?,
            statements: row.get(4)?,
            functions: row.get(5)?,
        })
    });
    parsed.map_err(internal)
}

fn parse_error(parsed: &Parsed) -> Error {
    if parsed.error_type != "parser" {
        // The parser knows the statement, but it is not one that reads.
        let other =
            if parsed.message.contains("Only SELECT") { READS_ONLY } else { &parsed.message };
        return Error::Query(other.to_owned());
    }
    let message = parsed.message.lines().next().unwrap_or_default();
    let place = parsed
        .position
        .parse::<usize>()
        .map_or_else(|_| String::new(), |position| format!(" (character {})", position + 1));
    Error::Query(format!("Parser Error: {message}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(sql: &str) -> Result<Checked, String> {
        let connection = Connection::open_in_memory().unwrap();
        check(&connection, sql).map_err(|error| error.to_string())
    }

    #[test]
    fn what_reads_is_let_through() {
        for sql in [
            "select 1;",
            "WITH a AS (SELECT 1) SELECT * FROM a -- end",
            "values (1)",
            "show tables",
            "describe t",
            "summarize t",
            "from t",
            "explain select 1",
            "EXPLAIN ANALYZE select 1",
            "explain (format json) select 1",
            "explain (select 1)",
            "select * from range(3), unnest([1])",
            "select * from portrait('x')",
            "select ';' as a, $$;$$ as b",
            "select * from t where a = ? and b = ?",
        ] {
            assert!(verdict(sql).is_ok(), "{sql}: {:?}", verdict(sql));
        }
        assert_eq!(verdict("select 1; ").unwrap().sql(), "select 1");
        let (verdicts, connection) = (Verdicts::default(), Connection::open_in_memory().unwrap());
        assert!(verdicts.check(&connection, "delete from t").is_err());
        for at in 0..=VERDICTS_MAX {
            verdicts.check(&connection, &format!("select {at}")).unwrap();
        }
        assert!(verdicts.find("delete from t").is_none() && verdicts.find("select 0").is_none());
        assert_eq!(verdicts.find("select 1").unwrap().sql(), "select 1");
    }

    #[test]
    fn what_writes_or_reaches_out_is_refused() {
        for (sql, part) in [
            ("delete from t", "only one SELECT"),
            ("with d as (delete from t returning *) select * from d", "CTE"),
            ("copy t to 'x'", "only one SELECT"),
            ("attach 'x'", "only one SELECT"),
            ("set threads = 1", "only one SELECT"),
            ("select 1; select 2", "2 statements"),
            ("select 1; drop table t", "only one SELECT"),
            ("explain delete from t", "only one SELECT"),
            ("explain analyze delete from t", "only one SELECT"),
            ("explain (analyze) delete from t", "only one SELECT"),
            ("select * from read_csv('/etc/passwd')", "read_csv"),
            ("select * from query('delete from t')", "query"),
            ("select (select count(*) from glob('/*'))", "glob"),
            ("select * from force_checkpoint()", "force_checkpoint"),
            ("selec 1", "syntax error"),
            ("", "empty"),
            ("explain", "0 statements"),
        ] {
            let said = verdict(sql).unwrap_err();
            assert!(said.contains(part) && !said.contains('\n'), "{sql}: {said}");
        }
        assert!(verdict(&format!("select '{}'", "x".repeat(WRITTEN_OUT_BYTES_MAX))).is_err());
    }
}
