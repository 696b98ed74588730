//! Temporary tables: lists that a caller sends, for that caller's statements and for a while. They are
//! this node's alone and never in the log.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use arrow_flight::{
    decode::FlightRecordBatchStream,
    sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption},
};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tonic::Status;

use crate::{
    Error,
    warehouse::{
        List, hold,
        lexer::{Token, tokens},
    },
};

const NAME_BYTES_MAX: usize = 64;
const ROWS_MAX: usize = 2_000_000;
const BYTES_MAX: usize = 256 << 20;
/// Of all callers together.
const LISTS_MAX: usize = 64;
const ALL_BYTES_MAX: usize = 512 << 20;
const IDLE_MAX: Duration = Duration::from_mins(30);

#[derive(Debug)]
struct Held {
    list: Arc<List>,
    handle: String,
    bytes: usize,
    used: Instant,
}

/// By session and name.
#[derive(Debug, Default)]
pub(super) struct Lists {
    held: Mutex<BTreeMap<(String, String), Held>>,
}

impl Lists {
    pub(super) async fn take_in(
        &self,
        session: &str,
        command: &CommandStatementIngest,
        batches: &mut FlightRecordBatchStream,
    ) -> Result<i64, Status> {
        let name = name_of(&command.table)?;
        let known = self.known(session, &name);
        let options = command.table_definition_options.unwrap_or_default();
        let mut list = match (known, options.if_exists(), options.if_not_exist()) {
            (Some(_), TableExistsOption::Fail, _) => {
                let text = format!("temporary table {name} exists; load it with mode replace");
                return Err(Status::already_exists(text));
            }
            (Some(known), TableExistsOption::Append, _) => {
                List { schema: Arc::clone(&known.schema), batches: known.batches.clone() }
            }
            (None, _, TableNotExistOption::Fail) => {
                let text = format!("there is no temporary table {name}; load it with mode create");
                return Err(Status::not_found(text));
            }
            _ => List { schema: Arc::new(Schema::empty()), batches: Vec::new() },
        };
        let before = rows_of(&list);
        let mut is_first = list.batches.is_empty();
        while let Some(batch) = batches.try_next().await? {
            let batch = plain(&batch)?;
            if is_first {
                list.schema = batch.schema();
                is_first = false;
            } else if list.schema != batch.schema() {
                let text = format!("the rows of temporary table {name} have different columns");
                return Err(Status::invalid_argument(text));
            }
            list.batches.push(batch);
            if rows_of(&list) > ROWS_MAX || bytes_of(&list) > BYTES_MAX {
                return Err(Error::TooMuch(format!(
                    "a temporary table may have {ROWS_MAX} rows and {BYTES_MAX} bytes"
                ))
                .into());
            }
        }
        if is_first {
            let schema = batches.schema().map(|schema| plain_schema(schema)).transpose()?;
            list.schema = schema.unwrap_or(list.schema);
        }
        let added = rows_of(&list) - before;
        self.put(session, name, list)?;
        Ok(added as i64)
    }

    fn known(&self, session: &str, name: &str) -> Option<Arc<List>> {
        let held = self.held.lock();
        held.get(&(session.to_owned(), name.to_owned())).map(|held| Arc::clone(&held.list))
    }

    fn put(&self, session: &str, name: String, list: List) -> Result<(), Error> {
        let now = Instant::now();
        let bytes = bytes_of(&list);
        let list = Arc::new(list);
        let handle = hold(&list);
        let key = (session.to_owned(), name);
        let mut held = self.held.lock();
        held.retain(|_, each| now.duration_since(each.used) < IDLE_MAX);
        let others = held.iter().filter(|(other, _)| **other != key);
        let (count, all) =
            others.fold((0, 0), |(count, all), (_, each)| (count + 1, all + each.bytes));
        if count >= LISTS_MAX || all + bytes > ALL_BYTES_MAX {
            return Err(Error::TooMuch(format!(
                "this node holds {LISTS_MAX} temporary tables of {ALL_BYTES_MAX} bytes together; \
                 try again when some have been idle for {} min",
                IDLE_MAX.as_secs() / 60
            )));
        }
        held.insert(key, Held { list, handle, bytes, used: now });
        Ok(())
    }

    /// The statement with those of the caller's lists that it names, as its first WITH.
    pub(super) fn name_in<'a>(&self, session: &str, sql: &'a str) -> Cow<'a, str> {
        let mut held = self.held.lock();
        if held.is_empty() {
            return Cow::Borrowed(sql);
        }
        let words = tokens(sql);
        let from = (session.to_owned(), String::new());
        let own = held.range_mut(from..).take_while(|((owner, _), _)| owner == session);
        let mut named = String::new();
        for ((_, name), list) in own {
            let quoted = format!("\"{name}\"");
            if words.iter().any(|word| word.is(name) || word.is(&quoted)) {
                list.used = Instant::now();
                let comma = if named.is_empty() { "" } else { ", " };
                // Writing into a string cannot fail.
                let _ = write!(named, "{comma}{quoted} AS (FROM hearth_list('{}'))", list.handle);
            }
        }
        if named.is_empty() { Cow::Borrowed(sql) } else { with(sql, &words, &named) }
    }
}

/// Puts tables before those that a statement names itself. What is neither a query nor a plan of one
/// stays as it is.
fn with<'a>(sql: &'a str, words: &[Token<'_>], named: &str) -> Cow<'a, str> {
    let explains = |word: &&Token<'_>| word.is("explain") || word.is("analyze");
    let mut query = words.iter().skip_while(explains);
    let Some(first) = query.next() else { return Cow::Borrowed(sql) };
    if first.is("with") {
        let recursive = query.next().filter(|second| second.is("recursive"));
        let end = recursive.map_or(first.start + 4, |second| second.start + second.text.len());
        return Cow::Owned(format!("{} {named}, {}", &sql[..end], &sql[end..]));
    }
    if !["select", "from", "values", "table", "("].iter().any(|word| first.is(word)) {
        return Cow::Borrowed(sql);
    }
    Cow::Owned(format!("{}WITH {named} {}", &sql[..first.start], &sql[first.start..]))
}

fn name_of(name: &str) -> Result<String, Status> {
    let is_plain = name.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if is_plain && name.len() <= NAME_BYTES_MAX {
        return Ok(name.to_lowercase());
    }
    Err(Status::invalid_argument(format!(
        "{:?} is no name of a temporary table: letters, digits and _, at most {NAME_BYTES_MAX}",
        name.chars().take(NAME_BYTES_MAX).collect::<String>()
    )))
}

fn rows_of(list: &List) -> usize {
    list.batches.iter().map(RecordBatch::num_rows).sum()
}

fn bytes_of(list: &List) -> usize {
    list.batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

/// The types that every part of the way knows; times are in UTC.
fn plain_type(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            DataType::Utf8
        }
        DataType::Dictionary(_, value) => plain_type(value)?,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Float32 => DataType::Float32,
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_numeric() => DataType::Float64,
        _ => return None,
    })
}

fn plain_schema(schema: &Schema) -> Result<SchemaRef, Status> {
    let field = |field: &Arc<Field>| {
        let kind = plain_type(field.data_type()).ok_or_else(|| {
            let (name, kind) = (field.name(), field.data_type());
            Status::invalid_argument(format!(
                "column {name} is of type {kind}; a temporary table holds texts, numbers, times, \
                 dates and truths"
            ))
        })?;
        Ok(Field::new(field.name(), kind, true))
    };
    let fields = schema.fields().iter().map(field).collect::<Result<Vec<_>, Status>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn plain(batch: &RecordBatch) -> Result<RecordBatch, Status> {
    let schema = plain_schema(&batch.schema())?;
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()
        .and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns));
    columns.map_err(|error| Status::invalid_argument(format!("a row cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let lists = Lists::default();
        for (session, name) in [("a", "people"), ("a", "more"), ("b", "people")] {
            let list = List { schema: Arc::new(Schema::empty()), batches: Vec::new() };
            lists.put(session, name.to_owned(), list).unwrap();
        }
        lists
    }

    #[test]
    fn a_statement_gets_the_lists_that_it_names() {
        let lists = lists();
        let named = |sql: &str| {
            let named = lists.name_in("a", sql).into_owned();
            let handles = named.split("hearth_list('").skip(1).map(|rest| &rest[..32]);
            handles.fold(named.clone(), |text, handle| text.replace(handle, "h"))
        };
        let people = "\"people\" AS (FROM hearth_list('h'))";
        assert_eq!(named("SELECT 1"), "SELECT 1");
        assert_eq!(named("SELECT 'people'"), "SELECT 'people'");
        assert_eq!(named("FROM People"), format!("WITH {people} FROM People"));
        assert_eq!(named("FROM \"people\""), format!("WITH {people} FROM \"people\""));
        assert_eq!(
            named("explain analyze FROM people"),
            format!("explain analyze WITH {people} FROM people")
        );
        assert_eq!(
            named("with recursive x as (from people) from x"),
            format!("with recursive {people},  x as (from people) from x")
        );
        assert_eq!(named("DESCRIBE people"), "DESCRIBE people");
        assert!(
            named("FROM people, more").contains("\"more\" AS (FROM hearth_list('h')), \"people\"")
        );
        assert_eq!(lists.name_in("c", "FROM people"), "FROM people");
    }

    #[test]
    fn lists_are_bounded() {
        let lists = lists();
        for at in 0..LISTS_MAX {
            let list = List { schema: Arc::new(Schema::empty()), batches: Vec::new() };
            let put = lists.put("c", format!("t{at}"), list);
            assert_eq!(put.is_ok(), at < LISTS_MAX - 3, "{at}");
        }
        assert!(name_of("People_2").is_ok_and(|name| name == "people_2"));
        for wrong in ["", "a b", "1a", "x'--", &"x".repeat(65)] {
            assert!(name_of(wrong).is_err(), "{wrong}");
        }
    }
}
