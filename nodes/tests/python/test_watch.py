"""Watched models: drift, gaps, groups and calibration against numpy and scipy, in SQL and in Prometheus' words."""

import json
import re
import shutil
import time
import urllib.request
from collections import Counter

import numpy as np
import pytest
from conftest import connect, hearth
from scipy import stats
from tensors import CALL_WITHIN_S, entities, features, golden

DONE, REFUSED = 0, 3
MODEL = "watched_risk"
REFERENCE_ROWS, ROWS, PEOPLE = 500, 2_000, 40
SEED = 20261122


def done(finished):
    assert finished.returncode == DONE, finished.stderr
    return finished.stdout


def sql(address, statement):
    with connect(address, {"hearth-read": "linearizable"}) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table().to_pylist()


def package(zoo, folder, version, watch):
    shutil.copytree(zoo / "fall_risk", folder, ignore=shutil.ignore_patterns("train.py", "card.in"))
    manifest = (folder / "manifest.toml").read_text(encoding="utf-8")
    manifest = manifest.replace('name = "fall_risk"', f'name = "{MODEL}"', 1).replace('version = "1"', f'version = "{version}"', 1)
    (folder / "manifest.toml").write_text(f"{manifest}\n[watch]\n{watch}\n", encoding="utf-8")
    return folder


def write_background(folder, rows):
    names = re.search(r"features = \[(.*?)\]", (folder / "manifest.toml").read_text(encoding="utf-8"), re.S)
    names = re.findall(r'"(\w+)"', names.group(1))
    lines = [",".join(names)] + [",".join(repr(float(value)) for value in row) for row in rows]
    (folder / "background.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return names


def scored(client, model, rows):
    parts = [client.infer(model, [features(part)], client_timeout=CALL_WITHIN_S).as_numpy("score")
             for part in np.array_split(rows, max(1, len(rows) // 250))]
    return np.concatenate(parts).ravel().astype(np.float64)


@pytest.fixture(scope="module")
def watched(tmp_path_factory, zoo, client, cluster, address, residents):
    """A model with a background, scored with rows that have drifted and for some people, whose outcomes are known."""
    def run(*words):
        return hearth(*words, address=address)

    dice = np.random.default_rng(SEED)
    rows, _ = golden(zoo, "fall_risk")
    background = rows[dice.integers(len(rows), size=REFERENCE_ROWS)]
    background[:, 0] += dice.integers(-8, 9, size=REFERENCE_ROWS)
    now = rows[dice.integers(len(rows), size=ROWS)]
    now[:, 0] += dice.integers(4, 21, size=ROWS)
    folder = package(zoo, tmp_path_factory.mktemp("package") / MODEL, 1, "selected_min_score = 0.3")
    names = write_background(folder, background)
    done(run("model", "push", folder, "--author", "li"))
    done(run("model", "approve", MODEL, "1", "--actor", "wang"))
    done(run("model", "activate", MODEL, "1", "--actor", "wang"))
    reference = scored(client, "fall_risk", background)
    scores = scored(client, MODEL, now)
    chosen = residents[:PEOPLE]
    answer = client.infer(MODEL, [entities(chosen)], parameters={"record": True}, client_timeout=CALL_WITHIN_S)
    ids = [each.decode() for each in answer.as_numpy("decision_id").ravel()]
    decisions = [json.loads(done(run("audit", "show", decision))) for decision in ids]
    outcomes = {}
    for at, decision in enumerate(ids[:12]):
        outcomes[decision] = at % 3 == 0
        done(run("audit", "outcome", "--decision", decision, "--observed", str(at % 3 == 0 and 1 or 0)))
    deadline = time.monotonic() + 30
    while True:
        table = sql(cluster.flight[2], f"SELECT * FROM model_drift WHERE model = '{MODEL}' AND version = '1'")
        if table and table[0]["scores_total"] >= ROWS + PEOPLE:
            break
        assert time.monotonic() < deadline, table
        time.sleep(0.2)
    people = np.array([[each["value"] for each in told["features"]] for told in decisions])
    own = np.array([told["score"]["score"] for told in decisions])
    return {
        "names": names, "drift": {row["feature"]: row for row in table}, "decisions": decisions, "people": chosen,
        "outcomes": outcomes, "reference": (background.astype(np.float64), reference),
        "now": (np.concatenate([now.astype(np.float64), people]), np.concatenate([scores, own])),
    }


def edges(values, parts):
    """The least value that so many fortieths of the reference do not pass."""
    ordered = np.sort(values)
    return sorted({ordered[-(-part * len(ordered) // 40) - 1] for part in parts})


def shares(values, cuts):
    counts = np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)
    return counts / counts.sum()


def psi(reference, now):
    cuts = edges(reference, range(4, 40, 4))
    expected, actual = (np.maximum(shares(values, cuts), 1e-4) for values in (reference, now))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def ks(reference, now):
    cuts = edges(reference, range(1, 40))
    return float(np.max(np.abs(np.cumsum(shares(now, cuts)) - np.cumsum(shares(reference, cuts)))))


def test_drift_is_what_numpy_says(watched):
    assert set(watched["drift"]) == {"score", *watched["names"]}
    columns = {"score": (watched["reference"][1], watched["now"][1])}
    for at, name in enumerate(watched["names"]):
        columns[name] = (watched["reference"][0][:, at], watched["now"][0][:, at])
    for name, (reference, now) in columns.items():
        told = watched["drift"][name]
        assert told["reference"] == "background.csv" and told["reference_rows"] == REFERENCE_ROWS
        assert told["scores"] == told["scores_total"] == ROWS + PEOPLE
        assert told["psi"] == pytest.approx(psi(reference, now), abs=1e-9), name
        assert told["ks"] == pytest.approx(ks(reference, now), abs=1e-9), name
        whole = stats.ks_2samp(reference, now).statistic
        assert whole - 1 / 40 - 1e-9 <= told["ks"] <= whole + 1e-9 or len(set(reference)) < 40, name
    assert watched["drift"]["score"]["mean"] == pytest.approx(np.mean(watched["now"][1]), abs=1e-8)
    assert watched["drift"]["age"]["psi"] > 0.25 > watched["drift"]["vision"]["psi"]


def test_missing_and_stale_values_are_counted(watched):
    for at, name in enumerate(watched["names"]):
        found = Counter(told["features"][at]["status"] for told in watched["decisions"])
        told = watched["drift"][name]
        assert told["missing_rate"] == pytest.approx(found["default"] / (ROWS + PEOPLE), abs=1e-12)
        assert told["stale_rate"] == pytest.approx(found["stale"] / (ROWS + PEOPLE), abs=1e-12)
    assert any(row["missing_rate"] for row in watched["drift"].values())


def test_groups_come_from_the_registers(watched, cluster, district):
    sexes = dict(zip(*(district.table("resident")[name].to_pylist() for name in ("resident_key", "sex"))))
    scores = {told["score"]["entity"]: told["score"]["score"] for told in watched["decisions"]}
    rows = sql(cluster.flight[0], f"SELECT * FROM model_groups WHERE model = '{MODEL}' AND version = '1'")
    assert {row["group_column"] for row in rows} == {"sex", "age", "household"}
    for row in (row for row in rows if row["group_column"] == "sex"):
        own = [scores[key] for key in watched["people"] if (sexes[key] or "unknown") == row["group_value"]]
        assert row["scores"] == len(own) and row["score_mean"] == pytest.approx(np.mean(own), abs=1e-8)
        assert row["selected"] == sum(score >= 0.3 for score in own)
    assert sum(row["scores"] for row in rows) == 3 * PEOPLE
    assert sum(row["outcomes"] for row in rows) == 3 * len(watched["outcomes"])
    assert sum(row["positives"] for row in rows) == 3 * sum(watched["outcomes"].values())


def test_calibration_is_what_numpy_says(watched, cluster):
    pairs = [(told["score"]["score"], float(watched["outcomes"][told["decision_id"]]))
             for told in watched["decisions"] if told["decision_id"] in watched["outcomes"]]
    scores, outcomes = np.array(pairs).T
    bins = np.minimum((scores * 10).astype(int), 9)
    ece = sum(abs(scores[bins == each].mean() - outcomes[bins == each].mean()) * np.mean(bins == each) for each in set(bins))
    rows = sql(cluster.flight[1], f"SELECT * FROM model_calibration WHERE model = '{MODEL}' ORDER BY score_from")
    assert len(rows) == 10 and rows[0]["outcomes_total"] == len(pairs)
    assert rows[0]["brier"] == pytest.approx(np.mean((scores - outcomes) ** 2), abs=1e-8)
    assert rows[0]["ece"] == pytest.approx(ece, abs=1e-8)
    assert [row["outcomes"] for row in rows] == list(np.bincount(bins, minlength=10))


def test_prometheus_says_the_same(watched, cluster):
    for address in cluster.http:
        text = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
        labels = f'model="{MODEL}",version="1"'
        found = dict(re.findall(rf'^hearth_model_drift_psi{{group="\w+",{labels},feature="(\w+)"}} (\S+)$', text, re.M))
        assert {name: float(value) for name, value in found.items()} == pytest.approx(
            {name: row["psi"] for name, row in watched["drift"].items()}, abs=1e-12)
        assert re.search(rf'^hearth_model_group_scores_total{{group="\w+",{labels},column="sex",value="\w+"}} \d+$', text, re.M)
        for name in ("hearth_model_drift_ks", "hearth_model_missing_rate", "hearth_model_stale_rate",
                     "hearth_model_group_outcome_rate", "hearth_model_brier", "hearth_model_ece", "hearth_ledger_entries"):
            assert text.count(f"# TYPE {name} ") == 1, name


def test_a_gate_stops_a_promotion(watched, zoo, tmp_path, run):
    folder = package(zoo, tmp_path / "second", 2, "min_scores = 500\npsi_max = 0.25")
    done(run("model", "push", folder, "--author", "li"))
    done(run("model", "approve", MODEL, "2", "--actor", "wang"))
    stopped = run("model", "activate", MODEL, "2", "--actor", "wang")
    assert stopped.returncode == REFUSED and "0 scores were seen, watch.min_scores is 500" in stopped.stderr


def test_a_candidate_that_has_drifted_is_not_promoted(watched, zoo, tmp_path, run, client, cluster):
    """It stands in shadow, sees rows that its reference does not hold, and stays there."""
    folder = package(zoo, tmp_path / "third", 3, "min_scores = 500\npsi_max = 0.25")
    write_background(folder, watched["reference"][0])
    done(run("model", "push", folder, "--author", "li"))
    done(run("model", "approve", MODEL, "3", "--actor", "wang"))
    done(run("model", "shadow", MODEL, "3", "--share", "100", "--actor", "wang"))
    rows = watched["now"][0][:ROWS].astype(np.float32)
    deadline = time.monotonic() + 60
    while True:
        scored(client, MODEL, rows[:500])
        told = sql(cluster.flight[1], f"SELECT * FROM model_drift WHERE model = '{MODEL}' AND version = '3' AND feature = 'age'")
        if told and told[0]["scores"] >= 500:
            break
        assert time.monotonic() < deadline, told
        time.sleep(0.2)
    for step in (["activate"], ["canary", "--share", "10"]):
        stopped = run("model", step[0], MODEL, "3", *step[1:], "--actor", "wang")
        assert stopped.returncode == REFUSED, stopped.stdout
        assert "psi of age is" in stopped.stderr and "watch.psi_max is 0.25" in stopped.stderr, stopped.stderr
    assert client.infer(MODEL, [features(rows[:1])], client_timeout=CALL_WITHIN_S).get_response().model_version == "1"
    done(run("model", "activate", MODEL, "3", "--actor", "wang", "--force", "--reason", "the district has grown older"))
    assert client.infer(MODEL, [features(rows[:1])], client_timeout=CALL_WITHIN_S).get_response().model_version == "3"
    done(run("model", "rollback", MODEL, "--actor", "wang"))
