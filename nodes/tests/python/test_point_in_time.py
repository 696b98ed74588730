"""Training sets as of a moment, as an analyst asks for them: ADBC, pandas, a list of residents with times."""

import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest

from conftest import connect


@pytest.fixture
def cursor(cluster, district):
    with connect(cluster.flight[0]) as connection, connection.cursor() as cursor:
        yield cursor


def test_a_query_is_the_list(cursor):
    cursor.execute(
        "SELECT * FROM features_at('fall_risk', (SELECT resident_key, now(), 1 AS label FROM resident ORDER BY 1 LIMIT 5))")
    frame = cursor.fetch_arrow_table().to_pandas()
    assert len(frame) == 5 and frame.columns[0] == "resident_key" and frame.columns[2] == "label"
    assert {"age", "door_n_1d", "gait_speed_mean_7d"} <= set(frame.columns)
    assert str(frame["age"].dtype) == "float32" and frame["age"].between(40, 120).all()


def test_what_is_online_now_is_what_the_past_says_of_now(cursor):
    cursor.execute("SELECT entity_key, feature, value, known_at FROM feature_current WHERE view = 'fall_risk' ORDER BY 1 LIMIT 160")
    online = cursor.fetch_arrow_table().to_pandas()
    people = online[["entity_key", "known_at"]].drop_duplicates()
    cursor.adbc_ingest("online_people", pa.Table.from_pandas(people, preserve_index=False), mode="replace", temporary=True)
    cursor.execute("SELECT * FROM features_at('fall_risk', online_people)")
    past = cursor.fetch_arrow_table().to_pandas().set_index("entity_key")
    for row in online.itertuples():
        assert past.loc[row.entity_key, row.feature] == row.value, row


def test_a_frame_is_the_list(cursor):
    cursor.execute("SELECT resident_key FROM resident ORDER BY 1 LIMIT 3")
    keys = [row[0] for row in cursor.fetchall()]
    now = dt.datetime.now(dt.timezone.utc)
    frame = pd.DataFrame({
        "resident_key": keys * 2,
        "at": [now] * 3 + [now - dt.timedelta(days=400)] * 3,
        "label": range(6),
    })
    cursor.adbc_ingest("people", pa.Table.from_pandas(frame, preserve_index=False), mode="create", temporary=True)
    with pytest.raises(Exception, match="exists"):
        cursor.adbc_ingest("people", pa.Table.from_pandas(frame, preserve_index=False), mode="create", temporary=True)
    cursor.execute(
        "SELECT f.label, f.age, f.age_status, f.age_event_time, f.known_at, f.log_index "
        "FROM features_at('fall_risk', people, provenance := true) AS f ORDER BY label")
    found = cursor.fetch_arrow_table().to_pandas()
    assert list(found["label"]) == list(range(6))
    # The registers were loaded today: nothing was known a year ago.
    assert list(found["age_status"]) == ["present"] * 3 + ["not_found"] * 3
    assert found["log_index"][:3].notna().all() and found["log_index"][3:].isna().all()
    cursor.execute("SELECT count(*) FROM people WHERE label > 3")
    assert cursor.fetchall() == [(2,)]


def test_a_wrong_call_says_what_to_do(cursor):
    for call, said in [
        ("features_at('fal_risk', people)", "fall_risk"),
        ("features_at(fall_risk, people)", "quotation marks"),
        ("features_at('fall_risk', (SELECT 1))", ""),
    ]:
        with pytest.raises(Exception, match=said):
            cursor.execute(f"SELECT * FROM {call}")
            cursor.fetchall()
