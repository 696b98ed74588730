//! Read-only access to the warehouse, as an analyst has it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use features::table::Cell;

use super::{
    guard::Checked,
    pool::Pool,
    query::{Answer, Task, describe, query},
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
        let known = self.pool.verdicts.find(sql);
        query(&self.pool, known.map_or_else(|| Task::Check(sql.to_owned()), Task::Run), params)
            .await
    }

    /// Runs a statement that was checked before.
    pub async fn run(&self, statement: &Checked, params: Vec<Cell>) -> Result<Answer, Error> {
        query(&self.pool, Task::Run(statement.clone()), params).await
    }

    /// Finds out whether a text is one statement that reads.
    pub async fn check(&self, sql: &str) -> Result<Checked, Error> {
        if let Some(known) = self.pool.verdicts.find(sql) {
            return Ok(known);
        }
        let place = self.pool.place().await?;
        let (pool, sql) = (Arc::clone(&self.pool), sql.to_owned());
        let checking = tokio::task::spawn_blocking(move || {
            let borrowed = pool.borrow(place)?;
            pool.verdicts.check(borrowed.connection()?, &sql)
        });
        checking.await.map_err(|_| Error::Internal("the check ended early".to_owned()))?
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
        describe(&self.pool, statement, params).await
    }
}
