"""`hearth train`: every family of linfa from a query, as a package that can be pushed at once."""

import csv
import io

import numpy as np
import pytest
from conftest import hearth
from tensors import CALL_WITHIN_S, entities, features, outputs
from test_cli import REFUSED, USAGE, done, fails

QUERY = """
    SELECT date_diff('year', CAST(birth_ym || '-01' AS DATE), DATE '2026-01-01') AS age,
           coalesce(drugs_n, 0) AS drugs, coalesce(falls_12m, 0) AS falls{label}
    FROM resident JOIN health_summary USING (resident_key)"""
NAMES = ["age", "drugs", "falls"]
TWO = ", coalesce(falls_12m, 0) + coalesce(drugs_n, 0) > 3 AS y"
THREE = """, CASE WHEN coalesce(drugs_n, 0) < 2 THEN 'few' WHEN coalesce(drugs_n, 0) < 5 THEN 'some' ELSE 'many' END AS y"""
NUMBER = ", coalesce(drugs_n, 0) * 2.0 + coalesce(falls_12m, 0) AS y"
CASES = [
    ("logistic", TWO, "score"), ("logistic", THREE, "probabilities"), ("linear", NUMBER, "score"),
    ("elastic-net", NUMBER, "score"), ("tree", TWO, "score"), ("tree", THREE, "probabilities"),
    ("forest", THREE, "probabilities"), ("bayes", TWO, "score"), ("k-means", "", "score"), ("pca", "", "score")]


@pytest.fixture(scope="module")
def run(address):
    return lambda *words: hearth(*words, address=address)


def take_up(run, name):
    done(run("model", "approve", name, "1", "--actor", "somebody-else"))
    done(run("model", "activate", name, "1", "--actor", "somebody-else"))


@pytest.mark.parametrize("at", range(len(CASES)))
def test_a_family_is_fitted_pushed_and_asked(run, client, district, tmp_path, at):
    family, label, answer = CASES[at]
    name, package = f"trained_{at}", tmp_path / "package"
    told = ["--label", "y"] if label else []
    said = done(run("train", QUERY.format(label=label), "--family", family, *told, "--name", name, "--out", package,
                    "--trees", 15, "--intended-use", "A test."))
    wanted = {"score": ("AUC", "accuracy", "log loss") if label == TWO else ("R2", "RMSE") if label == NUMBER else (),
              "probabilities": ("accuracy", "log loss")}[answer]
    assert all(f"  {each}: " in said for each in wanted), said
    card = (package / "card.md").read_text(encoding="utf-8")
    assert "health_summary" in card and "held out" in card and "A test." in card and "log index" in card
    done(run("model", "push", package))
    take_up(run, name)
    golden = list(csv.reader(io.StringIO((package / "golden.csv").read_text(encoding="utf-8"))))
    table = np.array(golden[1:], dtype=np.float64)
    assert golden[0][:3] == NAMES and len(table) >= 10
    got = client.infer(name, [features(table[:, :3])], outputs=outputs(answer), client_timeout=CALL_WITHIN_S)
    np.testing.assert_allclose(got.as_numpy(answer), table[:, 3:], rtol=1e-6, atol=1e-6)
    if family in ("logistic", "tree", "forest", "bayes"):
        label_of = client.infer(name, [features(table[:2, :3])], outputs=outputs("label"), client_timeout=CALL_WITHIN_S)
        known = {b"few", b"some", b"many"} if label == THREE else {b"true", b"false"}
        assert set(label_of.as_numpy("label").ravel()) <= known
    if label == NUMBER:
        # A sum of the features: the fit must find it.
        want = table[:, 1] * 2 + table[:, 2]
        np.testing.assert_allclose(table[:, 3], want, atol=0.5 if family == "elastic-net" else 1e-3)


def test_a_model_over_a_view_is_asked_by_entity(run, client, residents, tmp_path):
    view = ["income_pc", "rigid_exp_12m", "household_size", "asset_flag", "assist_edge", "age", "disab_level",
            "lives_alone", "drugs_n"]
    columns = ", ".join(f"coalesce(max(value) FILTER (feature = '{each}'), 0) AS {each}" for each in view)
    query = f"""SELECT {columns}, CASE WHEN max(value) FILTER (feature = 'age') > 80 THEN 'old'
                WHEN max(value) FILTER (feature = 'age') > 70 THEN 'older' ELSE 'young' END AS y
                FROM feature_current WHERE view = 'subsidy' GROUP BY entity_key"""
    words = ["train", query, "--label", "y", "--family", "forest", "--trees", "10", "--view", "subsidy"]
    said = fails(run(*words, "--name", "ages", "--out", tmp_path / "x"), REFUSED)
    assert "--class" in said and "old, older, young" in said and not (tmp_path / "x").exists()
    done(run(*words, "--name", "ages", "--class", "old", "--out", tmp_path / "ages"))
    done(run("model", "push", tmp_path / "ages"))
    take_up(run, "ages")
    asked = [entities(residents[:5])]
    answer = client.infer("ages", asked, outputs=outputs("score", "probabilities", "label"), client_timeout=CALL_WITHIN_S)
    shares = answer.as_numpy("probabilities")
    assert shares.shape == (5, 3)
    assert (answer.as_numpy("score")[:, 0] == shares[:, 0]).all(), "the score is the class that was named"
    classes = np.array([b"old", b"older", b"young"], dtype=object)
    assert answer.as_numpy("label").ravel().tolist() == classes[shares.argmax(axis=1)].tolist()
    told = client.get_model_metadata("ages", as_json=True)
    assert told["name"] == "ages"


def test_wrong_wishes_are_told(run, district, tmp_path):
    out = tmp_path / "x"
    label = ["--label", "y", "--name", "x", "--out", out]
    assert "--label" in fails(run("train", QUERY.format(label=TWO), "--name", "x", "--out", out), USAGE)
    assert "takes no label" in fails(run("train", QUERY.format(label=TWO), *label, "--family", "pca"), USAGE)
    assert "y" in fails(run("train", QUERY.format(label=THREE), *label, "--family", "linear"), REFUSED)
    assert "max_depth" in fails(run("train", QUERY.format(label=TWO), *label, "--family", "tree", "--max-depth", 99), REFUSED)
    assert "at least 0" in fails(run("train", QUERY.format(label=TWO), *label, "--holdout", "1.5"), USAGE)
    assert run("train", QUERY.format(label=TWO), *label, "--family", "magic").returncode == USAGE
    assert not out.exists()
