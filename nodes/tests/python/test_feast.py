"""Feast's own client and stubs, unmodified, in a process of their own."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY, connect

CLIENT = Path(__file__).parent / "clients/feast_client.py"
PYTHON = REPOSITORY / ".native/venv-clients/bin/python"
WITHIN_S = 120


@pytest.fixture(scope="module")
def said(cluster, residents):
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: run `make venv`")
    asked = json.dumps({"http": cluster.http[0], "residents": [residents[0], residents[1], "nobody"]})
    ran = subprocess.run([PYTHON, "-W", "ignore", CLIENT, cluster.grpc[0]], input=asked, capture_output=True,
                         text=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def online(cluster, key):
    with connect(cluster.flight[0]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT feature, value, status FROM feature_current WHERE view = 'fall_risk' AND entity_key = ?", [key])
        return {feature: (value, status) for feature, value, status in cursor.fetchall()}


def test_stubs_by_name(cluster, residents, said):
    assert said["info"].startswith("hearth ")
    features = said["features"]
    assert set(features) == {"resident_key", "age", "door_n_1d", "gait_speed_mean_7d"}
    assert [row[0] for row in features["resident_key"]] == [residents[0], residents[1], "nobody"]
    assert [row[1] for row in features["resident_key"]] == ["PRESENT"] * 3
    assert said["same"] == features
    # The windows move with the clock, the registers do not.
    for at, resident in enumerate(residents[:2]):
        value, status = online(cluster, resident)["age"]
        assert features["age"][at][:2] == [value, "PRESENT"] and status == "present"
    assert features["age"][2][:2] == [None, "NOT_FOUND"]
    statuses = {row[1] for rows in features.values() for row in rows}
    assert statuses <= {"PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"}
    for name, rows in features.items():
        for value, status, at_us in rows:
            assert (value is None) == (status in ("NULL_VALUE", "NOT_FOUND")), name
            assert at_us == 0 or at_us > 1_000_000_000_000_000 or name == "age"
    assert int(said["headers"]["hearth-log-index"]) > 0 and int(said["headers"]["hearth-known-at-us"]) > 0


def test_defaults_are_filled_in_where_they_are_asked_for(said):
    filled = said["filled"]
    assert set(filled) == {"resident_key", "fall_risk__age", "fall_risk__door_n_1d", "fall_risk__gait_speed_mean_7d"}
    assert filled["fall_risk__age"][2][:2] == [75.0, "NOT_FOUND"]


def test_a_view_is_a_service(said):
    assert len(said["whole"]) > 100 and "door_n_7d" in said["whole"]
    assert said["versions"] == [["resident_activity", 1]]
    assert said["unknown"][0] == "NOT_FOUND" and "none" in said["unknown"][1]
    assert said["no_keys"][0] == "INVALID_ARGUMENT"


def test_feasts_store_reads_here(said, residents):
    for way in ("by_name", "by_service"):
        told = said["store"][way]
        assert told["resident_key"] == [residents[0], residents[1], "nobody"]
        assert told["age"] == [row[0] for row in said["features"]["age"]]
