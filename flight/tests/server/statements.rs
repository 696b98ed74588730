//! Statements at once and prepared.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::{
    Ticket,
    sql::{CommandPreparedStatementQuery, ProstMessageExt},
};
use features::civil;
use flight::Error;
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;

use crate::running::*;

#[tokio::test]
async fn a_statement_is_answered_with_the_index_it_saw() {
    let running = start(true).await;
    let index = running.furnish();
    let answered = running
        .client()
        .await
        .query("SELECT floor FROM dwelling ORDER BY floor DESC")
        .await
        .unwrap();
    assert_eq!(ints(&answered.batches, 0), [3, 2, 1]);
    assert_eq!(answered.log_index, Some(index));
    // An empty answer still has its columns.
    let empty = running.client().await.query("SELECT * FROM grid").await.unwrap();
    assert!(empty.batches.iter().all(|batch| batch.num_rows() == 0));
    assert_eq!(empty.schema.fields().len(), civil::table("grid").unwrap().columns.len());
    assert!(empty.schema.fields().iter().all(|field| field.is_nullable()));
}

#[tokio::test]
async fn a_mistake_is_said_in_one_line() {
    let running = start(true).await;
    for (sql, part) in [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM dweling", "Did you mean \"dwelling\""),
        ("SELECT flor FROM dwelling", "floor"),
        ("DELETE FROM dwelling", "ingest"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT 'x'::INT", "Could not convert"),
    ] {
        let error = running.client().await.query(sql).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{sql}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(part) && !said.contains('\n'), "{sql}: {said}");
        let Err(error) = running.sql().await.prepare(sql.to_owned(), None).await else { continue };
        assert_eq!(code(error).0, Code::InvalidArgument, "{sql}");
    }
    let update = running
        .sql()
        .await
        .execute_update("DELETE FROM dwelling".to_owned(), None)
        .await
        .unwrap_err();
    let (code, said) = code(update);
    assert!(code == Code::InvalidArgument && said.contains("ingest"), "{said}");
}

#[tokio::test]
async fn a_prepared_statement_takes_parameters_again_and_again() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.sql().await;
    let sql = "SELECT floor, ?::VARCHAR AS word FROM dwelling WHERE floor >= ? ORDER BY floor";
    let mut statement = client.prepare(sql.to_owned(), None).await.unwrap();
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 2);
    assert_eq!(statement.dataset_schema().unwrap().fields().len(), 2);
    for (least, expected) in [(2_i64, vec![2, 3]), (3, vec![3]), (9, vec![])] {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(Int64Array::from(vec![least]))];
        let schema = Schema::new(vec![
            Field::new("0", DataType::Utf8, true),
            Field::new("1", DataType::Int64, true),
        ]);
        statement.set_parameters(RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        let info = statement.execute().await.unwrap();
        assert_eq!(ints(&fetch(&mut client, info).await.unwrap(), 0), expected);
    }
    let info = statement.execute().await.unwrap();
    statement.close().await.unwrap();
    let error = fetch(&mut client, info).await.unwrap_err();
    assert_eq!(code(error).0, Code::NotFound);
    let command =
        CommandPreparedStatementQuery { prepared_statement_handle: b"nonsense".to_vec().into() };
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    assert_eq!(code(client.do_get(ticket).await.unwrap_err()).0, Code::NotFound);
}

#[tokio::test]
async fn several_sets_of_parameters_give_one_answer() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let schema = Schema::new(vec![Field::new("0", DataType::Int64, true)]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![3, 1]))])
        .unwrap();
    let answered =
        client.query_with("SELECT floor FROM dwelling WHERE floor = ?", rows).await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [3, 1]);
}

#[tokio::test]
async fn a_connection_that_ends_leaves_the_others_alone() {
    let running = start(true).await;
    let mut client = running.sql().await;
    let mut statement = client.prepare("SELECT 5::BIGINT".to_owned(), None).await.unwrap();
    let mut other = running.plain().await;
    let closed = other.do_action(arrow_flight::Action::new("CloseSession", "")).await.unwrap();
    assert_eq!(closed.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    let info = statement.execute().await.unwrap();
    assert_eq!(ints(&fetch(&mut client, info).await.unwrap(), 0), [5]);
}
