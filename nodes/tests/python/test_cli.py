"""The command line: exit statuses, messages of one line, forms of lists, and the daily work."""

import csv
import io
import json
import math
import os
import shutil
import signal
import subprocess
import time
import tomllib

import pytest
from conftest import HEARTH, REPOSITORY, Dev, hearth

DONE, USAGE, REFUSED, UNAVAILABLE, DAMAGED = 0, 2, 3, 4, 5


def done(finished):
    assert finished.returncode == DONE, finished.stderr
    return finished.stdout


def fails(finished, status):
    """Ends with the status and one line on standard error; gives the line."""
    assert finished.returncode == status, (finished.returncode, finished.stdout, finished.stderr)
    assert finished.stdout == ""
    said = finished.stderr.strip()
    assert said and "\n" not in said and len(said) < 500, said
    return said


@pytest.mark.parametrize("words", [
    ["frobnicate"], ["dev", "--nodes", "three"], ["simulate"], ["status", "--format", "yaml"], [], ["model", "push"]])
def test_wrong_usage(words):
    finished = hearth(*words)
    assert finished.returncode == USAGE and finished.stdout == "" and finished.stderr


@pytest.mark.parametrize("words", [
    ["status", "--addr", "no address"], ["status", "--addr", ","], ["dev", "--nodes", "0"],
    ["simulate", "--people", "1", "--days", "1", "--out", "x"], ["report", "render", "elder-pyramid", "--param", "region"]])
def test_wrong_usage_that_is_found_later(words, tmp_path, address):
    fails(hearth(*words, cwd=tmp_path, address=address), USAGE)


def test_help_and_version():
    assert "Usage: hearth" in done(hearth("--help"))
    assert done(hearth("--version")).startswith("hearth ")


def test_a_wrong_address_is_told_within_seconds():
    begun = time.monotonic()
    said = fails(hearth("status", "--addr", "127.0.0.1:1,127.0.0.1:2"), UNAVAILABLE)
    assert "127.0.0.1:1" in said and time.monotonic() - begun < 10, time.monotonic() - begun


def test_one_good_address_is_enough(address):
    begun = time.monotonic()
    done(hearth("status", address=f"127.0.0.1:1,{address}"))
    assert time.monotonic() - begun < 10


def test_lists_as_json_and_csv(run, district):
    status = json.loads(done(run("status", "--format", "json")))
    assert len(status["members"]) == 3 and int(status["applied_index"]) > 0
    models = json.loads(done(run("model", "list", "--format", "json")))
    assert {"fall_risk", "subsidy_triage"} <= {each["model"] for each in models}
    assert isinstance(json.loads(done(run("alert", "list", "--format", "json"))), list)
    answer = json.loads(done(run("sql", "SELECT 1 AS a, '王' AS b, NULL AS c", "--format", "json")))
    assert answer[0]["a"] == 1 and answer[0]["b"] == "王"
    assert json.loads(done(run("sql", "SELECT 1 AS a WHERE false", "--format", "json"))) == []
    for words in (["status"], ["model", "list"], ["alert", "list"], ["report", "list"], ["sql", "SELECT 1 AS a, 'x,\"y' AS b"]):
        table = list(csv.reader(io.StringIO(done(run(*words, "--format", "csv")))))
        assert table and all(len(row) == len(table[0]) for row in table), words
        assert done(run(*words))
    assert list(csv.reader(io.StringIO(done(run("sql", "SELECT 1 AS a WHERE false", "--format", "csv"))))) == [["a"]]


def test_nothing_but_the_answer_is_printed(run, district):
    finished = run("sql", "SELECT 1 AS a", "--format", "csv")
    assert (finished.stdout, finished.stderr) == ("a\n1\n", "")


def test_refused_or_not_found(run, district, tmp_path):
    assert "nobody" in fails(run("portrait", "nobody"), REFUSED)
    assert "resident" in fails(run("sql", "SELECT * FROM residnt"), REFUSED)
    fails(run("sql", "DELETE FROM tag"), REFUSED)
    assert "no_such" in fails(run("score", "no_such", "x"), REFUSED)
    assert "nobody" in fails(run("score", "fall_risk", "nobody"), REFUSED)
    assert "elder" in fails(run("report", "render", "elder-pyramd"), REFUSED)
    fails(run("alert", "act", "no-alert", "ack"), REFUSED)
    fails(run("model", "approve", "no_such", "1"), REFUSED)
    assert "no_such" in fails(run("model", "show", "no_such"), REFUSED)
    fails(run("model", "push", tmp_path / "nothing"), REFUSED)
    fails(run("model", "push", tmp_path), REFUSED)
    fails(run("load", tmp_path), REFUSED)


def test_linkage_and_rosters_come_from_files(run, tmp_path):
    linkage, roster = (REPOSITORY / "deploy/notify" / name for name in ("linkage.toml", "roster.toml"))
    shown = tomllib.loads(done(run("alert", "linkage", "set", linkage)))
    assert shown["version"] == 1 and shown["policies"][0]["tell_at_once"] == [1, 2, 3]
    assert tomllib.loads(done(run("alert", "linkage", "show"))) == shown
    done(run("alert", "linkage", "set", linkage))  # the same again
    done(run("alert", "roster", "set", roster))
    rosters = json.loads(done(run("alert", "roster", "list", "--format", "json")))
    assert [(each["level"], each["region"], each["version"]) for each in rosters] == [(2, "330106001", 1)]
    assert tomllib.loads(done(run("alert", "roster", "show", "2", "330106001")))["shifts"][0]["name"] == "day"
    wrong, second = tmp_path / "wrong.toml", linkage.read_text().replace("version = 1", "version = 2")
    for text, said in [
        ("version = 2\nverion = 1", "line 2"), (second.replace("ack_s = [60, 120", "ack_s = [0, 120"), "ack_s"),
        (linkage.read_text().replace("reminder_s = 3600", "reminder_s = 1800"), "higher"), ("version = 2", "band"),
    ]:
        wrong.write_text(text)
        assert said in fails(run("alert", "linkage", "set", wrong), REFUSED), text
    wrong.write_text(roster.read_text().replace("nights and week-ends", "nights"))
    assert "higher" in fails(run("alert", "roster", "set", wrong), REFUSED)
    assert "no roster" in fails(run("alert", "roster", "show", "3"), REFUSED)
    fails(run("alert", "show", "no-alert"), REFUSED)
    fails(run("alert", "family", "nobody"), REFUSED)


def test_portrait_and_score(run, district):
    key = district.table("resident")["resident_key"][5].as_py()
    portrait = json.loads(done(run("portrait", key)))
    assert portrait[0]["resident_key"] == key
    score = json.loads(done(run("score", "fall_risk", key, "--format", "json")))
    assert score["entity"] == key and 0 < score["score"] < 1 and score["band"]
    assert key in done(run("score", "subsidy_triage", key, "--explain"))
    recorded = json.loads(done(run("score", "subsidy_triage", key, "--record", "--purpose", "test", "--format", "json")))
    assert recorded["decision_id"]


def test_json_with_explanations_is_one_document(run, district):
    key = district.table("resident")["resident_key"][5].as_py()
    said = json.loads(done(run("score", "subsidy_triage", key, "--explain", "--format", "json")))
    parts = [each["contribution"] for each in said["contributions"]]
    assert len(parts) == 9 and said["link"] == "logit"
    assert abs(1 / (1 + math.exp(-said["base"] - sum(parts))) - said["score"]) < 1e-4


def test_a_forest_says_why_in_both_languages(run, district):
    key = district.table("resident")["resident_key"][5].as_py()
    said = json.loads(done(run("score", "fall_risk", key, "--explain", "--format", "json")))
    parts = {each["feature"]: each for each in said["contributions"]}
    assert len(parts) == 16 and said["link"] == "logit"
    total = said["base"] + sum(each["contribution"] for each in parts.values())
    assert abs(1 / (1 + math.exp(-total)) - said["score"]) < 1e-6
    assert (parts["age"]["reason_zh"], parts["age"]["reason_en"]) == ("年龄", "age")
    table = done(run("score", "fall_risk", key, "--explain"))
    assert "过去十二个月内跌倒过 / falls in the last twelve months" in table and "(base)" in table


def test_every_report_renders(run, district, tmp_path):
    reports = [each["report"] for each in json.loads(done(run("report", "list", "--format", "json")))]
    assert len(reports) >= 8
    filled = 0
    for name in reports:
        place = tmp_path / f"{name}.csv"
        done(run("report", "render", name, "--as", "csv", "--out", place))
        table = list(csv.reader(io.StringIO(place.read_text(encoding="utf-8-sig"))))
        assert table, name
        filled += len(table) > 1
    # A day without a hazard leaves the reports on alerts empty.
    assert filled >= len(reports) - 4, "most reports have rows on loaded data"


def test_a_report_to_standard_output(run, district):
    assert "|" in done(run("report", "render", "elder-pyramid", "--as", "md", "--language", "en", "--out", "-"))


def test_push_of_a_folder_and_of_a_file(run, district, zoo, fixtures, tmp_path):
    package = tmp_path / "package"
    shutil.copytree(zoo / "fall_risk", package, ignore=shutil.ignore_patterns("train.py", "card.in"))
    manifest = package / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('version = "1"', 'version = "2"', 1), encoding="utf-8")
    pushed = json.loads(done(run("model", "push", package, "--format", "json")))
    assert (pushed[0]["model"], pushed[0]["version"], pushed[0]["state"]) == ("fall_risk", "2", "validated")
    done(run("model", "push", fixtures / "regressor.onnx", "--name", "bare_file", "--version", "1"))
    done(run("model", "approve", "bare_file", "1"))
    done(run("model", "activate", "bare_file", "1"))
    shown = json.loads(done(run("model", "show", "bare_file", "--format", "json")))
    assert shown[0]["state"] == "active"
    manifest.write_text(text.replace('"age", ', "", 1), encoding="utf-8")
    assert "age" in fails(run("model", "push", package), REFUSED)
    manifest.write_text(text.replace('entity = "resident"', 'entty = "resident"', 1), encoding="utf-8")
    assert "entty" in fails(run("model", "push", package), REFUSED)


def test_train_push_and_score(run, district, tmp_path):
    package = tmp_path / "visits"
    query = """
        SELECT date_diff('year', CAST(birth_ym || '-01' AS DATE), DATE '2026-01-01') AS age,
               CASE WHEN sex = '2' OR sex = 'F' THEN 1 ELSE 0 END AS woman, coalesce(drugs_n, 0) AS drugs,
               coalesce(falls_12m, 0) > 0 AS fell
        FROM resident JOIN health_summary USING (resident_key)"""
    said = done(run("train", query, "--label", "fell", "--name", "falls_by_query", "--out", package))
    assert "falls_by_query" in said or str(package) in said
    done(run("model", "push", package))
    done(run("model", "approve", "falls_by_query", "1"))
    done(run("model", "activate", "falls_by_query", "1"))
    assert "no column" in fails(run("train", query, "--label", "fel", "--name", "x", "--out", tmp_path / "x"), REFUSED)
    fails(run("train", "SELECT resident_key, true AS fell FROM resident", "--label", "fell", "--name", "x",
              "--out", tmp_path / "x"), REFUSED)
    assert not (tmp_path / "x").exists()


def test_the_same_seed_is_the_same_district(tmp_path):
    sums = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        done(hearth("simulate", "--people", 60, "--days", 1, "--seed", seed, "--out", tmp_path / name))
        sums.append((tmp_path / name / "SHA256SUMS").read_bytes())
    assert sums[0] == sums[1] != sums[2]
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / "a", timeout=30, check=False,
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + checked.stdout


def test_a_second_load_changes_nothing(run, district):
    def counted():
        return done(run("sql", "SELECT (SELECT count(*) FROM sensor_event), (SELECT count(*) FROM resident)", "--format", "csv"))

    before = counted()
    said = done(run("load", district.folder))
    assert " 0 events accepted" in said, said
    assert counted() == before


def test_ports_in_use_are_told(cluster, tmp_path):
    port = cluster.grpc[0].rsplit(":", 1)[1]
    said = fails(hearth("dev", "--nodes", "1", "--base-port", port, "--dir", tmp_path), REFUSED)
    assert port in said and "--base-port" in said


def test_a_supervised_node_comes_back_by_itself(tmp_path):
    dev = Dev(tmp_path, "--supervise", "--bare", nodes=1)
    try:
        node = dev.ready().nodes[0]
        before = json.loads(done(hearth("status", "--format", "json", address=node["grpc"])))
        os.kill(node["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while True:
            asked = hearth("status", "--format", "json", address=node["grpc"])
            after = json.loads(asked.stdout) if asked.returncode == DONE else {"term": 0}
            if after["term"] > before["term"]:
                break
            assert time.monotonic() < deadline, asked.stderr
    finally:
        assert dev.stop() == DONE


def test_damaged_data_is_not_served(tmp_path):
    dev = Dev(tmp_path, nodes=1)
    try:
        config = dev.ready().nodes[0]["config"]
    finally:
        assert dev.stop() == DONE
    served = subprocess.Popen([HEARTH, "serve", "--config", config], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    served.send_signal(signal.SIGTERM)
    served.communicate(timeout=30)
    log = max((tmp_path / "node1/raft/log").glob("*.wal"), key=lambda path: path.stat().st_size)
    bytes_ = bytearray(log.read_bytes())
    assert len(bytes_) > 200
    for at in range(40, 80):
        bytes_[at] ^= 0xFF
    log.write_bytes(bytes_)
    finished = hearth("serve", "--config", config)
    assert finished.returncode == DAMAGED, (finished.returncode, finished.stderr)
    assert finished.stderr.strip()
