//! Who is let in, and when.

use arrow_flight::Ticket;
use flight::{Error, MIN_LOG_INDEX_HEADER};
use tonic::Code;

use crate::running::*;

#[tokio::test]
async fn strangers_are_kept_out_and_names_give_tokens() {
    let running = start(false).await;
    let mut client = running.client().await;
    assert!(matches!(client.query("SELECT 1").await, Err(Error::Unauthenticated(_))));
    assert!(matches!(client.portrait("r1").await, Err(Error::Unauthenticated(_))));
    assert!(running.plain().await.list_flights("").await.is_err());
    assert!(running.sql().await.get_catalogs().await.is_err());
    assert!(client.sign_in("ada", "hate").await.is_err());
    client.sign_in("ada", "love").await.unwrap();
    client.query("SELECT 1").await.unwrap();
    // What was asked is written down with the next recording.
    running.furnish();
    let answered =
        client.query("SELECT who, sql, status FROM query_log ORDER BY query_id").await.unwrap();
    assert_eq!(texts(&answered.batches, "sql"), ["SELECT 1"]);
    assert_eq!(texts(&answered.batches, "who"), ["ada"]);
    assert_eq!(texts(&answered.batches, "status"), ["done"]);
}

#[tokio::test]
async fn an_index_can_be_demanded() {
    let running = start(true).await;
    let index = running.furnish();
    let mut client = running.client().await;
    client.wait_for(index);
    client.query("SELECT 1").await.unwrap();
    client.wait_for(index + 1);
    assert!(matches!(client.query("SELECT 1").await, Err(Error::Late(_))));
    let mut waiting = client.clone();
    let answer = tokio::spawn(async move { waiting.query("SELECT count(*) FROM dwelling").await });
    running.furnish();
    assert_eq!(answer.await.unwrap().unwrap().log_index, Some(index + 1));
    let mut plain = running.plain().await;
    plain.add_header(MIN_LOG_INDEX_HEADER, "soon").unwrap();
    let error = plain.do_get(Ticket::new("portrait:r1")).await.unwrap_err();
    assert_eq!(code(error).0, Code::InvalidArgument);
}
