//! Read-only access to the warehouse, as an analyst has it.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use features::table::Cell;

use super::{
    guard::{Checked, check},
    pool::{Borrowed, Pool},
    query::{Answer, Text, begin, classify, execute, start, with_log_index},
};
use crate::Error;

/// The columns that a statement gives and how many parameters it takes.
#[derive(Clone, Debug)]
pub struct Described {
    pub schema: SchemaRef,
    pub parameters: usize,
}

/// Read-only access; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<Pool>,
}

impl Reader {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs one statement that reads.
    pub async fn query(&self, sql: &str, params: Vec<Cell>) -> Result<Answer, Error> {
        start(&self.pool, Text::Raw(sql.to_owned()), params).await
    }

    /// Runs a statement that was checked before.
    pub async fn run(&self, statement: &Checked, params: Vec<Cell>) -> Result<Answer, Error> {
        start(&self.pool, Text::Checked(statement.clone()), params).await
    }

    /// Finds out whether a text is one statement that reads.
    pub async fn check(&self, sql: &str) -> Result<Checked, Error> {
        let sql = sql.to_owned();
        self.aside(move |borrowed| check(borrowed.connection()?, &sql)).await
    }

    /// A statement's columns and parameters, without running it.
    pub async fn describe(&self, sql: &str) -> Result<Described, Error> {
        let checked = self.check(sql).await?;
        self.describe_checked(&checked, None).await
    }

    /// As [`Self::describe`]; the parameters' values decide types that the text leaves open.
    pub async fn describe_checked(
        &self,
        statement: &Checked,
        params: Option<Vec<Cell>>,
    ) -> Result<Described, Error> {
        let statement = statement.clone();
        self.aside(move |borrowed| describe(borrowed, &statement, params)).await
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Borrowed) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.pool.place().await?;
        let pool = Arc::clone(&self.pool);
        tokio::task::spawn_blocking(move || work(&pool.borrow(place)?))
            .await
            .map_err(|_| Error::Internal("the query's thread ended early".to_owned()))?
    }
}

fn describe(borrowed: &Borrowed, statement: &Checked, params: Option<Vec<Cell>>) -> Result<Described, Error> {
    let connection = borrowed.connection()?;
    let log_index = begin(connection)?;
    if statement.explains() {
        let parameters =
            connection.prepare(statement.sql()).map_err(|error| classify(&error))?.parameter_count();
        let text = |name| Field::new(name, DataType::Utf8, true);
        let schema = Schema::new(vec![text("explain_key"), text("explain_value")]);
        return Ok(Described { schema: with_log_index(&schema, log_index), parameters });
    }
    // The line break ends a comment that the statement may end with.
    let empty = format!("SELECT * FROM (\n{}\n) LIMIT 0", statement.sql());
    let mut prepared = connection.prepare(&empty).map_err(|error| classify(&error))?;
    let parameters = prepared.parameter_count();
    let params = params.unwrap_or_else(|| vec![Cell::Null; parameters]);
    let schema = execute(&mut prepared, &params)?;
    Ok(Described { schema: with_log_index(&first_names(&schema), log_index), parameters })
}

/// A subquery numbers columns that share a name; the statement itself does not.
fn first_names(schema: &Schema) -> Schema {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let plain = field.name().rsplit_once('_').filter(|(name, number)| {
            number.parse() == Ok(seen.get(*name).copied().unwrap_or(0)) && seen.contains_key(*name)
        });
        let name = plain.map_or(field.name().as_str(), |(name, _)| name).to_owned();
        *seen.entry(name.clone()).or_default() += 1;
        fields.push(field.as_ref().clone().with_name(name));
    }
    Schema::new(fields)
}
