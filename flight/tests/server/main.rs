//! A real server on a free port, driven by Arrow's own client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at once")]

mod fake_node;

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema},
};
use arrow_flight::{
    Action, FlightClient, FlightDescriptor, FlightInfo, Ticket,
    error::FlightError,
    sql::{
        Any, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
        CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt, SqlInfo, client::FlightSqlServiceClient,
    },
};
use fake_node::{FakeNode, blank_row};
use features::{civil, table::Cell};
use flight::{Client, Error, LOG_INDEX_KEY, Live, MIN_LOG_INDEX_HEADER, portrait_schema, server_builder, service};
use futures::TryStreamExt;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, transport::{Channel, Endpoint}};

struct Running {
    node: Arc<FakeNode>,
    address: String,
    _folder: tempfile::TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

async fn start(open: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let node = FakeNode::new(folder.path(), open);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let live: Arc<dyn Live> = Arc::clone(&node) as Arc<dyn Live>;
    let server = server_builder()
        .add_service(service(Arc::clone(&node.warehouse), live))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async { drop(stopped.await) });
    tokio::spawn(server);
    Running { node, address, _folder: folder, _stop: stop }
}

impl Running {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    async fn sql(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel().await)
    }

    async fn plain(&self) -> FlightClient {
        FlightClient::new(self.channel().await)
    }

    async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    /// Three dwellings on floors 1 to 3.
    fn furnish(&self) -> u64 {
        let row = |floor: i64| {
            let mut row = blank_row("dwelling", &format!("w{floor}"));
            row[4] = Cell::Int(floor);
            row
        };
        self.node.write(civil::table("dwelling").unwrap(), (1..=3).map(row).collect())
    }
}

async fn fetch(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> Result<Vec<RecordBatch>, FlightError> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.do_get(ticket).await?.try_collect().await
}

fn ints(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    let values = batches.iter().flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
    values.collect()
}

fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let cells = batches.iter().flat_map(|batch| {
        let array = batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        (0..array.len()).map(move |at| array.value(at).to_owned())
    });
    cells.collect()
}

fn code(error: FlightError) -> (Code, String) {
    match error {
        FlightError::Tonic(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_statement_is_answered_with_the_index_it_saw() {
    let running = start(true).await;
    let index = running.furnish();
    let answered = running.client().await.query("SELECT floor FROM dwelling ORDER BY floor DESC").await.unwrap();
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
    let update = running.sql().await.execute_update("DELETE FROM dwelling".to_owned(), None).await.unwrap_err();
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
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(Int64Array::from(vec![least]))];
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
    let command = CommandPreparedStatementQuery { prepared_statement_handle: b"nonsense".to_vec().into() };
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    assert_eq!(code(client.do_get(ticket).await.unwrap_err()).0, Code::NotFound);
}

#[tokio::test]
async fn several_sets_of_parameters_give_one_answer() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let schema = Schema::new(vec![Field::new("0", DataType::Int64, true)]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![3, 1]))]).unwrap();
    let answered = client.query_with("SELECT floor FROM dwelling WHERE floor = ?", rows).await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [3, 1]);
}

#[tokio::test]
async fn a_portrait_is_the_same_by_ticket_by_sql_and_prepared() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let by_ticket = client.portrait("r1").await.unwrap();
    assert_eq!(by_ticket.log_index, Some(running.node.log_index()));
    assert_eq!(by_ticket.schema.fields(), portrait_schema().fields());
    let by_sql = client.query("SELECT * FROM portrait('r1')").await.unwrap();
    assert_eq!(by_sql.batches, by_ticket.batches);
    let key = |key: &str| {
        let schema = Schema::new(vec![Field::new("0", DataType::Utf8, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(vec![key]))]).unwrap()
    };
    let prepared = client.query_with("SELECT * FROM portrait(?)", key("r1")).await.unwrap();
    assert_eq!(prepared.batches, by_ticket.batches);
    // Through DuckDB, where it is part of something larger.
    let sql = "SELECT p.resident_key, age, len(devices) AS n, indicators[1].value AS fall, household.household_id \
               FROM portrait('r1') p";
    let joined = client.query(sql).await.unwrap();
    assert_eq!(ints(&joined.batches, 1), [83]);
    assert_eq!(ints(&joined.batches, 2), [2]);
    assert_eq!(texts(&joined.batches, "household_id"), ["h1"]);
    let nobody = client.query("SELECT * FROM portrait('x')").await.unwrap();
    assert!(nobody.batches.iter().all(|batch| batch.num_rows() == 0));
    assert!(matches!(client.portrait("x").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn live_tables_are_read_from_the_node() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let sql = "SELECT count(*), sum(value)::BIGINT FROM feature_current WHERE view = 'activity'";
    let answered = client.query(sql).await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [5000]);
    assert_eq!(ints(&answered.batches, 1), [4999 * 2500]);
    let answered = client.query("SELECT node, applied_index FROM civil.node_status WHERE leader").await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [1]);
    assert_eq!(ints(&answered.batches, 1), [running.node.log_index() as i64]);
}

#[tokio::test]
async fn reference_tables_are_loaded_by_ingest() {
    let running = start(true).await;
    let mut client = running.client().await;
    let batch = |ids: Vec<&str>, floors: Vec<f64>| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("floor", Arc::new(arrow::array::Float64Array::from(floors))),
            ("dwelling_id", Arc::new(StringArray::from(ids))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let taken = client.ingest("dwelling", vec![batch(vec!["a", "b"], vec![1.0, f64::NAN])]).await.unwrap();
    assert_eq!(taken, 2);
    assert_eq!(client.ingest("dwelling", vec![batch(vec!["b"], vec![7.0])]).await.unwrap(), 1);
    let answered = client.query("SELECT floor FROM dwelling ORDER BY dwelling_id").await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [1, 7]);
    let refused = |table: &'static str, batch: RecordBatch| {
        let mut client = client.clone();
        async move { client.ingest(table, vec![batch]).await.unwrap_err().to_string() }
    };
    let said = refused("dweling", batch(vec!["a"], vec![1.0])).await;
    assert!(said.contains("did you mean dwelling?"), "{said}");
    let said = refused("alert", batch(vec!["a"], vec![1.0])).await;
    assert!(said.contains("kept by the cluster"), "{said}");
    let said = refused("dwelling", batch(vec!["a"], vec![1.5])).await;
    assert!(said.contains("dwelling.floor") && said.contains("1.5"), "{said}");
    let wrong = RecordBatch::try_from_iter(vec![("dwelling_ids", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]);
    let said = refused("dwelling", wrong.unwrap()).await;
    assert!(said.contains("did you mean dwelling_id?"), "{said}");
    let keyless = RecordBatch::try_from_iter(vec![("floor", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let said = refused("dwelling", keyless.unwrap()).await;
    assert!(said.contains("part of the key"), "{said}");
}

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
    let command = CommandGetTables { table_types: vec!["VIEW".into()], ..CommandGetTables::default() };
    let info = client.get_tables(command).await.unwrap();
    assert!(!texts(&fetch(&mut client, info).await.unwrap(), "table_name").contains(&"alert".to_owned()));
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "table_type"), ["TABLE", "VIEW"]);
    let command = CommandGetPrimaryKeys { table: "relation".into(), ..CommandGetPrimaryKeys::default() };
    let info = client.get_primary_keys(command).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "column_name"), ["resident_key", "other_key", "kind"]);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerVersion]).await.unwrap();
    let infos = fetch(&mut client, info).await.unwrap();
    let values = infos[0].column(1).as_any().downcast_ref::<arrow::array::UnionArray>().unwrap();
    assert_eq!(values.value(0).as_string::<i32>().value(0), "hearth");
    let version = values.value(1).as_string::<i32>().value(0).to_owned();
    let duckdb = running.client().await.query("SELECT 'duckdb ' || version() AS v").await.unwrap();
    assert_eq!(texts(&duckdb.batches, "v"), [version]);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert!(texts(&fetch(&mut client, info).await.unwrap(), "type_name").contains(&"VARCHAR".to_owned()));
}

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
    let answered = client.query("SELECT who, sql, status FROM query_log ORDER BY query_id").await.unwrap();
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
    let listed: Vec<FlightInfo> = plain.list_flights("").await.unwrap().try_collect().await.unwrap();
    let path = FlightDescriptor::new_path(vec!["dwelling".to_owned()]);
    assert!(listed.iter().any(|info| info.flight_descriptor.as_ref() == Some(&path)));
    let info = plain.get_flight_info(path).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> = plain.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    let actions: Vec<_> = plain.list_actions().await.unwrap().try_collect().await.unwrap();
    assert!(actions.iter().any(|action| action.r#type == "GetSessionOptions"));
    let results: Vec<_> =
        plain.do_action(Action::new("GetSessionOptions", "")).await.unwrap().try_collect().await.unwrap();
    let text = String::from_utf8_lossy(&results[0]).into_owned();
    assert!(text.contains("catalog") && text.contains("hearth") && text.contains("civil"), "{text}");
    let garbled = Any { type_url: "x".into(), value: bytes::Bytes::new() };
    assert!(plain.do_get(Ticket::new(garbled.encode_to_vec())).await.is_err());
    assert!(plain.do_get(Ticket::new("nonsense")).await.is_err());
}

#[tokio::test]
async fn a_peer_fetches_what_it_missed() {
    let running = start(true).await;
    let events = civil::table("sensor_event").unwrap();
    for index in 1..=3 {
        let mut event = blank_row("sensor_event", "s");
        event[1] = Cell::text(format!("e{index}"));
        *event.last_mut().unwrap() = Cell::Int(index);
        running.node.write(events, vec![event]);
    }
    let mut client = running.client().await;
    let batches: Vec<RecordBatch> = client.history("sensor_event", 1, 3).await.unwrap().try_collect().await.unwrap();
    assert_eq!(texts(&batches, "event_id"), ["e2", "e3"]);
    assert!(client.history("sensor_event", 1, 4).await.err().unwrap().is_retryable());
    assert!(client.history("grid", 1, 3).await.is_err());
    let value = client.query("SELECT avg(log_index) FROM sensor_event").await.unwrap();
    assert!((value.batches[0].column(0).as_primitive::<Float64Type>().value(0) - 2.0).abs() < 1e-9);
}
