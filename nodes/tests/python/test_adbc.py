"""The Flight SQL port as an analyst uses it: ADBC, pandas, polars, pyarrow."""

import datetime
import json
import re
import time
import urllib.request

import adbc_driver_manager
import pandas
import polars
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from conftest import NODES, connect


@pytest.fixture(scope="module")
def connection(cluster, district):
    with connect(cluster.flight[0]) as connection:
        yield connection


def rows(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def refused(connection, sql, parameters=None):
    """The query fails in one line; gives the line."""
    with pytest.raises(adbc_driver_manager.Error) as caught:
        rows(connection, sql, parameters)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 500, said
    return said


@pytest.fixture(scope="module")
def key(district):
    return district.table("resident")["resident_key"][0].as_py()


def test_info(connection):
    told = connection.adbc_get_info()
    assert told["vendor_name"] == "hearth" and told["vendor_version"] == "duckdb v1.5.6"


def test_current_catalog_and_schema(connection):
    assert (connection.adbc_current_catalog, connection.adbc_current_db_schema) == ("hearth", "civil")
    assert rows(connection, "SELECT current_schema() AS s").to_pylist() == [{"s": "civil"}]


def test_names_with_and_without_a_prefix(connection):
    counts = [rows(connection, f"SELECT count(*) FROM {name}")[0][0].as_py()
              for name in ("resident", "civil.resident", "hearth.civil.resident")]
    assert counts[0] == counts[1] == counts[2] > 0


@pytest.mark.parametrize("value,kind", [
    (7, int), (2.5, float), ("王", str), (True, bool), (None, type(None)),
    (datetime.date(2026, 1, 2), datetime.date), (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime)])
def test_a_parameter_comes_back_as_sent(connection, value, kind):
    cast = {datetime.date: "::DATE", datetime.datetime: "::TIMESTAMP"}.get(kind, "")
    back = rows(connection, f"SELECT ?{cast} AS v", [value])["v"][0].as_py()
    assert back == value and isinstance(back, kind)


def test_parameters_choose_rows(connection, district, key):
    found = rows(connection, "SELECT sex, birth_ym FROM resident WHERE resident_key = ? AND living IS NOT NULL", [key])
    expected = next(each for each in district.table("resident").to_pylist() if each["resident_key"] == key)
    assert found.to_pylist() == [{"sex": expected["sex"], "birth_ym": expected["birth_ym"]}]
    assert rows(connection, "SELECT 1 FROM resident WHERE resident_key = ?", ["x' OR '1'='1"]).num_rows == 0


def test_the_wrong_number_of_parameters_is_refused(connection):
    refused(connection, "SELECT ? + ?", [1])


def test_executemany_and_fetch_styles(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT range AS n FROM range(10)")
        assert cursor.fetchone() == (0,) and cursor.fetchmany(2) == [(1,), (2,)] and len(cursor.fetchall()) == 7
        assert [each[0] for each in cursor.description] == ["n"]
        cursor.execute("SELECT range AS n FROM range(200000)")
        assert sum(len(batch) for batch in cursor.fetch_record_batch()) == 200_000


def test_an_empty_answer_has_its_columns(connection):
    assert rows(connection, "SELECT resident_key, as_of FROM resident WHERE false").schema.names == ["resident_key", "as_of"]


def test_portrait_of_a_key_and_of_a_parameter(connection, district, key):
    named = rows(connection, f"SELECT * FROM portrait('{key}')")
    asked = rows(connection, "SELECT * FROM portrait(?)", [key])
    assert named.num_rows == asked.num_rows == 1 and named.schema.equals(asked.schema)
    portrait = asked.to_pylist()[0]
    resident = next(each for each in district.table("resident").to_pylist() if each["resident_key"] == key)
    assert {name: portrait[name] for name in resident} == resident
    assert portrait["household"]["household_id"] == resident["household_id"]
    assert portrait["age"] >= 60
    tags = [each for each in district.table("tag").to_pylist() if each["resident_key"] == key]
    assert {each["tag_code"] for each in portrait["tags"]} >= {each["tag_code"] for each in tags}
    assert rows(connection, "SELECT * FROM portrait('nobody')").num_rows == 0
    assert rows(connection, f"SELECT resident_key, age FROM portrait('{key}')").num_columns == 2


def test_portrait_in_one_call(cluster, district, key):
    client = fl.connect(f"grpc://{cluster.flight[1]}")
    signed_in = fl.FlightCallOptions(timeout=10, headers=[client.authenticate_basic_token("analyst", "any")])
    answer = client.do_get(fl.Ticket(f"portrait:{key}"), signed_in).read_all()
    assert answer.num_rows == 1 and answer["resident_key"][0].as_py() == key
    assert int(answer.schema.metadata[b"hearth.log_index"]) > 0
    took = []
    for _ in range(50):
        begun = time.perf_counter()
        client.do_get(fl.Ticket(f"portrait:{key}"), signed_in).read_all()
        took.append(time.perf_counter() - begun)
    assert sorted(took)[25] < 0.2, f"{sorted(took)[25] * 1_000:.1f} ms"
    for wrong in (b"\xff\x00nonsense", b"portrait", b""):
        with pytest.raises(pa.ArrowException):
            client.do_get(fl.Ticket(wrong), signed_in).read_all()


def test_every_result_carries_the_log_index(cluster, connection):
    first = int(rows(connection, "SELECT 1").schema.metadata[b"hearth.log_index"])
    again = int(rows(connection, "SELECT count(*) FROM resident").schema.metadata[b"hearth.log_index"])
    assert 0 < first <= again


def test_objects(connection, district):
    catalogs = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert [each["catalog_name"] for each in catalogs] == ["hearth"]
    schemas = {each["db_schema_name"]: each["db_schema_tables"] for each in catalogs[0]["catalog_db_schemas"]}
    tables = {each["table_name"]: each for each in schemas["civil"]}
    assert set(district.tables) <= set(tables)
    assert {"decision", "alert_history", "model_version", "feature_view"} <= set(tables)
    assert {"feature_current", "node_status", "query_log"} <= set(tables)
    assert [each["column_name"] for each in tables["tag"]["table_columns"]] == district.table("tag").schema.names
    some = connection.adbc_get_objects(depth="tables", table_name_filter="res%").read_all().to_pylist()
    assert [each["table_name"] for each in some[0]["catalog_db_schemas"][0]["db_schema_tables"]] == ["resident"]


def test_table_schema(connection, district):
    for name in ("tag", "visit", "resident", "health_summary"):
        assert connection.adbc_get_table_schema(name).names == district.table(name).schema.names
    with pytest.raises(adbc_driver_manager.Error):
        connection.adbc_get_table_schema("no_such_table")


def test_every_table_can_be_selected(connection):
    catalogs = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    names = [each["table_name"] for each in catalogs[0]["catalog_db_schemas"][0]["db_schema_tables"]]
    assert len(names) >= 39
    for name in names:
        answer = rows(connection, f'SELECT * FROM "{name}" LIMIT 3')
        assert answer.num_columns > 0, name
        declared = connection.adbc_get_table_schema(name)
        assert answer.schema.names == declared.names and answer.schema.types == declared.types, name


def test_counts_after_the_load(cluster, district):
    for name in district.tables:
        for flight in cluster.flight:
            assert district.loaded[flight, name] == district.table(name).num_rows, (name, flight)
    events = {(each["source"], each["event_id"]) for each in district.events()}
    for flight in cluster.flight:
        assert district.loaded[flight, "sensor_event"] == len(events), flight


def test_values_after_the_load(connection, district):
    """Every cell of the registers comes back as it was in the file."""
    for name in district.tables:
        file = district.table(name)
        keys = ", ".join(f'"{each}"' for each in file.schema.names[:3])
        answer = rows(connection, f'SELECT * FROM "{name}" ORDER BY {keys}')
        assert answer.schema.names == file.schema.names
        if name in ("tag", "visit"):  # other tests write into these
            continue
        ordered = sorted(file.to_pylist(), key=lambda row: [str(row[each]) for each in file.schema.names])
        given = sorted(answer.to_pylist(), key=lambda row: [str(row[each]) for each in file.schema.names])
        assert given == ordered, name


def test_live_features(connection, key):
    live = rows(connection, "SELECT * FROM feature_current WHERE entity_kind = 'resident'")
    assert {"entity_kind", "entity_key", "view", "feature", "value", "status", "log_index"} <= set(live.schema.names)
    assert live.num_rows > 0 and {"fall_risk", "subsidy"} & set(live["view"].to_pylist())
    values = rows(connection, "SELECT count(*) FROM feature_current WHERE value IS NOT NULL AND NOT isfinite(value)")
    assert values[0][0].as_py() == 0


def test_node_status(cluster, connection):
    status = rows(connection, "SELECT * FROM node_status").to_pylist()
    assert len(status) == NODES


def test_query_log_names_the_asker(cluster, connection):
    rows(connection, "SELECT 'looked for' AS words")
    # The log is written with the next entry; each append makes one.
    until = time.monotonic() + 10
    found = []
    while not found and time.monotonic() < until:
        log_index = append(cluster, f"query-log-{time.monotonic_ns()}")
        with connect(cluster.flight[0], headers={"hearth-min-log-index": log_index}) as fresh:
            found = rows(fresh, "SELECT * FROM query_log WHERE sql = 'SELECT ''looked for'' AS words'").to_pylist()
    assert found and (found[0]["who"], found[0]["rows"], found[0]["status"]) == ("analyst", 1, "done"), found


@pytest.mark.parametrize("sql,hint", [
    ("SELECT * FROM residnt", "resident"),
    ("SELECT nme_mask FROM resident", "name_mask"),
    ("SELEC 1", "SELEC"),
    ("SELECT * FROM portrai('x')", "portrai"),
    ("", ""),
    ("SELECT 1; SELECT 2", "2 statements")])
def test_a_typo_gets_one_line(connection, sql, hint):
    assert hint in refused(connection, sql)


@pytest.mark.parametrize("sql", [
    "DELETE FROM tag", "UPDATE tag SET value = 'x'", "DROP TABLE tag", "CREATE TABLE t (i INT)", "TRUNCATE tag",
    "INSERT INTO tag VALUES (1)", "COPY tag TO 'tag.csv'", "ATTACH 'x.db'", "SET threads = 1", "PRAGMA database_list",
    "INSTALL httpfs", "CALL pragma_version()", "WITH d AS (DELETE FROM tag RETURNING *) SELECT * FROM d",
    "SELECT * FROM read_csv('/etc/hostname')", "SELECT * FROM '/etc/hostname'", "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM glob('/*')", "EXPLAIN ANALYZE DELETE FROM tag", "BEGIN", "CHECKPOINT", "EXPORT DATABASE 'x'",
    "SELECT getenv('HOME')"])
def test_only_questions_are_answered(connection, district, sql):
    before = rows(connection, "SELECT count(*) FROM tag")[0][0].as_py()
    refused(connection, sql)
    assert rows(connection, "SELECT count(*) FROM tag")[0][0].as_py() == before


def test_a_refusal_does_not_spoil_the_connection(connection):
    with connection.cursor() as cursor:
        for _ in range(3):
            with pytest.raises(adbc_driver_manager.Error):
                cursor.execute("SELECT * FROM residnt")
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def tags(keys, code, value):
    count = len(keys)
    return pa.table({
        "resident_key": keys, "tag_code": [code] * count, "ver": pa.array([1] * count, pa.int64()),
        "source": ["analyst"] * count, "value": [value] * count, "score": pa.array([0.5] * count, pa.float64()),
        "from": pa.array([datetime.date(2026, 1, 1)] * count, pa.date32())})


def count_of(connection, code):
    return rows(connection, "SELECT value, count(*) AS n FROM tag WHERE tag_code = ? GROUP BY ALL", [code]).to_pylist()


def test_ingest_appends_and_replaces_by_key(cluster, connection, district):
    keys = district.table("resident")["resident_key"].to_pylist()[:50]
    with connection.cursor() as cursor:
        assert cursor.adbc_ingest("tag", tags(keys, "PY1", "one"), mode="append") in (50, -1)
        assert count_of(connection, "PY1") == [{"value": "one", "n": 50}], "one's own write is there at once"
        cursor.adbc_ingest("tag", tags(keys, "PY1", "two"), mode="append")
    assert count_of(connection, "PY1") == [{"value": "two", "n": 50}], "a key that is there is replaced"
    index = int(rows(connection, "SELECT 1").schema.metadata[b"hearth.log_index"])
    for flight in cluster.flight[1:]:
        with connect(flight, headers={"hearth-min-log-index": index}) as other:
            assert count_of(other, "PY1") == [{"value": "two", "n": 50}], flight


def test_ingest_of_pandas_rows_and_of_batches(connection, district):
    keys = district.table("resident")["resident_key"].to_pylist()
    frame = pandas.DataFrame({
        "visit_id": [f"py-{at}" for at in range(20)], "resident_key": keys[:20], "tier": "month",
        "due": [datetime.date(2026, 2, 1)] * 20, "done_ts": pandas.Timestamp("2026-02-01 08:00:00")})
    with connection.cursor() as cursor:
        cursor.adbc_ingest("visit", pa.Table.from_pandas(frame, preserve_index=False), mode="append")
        back = rows(connection, "SELECT * FROM visit WHERE visit_id LIKE 'py-%' ORDER BY visit_id").to_pandas()
        assert len(back) == 20 and back["done_ts"][0] == pandas.Timestamp("2026-02-01 08:00:00")
        assert back["worker"].isna().all()
        many = tags([f"nobody-{at}" for at in range(20_000)], "PY2", "many")
        cursor.adbc_ingest("tag", many.to_reader(max_chunksize=1_000), mode="append")
    assert count_of(connection, "PY2") == [{"value": "many", "n": 20_000}]


def test_ingest_on_a_follower(cluster, district):
    follower = next(node["flight"] for node in cluster.nodes if node["id"] != cluster.leader)
    with connect(follower) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("tag", tags(["someone"], "PY3", "follower"), mode="append")
        assert count_of(connection, "PY3") == [{"value": "follower", "n": 1}]


def ingest_refused(connection, table, data, **settings):
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as caught:
        cursor.adbc_ingest(table, data, **{"mode": "append", **settings})
    said = str(caught.value)
    assert "\n" not in said and len(said) < 500, said
    return said


def test_what_cannot_be_ingested(connection):
    good = tags(["someone"], "PY4", "x")
    assert "tag_code" in ingest_refused(connection, "tag", good.rename_columns(
        ["tag_cod" if name == "tag_code" else name for name in good.schema.names])), "the nearest name is said"
    assert "tag" in ingest_refused(connection, "tagg", good)
    ingest_refused(connection, "sensor_event", pa.table({"source": ["s"], "event_id": ["e"]}))
    ingest_refused(connection, "decision", pa.table({"decision_id": ["d"]}))
    ingest_refused(connection, "alert", pa.table({"alert_id": ["a"]}))
    ingest_refused(connection, "feature_current", pa.table({"entity_key": ["a"]}))
    assert "resident_key" in ingest_refused(connection, "tag", good.drop_columns(["resident_key"])), "a key is missing"
    null = good.set_column(0, "resident_key", pa.array([None], pa.string()))
    assert "resident_key" in ingest_refused(connection, "tag", null)
    text = good.set_column(2, "ver", pa.array(["one"]))
    assert "ver" in ingest_refused(connection, "tag", text)
    for mode in ("create", "replace"):
        ingest_refused(connection, "tag", good, mode=mode)
    assert count_of(connection, "PY4") == []


def append(cluster, event_id):
    event = {"event_id": event_id, "device_id": "py-device", "kind": "door", "event_time_us": 1767225600000000,
             "value": 1, "source": "test_adbc"}
    request = urllib.request.Request(f"http://{cluster.http[0]}/v1/events", json.dumps(event).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["log_index"]


def test_one_sees_ones_own_event(cluster, district):
    log_index = append(cluster, "own-write")
    for flight in cluster.flight:
        with connect(flight, headers={"hearth-min-log-index": log_index}) as connection:
            found = rows(connection, "SELECT device_id FROM sensor_event WHERE source = 'test_adbc' AND event_id = 'own-write'")
            assert found.num_rows == 1, flight
            assert int(found.schema.metadata[b"hearth.log_index"]) >= log_index


def test_an_index_that_is_no_number_is_refused(cluster):
    with connect(cluster.flight[0], headers={"hearth-min-log-index": "soon"}) as connection:
        assert "hearth-min-log-index" in refused(connection, "SELECT 1")


@pytest.mark.filterwarnings("ignore:Cannot disable autocommit")
def test_without_autocommit(cluster, district):
    with connect(cluster.flight[0], autocommit=False) as connection:
        assert rows(connection, "SELECT count(*) FROM resident").num_rows == 1
        connection.commit()
        assert rows(connection, "SELECT count(*) FROM tag").num_rows == 1
        connection.rollback()
        assert rows(connection, "SELECT 1").num_rows == 1


@pytest.mark.filterwarnings("ignore:Cannot disable autocommit")
def test_pandas_and_polars(cluster, connection, district):
    people = district.table("resident").num_rows
    sql = "SELECT resident_key, birth_ym, as_of FROM resident ORDER BY 1"
    assert pandas.read_sql(sql, connection).shape == (people, 3)
    assert pandas.read_sql("SELECT count(*) AS n FROM dwelling", connection)["n"][0] > 0
    assert polars.read_database(sql, connection).shape == (people, 3)
    address = f"flightsql://{cluster.flight[0]}?transport=tcp"
    assert polars.read_database_uri(sql, address, engine="adbc").shape == (people, 3)


def test_a_long_query_can_be_cancelled(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT range AS n FROM range(100000000000)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        cursor.adbc_cancel()
    begun = time.monotonic()
    assert rows(connection, "SELECT 1").num_rows == 1
    assert time.monotonic() - begun < 5


def test_messages_say_nothing_of_the_inside(connection):
    said = refused(connection, "SELECT * FROM residnt")
    assert not re.search(r"\.rs|panicked|LINE \d", said), said
