//! What the server says about itself, and the rest of Flight.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow_flight::{
    Action, FlightDescriptor, FlightInfo, Ticket,
    sql::{
        Any, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
        CommandStatementQuery, ProstMessageExt, SqlInfo,
    },
};
use features::civil;
use flight::LOG_INDEX_KEY;
use futures::TryStreamExt;
use prost::Message;

use crate::running::*;

#[tokio::test]
async fn the_catalog_is_told() {
    let running = start(true).await;
    let mut client = running.sql().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "catalog_name"), ["hearth"]);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "db_schema_name"), ["civil"]);
    let info = client.get_tables(CommandGetTables::default()).await.unwrap();
    let all = fetch(&mut client, info.clone()).await.unwrap();
    assert_eq!(all[0].num_columns(), 4);
    assert_eq!(info.try_decode_schema().unwrap().fields(), all[0].schema().fields());
    let names: BTreeSet<String> = texts(&all, "table_name").into_iter().collect();
    assert!(civil::TABLES.iter().all(|table| names.contains(table.name)));
    for view in ["feature_current", "node_status", "v_timeline", "v_indicators"] {
        assert!(names.contains(view), "{view}");
    }
    let command = CommandGetTables {
        table_name_filter_pattern: Some("dwel%".into()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(command).await.unwrap();
    let one = fetch(&mut client, info).await.unwrap();
    assert_eq!((one[0].num_rows(), one[0].num_columns()), (1, 5));
    let command =
        CommandGetTables { table_types: vec!["VIEW".into()], ..CommandGetTables::default() };
    let info = client.get_tables(command).await.unwrap();
    assert!(
        !texts(&fetch(&mut client, info).await.unwrap(), "table_name")
            .contains(&"alert".to_owned())
    );
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "table_type"), ["TABLE", "VIEW"]);
    let command =
        CommandGetPrimaryKeys { table: "relation".into(), ..CommandGetPrimaryKeys::default() };
    let info = client.get_primary_keys(command).await.unwrap();
    assert_eq!(
        texts(&fetch(&mut client, info).await.unwrap(), "column_name"),
        ["resident_key", "other_key", "kind"]
    );
    let info = client
        .get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerVersion])
        .await
        .unwrap();
    let infos = fetch(&mut client, info).await.unwrap();
    let values = infos[0].column(1).as_any().downcast_ref::<arrow::array::UnionArray>().unwrap();
    assert_eq!(values.value(0).as_string::<i32>().value(0), "hearth");
    let version = values.value(1).as_string::<i32>().value(0).to_owned();
    let duckdb = running.client().await.query("SELECT 'duckdb ' || version() AS v").await.unwrap();
    assert_eq!(texts(&duckdb.batches, "v"), [version]);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert!(
        texts(&fetch(&mut client, info).await.unwrap(), "type_name")
            .contains(&"VARCHAR".to_owned())
    );
}

#[tokio::test]
async fn the_rest_of_flight_is_there() {
    let running = start(true).await;
    let index = running.furnish();
    let mut plain = running.plain().await;
    let command = |query: &str| {
        let command = CommandStatementQuery { query: query.to_owned(), transaction_id: None };
        FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
    };
    let schema = plain.get_schema(command("SELECT floor FROM dwelling")).await.unwrap();
    assert_eq!(schema.field(0).name(), "floor");
    assert_eq!(schema.metadata()[LOG_INDEX_KEY], index.to_string());
    let polled = plain.poll_flight_info(command("SELECT 1")).await.unwrap();
    assert!(polled.flight_descriptor.is_none() && polled.info.is_some());
    let listed: Vec<FlightInfo> =
        plain.list_flights("").await.unwrap().try_collect().await.unwrap();
    let path = FlightDescriptor::new_path(vec!["dwelling".to_owned()]);
    assert!(listed.iter().any(|info| info.flight_descriptor.as_ref() == Some(&path)));
    let info = plain.get_flight_info(path).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> =
        plain.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    let actions: Vec<_> = plain.list_actions().await.unwrap().try_collect().await.unwrap();
    assert!(actions.iter().any(|action| action.r#type == "GetSessionOptions"));
    let results: Vec<_> = plain
        .do_action(Action::new("GetSessionOptions", ""))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&results[0]).into_owned();
    assert!(
        text.contains("catalog") && text.contains("hearth") && text.contains("civil"),
        "{text}"
    );
    let garbled = Any { type_url: "x".into(), value: bytes::Bytes::new() };
    assert!(plain.do_get(Ticket::new(garbled.encode_to_vec())).await.is_err());
    assert!(plain.do_get(Ticket::new("nonsense")).await.is_err());
}
