"""The decision ledger from outside: recorded inferences, exports checked with nothing but hashlib, planted changes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time

import duckdb
import numpy as np
import pytest
import tritonclient.grpc as triton
from conftest import HEARTH, Dev, connect, hearth
from tensors import CALL_WITHIN_S, entities, features, golden, refused

DONE, REFUSED, DAMAGED = 0, 3, 5
ZERO = "0" * 64


def done(finished):
    assert finished.returncode == DONE, finished.stderr
    return finished.stdout


def damaged(finished):
    assert finished.returncode == DAMAGED, (finished.returncode, finished.stdout, finished.stderr)
    said = finished.stderr.strip()
    assert said and "\n" not in said, said
    return said


def recorded(client, model, tensor, **parameters):
    answer = client.infer(model, [tensor], parameters={"record": True, **parameters}, client_timeout=CALL_WITHIN_S)
    ids = [each.decode() for each in answer.as_numpy("decision_id").ravel()]
    assert answer.get_response().parameters["decision_id"].string_param == ",".join(ids)
    return answer, ids


def shown(address, decision):
    return json.loads(done(hearth("audit", "show", decision, address=address)))


def test_recorded_by_entity(client, cluster, residents):
    answer, ids = recorded(client, "fall_risk", entities(residents[:3]), purpose="a round of visits", reviewer="li")
    assert len(set(ids)) == 3
    for at, (decision, resident) in enumerate(zip(ids, residents)):
        told = [shown(address, decision) for address in cluster.grpc]
        assert told[0] == told[1] == told[2]
        told = told[0]
        assert told["score"]["entity"] == resident and told["score"]["version"] == "1"
        assert np.float32(told["score"]["score"]) == answer.as_numpy("score")[at, 0]
        assert told["purpose"] == "a round of visits" and told["human_reviewer"] == "li"
        assert told["outcome"] == "advised" and not told["needs_review"]
        assert len(told["features"]) == 16 and told["view"] == "fall_risk" and told["as_of_us"] > 0
        assert {each["status"] for each in told["features"]} <= {"present", "default", "stale"}
        assert "bands" in told["policy"] and len(told["package_sha256"]) == 64
        for address in cluster.grpc:
            assert json.loads(done(hearth("audit", "replay", decision, address=address)))["identical"]


def test_recorded_with_features(client, cluster, zoo):
    rows, _ = golden(zoo, "subsidy_triage")
    answer, ids = recorded(client, "subsidy_triage", features(rows[:5]), entity="application 7")
    for at, decision in enumerate(ids):
        told = shown(cluster.grpc[1], decision)
        assert told["score"]["entity"] == "application 7" and told["outcome"] == "proposed" and told["needs_review"]
        assert [np.float32(each["value"]) for each in told["features"]] == list(rows[at])
        assert {each["status"] for each in told["features"]} == {"given"}
        assert all(each["reason_zh"] and each["reason_en"] for each in told["score"]["contributions"])
        assert np.float32(told["score"]["score"]) == answer.as_numpy("score")[at, 0]
        done(hearth("audit", "replay", decision, address=cluster.grpc[2]))


def test_what_cannot_be_recorded(client, residents):
    parameters = {"record": True}
    refused("NOT_FOUND", client.infer, "fall_risk", [entities(["nobody"])], parameters=parameters)
    refused("INVALID_ARGUMENT", client.infer, "fall_risk", [entities(residents[:1] * 257)], parameters=parameters)
    too_long = {"record": True, "purpose": "x" * 2_000}
    refused("INVALID_ARGUMENT", client.infer, "fall_risk", [entities(residents[:1])], parameters=too_long)


def test_every_bit_is_in_the_warehouse(client, cluster, residents):
    _, ids = recorded(client, "fall_risk", entities(residents[3:4]))
    with connect(cluster.flight[0], {"hearth-read": "linearizable"}) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT score, features, contributions FROM decision WHERE decision_id = ?", ids)
        score, readings, contributions = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM decision, json_each(features) WHERE decision_id = ?", ids)
        assert cursor.fetchone()[0] == 16
    told = shown(cluster.grpc[0], ids[0])
    assert score == told["score"]["score"]
    assert [each["value"] for each in json.loads(readings)] == [each["value"] for each in told["features"]]
    assert ([each["contribution"] for each in json.loads(contributions)]
            == [each["contribution"] for each in told["score"]["contributions"]])


def test_people_and_outcomes(client, cluster, zoo, run):
    rows, _ = golden(zoo, "subsidy_triage")
    _, (decision,) = recorded(client, "subsidy_triage", features(rows[:1]))
    said = run("audit", "review", decision, "--verdict", "refuse", "--reviewer", "wang", "--reason", "x")
    assert said.returncode == REFUSED and "uphold, overturn, refer" in said.stderr
    told = json.loads(done(run("audit", "review", decision, "--verdict", "overturn", "--reviewer", "wang",
                               "--reason", "income of a neighbour")))
    assert told["outcome"] == "overturned" and told["human_reviewer"] == "wang" and not told["needs_review"]
    observed = json.loads(done(run("audit", "outcome", "--decision", decision, "--observed", "1", "--source", "office")))
    assert observed["version"] == "1" and observed["observed"] == 1.0
    told = shown(cluster.grpc[2], decision)
    assert len(told["reviews"]) == 1 and len(told["outcomes"]) == 1


def chain(lines):
    """The chain of an export by hashlib alone: number and hash of the last entry."""
    previous = ZERO
    for line in lines[1:-1]:
        told = json.loads(line)
        assert told["previous_hash"] == previous
        start = line.index(',"entry":') + len(',"entry":') if "entry" in told else None
        content = told.get("content_sha256") or hashlib.sha256(line[start:-1].encode()).hexdigest()
        previous = hashlib.sha256(bytes.fromhex(previous) + bytes.fromhex(content)).hexdigest()
        assert told["hash"] == previous
    return told["seq"], previous


@pytest.fixture(scope="module")
def export(tmp_path_factory, client, cluster, residents):
    recorded(client, "fall_risk", entities(residents[:8]))
    path = tmp_path_factory.mktemp("export") / "ledger.ndjson"
    done(hearth("audit", "export", "--out", path, address=cluster.grpc[0]))
    return path


def test_an_export_is_checked_by_anybody(export, cluster, run):
    lines = export.read_text(encoding="utf-8").splitlines()
    seq, head = chain(lines)
    assert json.loads(lines[-1])["head"] == head and seq == len(lines) - 2
    told = json.loads(done(run("audit", "verify", export, "--format", "json")))[0]
    assert (told["entries"], told["head"]) == (seq, head)
    done(run("audit", "verify", export, "--head", head))
    assert "its head is" in damaged(run("audit", "verify", export, "--head", "1" * 64))
    now = json.loads(done(run("audit", "head", "--format", "json")))[0]
    status = json.loads(done(run("status", "--format", "json")))
    assert now["entries"] >= seq and status["ledger_seq"] >= seq and len(status["ledger_head"]) == 64
    # Written down elsewhere, it is found again in the chain of every node.
    nodes = json.loads(done(run("audit", "verify", "--head", head, "--format", "json")))
    assert len(nodes) == 3 and len({node["head"] for node in nodes}) == 1
    assert "no entry has the hash" in damaged(run("audit", "verify", "--head", "1" * 64))


def test_every_changed_byte_of_an_export_is_found(export, tmp_path):
    whole = export.read_bytes()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    changed = tmp_path / "changed.ndjson"
    for at in sorted({0, len(whole) - 1, *dice.sample(range(len(whole)), 40)}):
        bytes_ = bytearray(whole)
        bytes_[at] ^= 1 << dice.randrange(7)
        changed.write_bytes(bytes_)
        damaged(hearth("audit", "verify", changed))
    for cut in (1, len(whole) // 2, len(whole) - 1):
        changed.write_bytes(whole[:cut])
        damaged(hearth("audit", "verify", changed))


def test_entries_that_are_taken_out_swapped_or_put_in_are_named(export, tmp_path):
    lines = export.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 6

    def said(changed):
        path = tmp_path / "changed.ndjson"
        path.write_text("\n".join(changed) + "\n", encoding="utf-8")
        return damaged(hearth("audit", "verify", path))

    assert "entry 3 is missing" in said(lines[:3] + lines[4:])
    assert "entry 2 is missing" in said(lines[:2] + [lines[3], lines[2]] + lines[4:])
    assert "a second time" in said(lines[:3] + [lines[2]] + lines[3:])
    assert "are missing after it" in said(lines[:-2] + lines[-1:])
    entry = json.loads(lines[2])["entry"]["what"]
    decision = entry.get("decision", entry.get("review", entry.get("outcome")))["decision_id"]
    text = said([line.replace('"purpose":"', '"purpose":"?') if at == 2 else line for at, line in enumerate(lines)])
    assert f"entry 2, decision {decision}" in text and "its content gives hash" in text


def test_an_export_of_one_person_tells_nothing_of_others(client, cluster, residents, tmp_path, run):
    own, other = residents[20], residents[21]
    recorded(client, "fall_risk", entities([own, other, own]))
    for name in ("one.ndjson", "one.parquet"):
        path = tmp_path / name
        done(run("audit", "export", "--out", path, "--entity", own))
        told = json.loads(done(run("audit", "verify", path, "--format", "json")))[0]
        assert told["entries"] - told["left_out"] >= 2
        assert other.encode() not in path.read_bytes()
    chain((tmp_path / "one.ndjson").read_text(encoding="utf-8").splitlines())


def test_parts_by_number_and_time(export, tmp_path, run):
    path = tmp_path / "part.ndjson"
    done(run("audit", "export", "--out", path, "--from", "2", "--to", "4"))
    told = json.loads(done(run("audit", "verify", path, "--format", "json")))[0]
    assert (told["entries"], told["last"]) == (3, 4)
    done(run("audit", "export", "--out", path, "--from", "2000-01-01", "--to", "2000-01-02"))
    assert json.loads(done(run("audit", "verify", path, "--format", "json")))[0]["entries"] == 0
    done(run("audit", "export", "--out", path, "--from", "2000-01-01"))
    assert json.loads(done(run("audit", "verify", path, "--format", "json")))[0]["entries"] >= 8
    assert run("audit", "export", "--out", path, "--from", "yesterday").returncode == 2


def test_a_parquet_export_and_a_change_in_it(export, tmp_path, run):
    path = tmp_path / "ledger.parquet"
    done(run("audit", "export", "--out", path))
    told = json.loads(done(run("audit", "verify", path, "--format", "json")))[0]
    assert told["entries"] >= 8
    for change in ("score = score + 1e-12 WHERE seq = 3", "text = replace(text, 'fall_risk', 'fall_rusk') WHERE seq = 2",
                   "entity = 'somebody' WHERE seq = 1"):
        changed = tmp_path / "changed.parquet"
        with duckdb.connect() as database:
            database.execute(f"CREATE TABLE ledger AS FROM '{path}'")
            assert database.execute(f"UPDATE ledger SET {change}").fetchone()[0] == 1
            database.execute(f"COPY ledger TO '{changed}' (FORMAT parquet)")
        assert "entry" in damaged(run("audit", "verify", changed))


CHANGES = {
    "UPDATE civil.decision SET score = score + 1e-9 WHERE seq = 2": ("entry 2, decision", "not as in the node's memory: score"),
    "UPDATE civil.decision SET features = replace(features, 'given', 'present') WHERE seq = 1": ("entry 1, decision", "memory: features[0].status, features[1].status"),
    "UPDATE civil.decision SET features = replace(features, ':', ': ') WHERE seq = 3": ("entry 3", "decision.features"),
    "UPDATE civil.decision SET purpose = 'another' WHERE seq = 4": ("entry 4, decision", "not as in the node's memory: purpose"),
    "DELETE FROM civil.decision WHERE seq = 2": ("entry 3, decision", "entry 2 is missing"),
    "DELETE FROM civil.decision WHERE seq = 5": ("the end, entry 4", "missing after it"),
    "UPDATE civil.decision SET seq = 5 - seq + 2 WHERE seq IN (3, 4)": ("entry 3", "follows hash"),
    "INSERT INTO civil.decision SELECT * FROM civil.decision WHERE seq = 2": ("entry 2", "a second time"),
    "INSERT INTO civil.decision SELECT * REPLACE (NULL AS seq) FROM civil.decision WHERE seq = 2": ("", "no entry of the ledger belongs to"),
    "UPDATE civil.decision SET hash = previous_hash WHERE seq = 4": ("entry 4", "the content or the hash was changed"),
    "UPDATE civil.decision SET caller = NULL WHERE seq = 4": ("entry 4", "decision.caller"),
}


def test_a_change_planted_in_a_warehouse_is_found(tmp_path, zoo):
    dev = Dev(tmp_path, nodes=1)
    try:
        node = dev.ready().nodes[0]
        rows, _ = golden(zoo, "fall_risk")
        with triton.InferenceServerClient(node["grpc"]) as client:
            recorded(client, "fall_risk", features(rows[:5]))
        done(hearth("audit", "verify", address=node["grpc"]))
    finally:
        assert dev.stop() == DONE
    file = next(tmp_path.glob("node1/*.duckdb"))
    kept = {path: path.read_bytes() for path in file.parent.glob(file.name + "*")}
    for change, (name, what) in CHANGES.items():
        for path in file.parent.glob(file.name + "*"):
            path.unlink()
        for path, bytes_ in kept.items():
            path.write_bytes(bytes_)
        with duckdb.connect(file) as database:
            database.execute(change)
        with Serving(node) as address:
            said = damaged(hearth("audit", "verify", address=address))
            assert name in said and what in said, (change, said)
            out = tmp_path / "out.ndjson"
            damaged(hearth("audit", "export", "--out", out, address=address))
            assert not out.exists()


class Serving:
    """One node by its own configuration, until it answers."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        self.process = subprocess.Popen([HEARTH, "serve", "--config", self.node["config"]], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            asked = hearth("status", "--format", "json", address=self.node["grpc"])
            told = json.loads(asked.stdout) if asked.returncode == DONE else {}
            if told.get("leader_id") and told["ledger_seq"] == 5:
                return self.node["grpc"]
            assert self.process.poll() is None and time.monotonic() < deadline, asked.stderr
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
