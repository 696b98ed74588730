"""Decisions recorded by a file's own inputs and in streams: what is written down is what was answered, and replays."""

import json
import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
from conftest import hearth
from exports import linear_double, linear_integers
from tensors import CALL_WITHIN_S, features, golden, refused, tensor

LOAD_WITHIN_S = 60
ROWS = 4


def load(client, name, content, version="1"):
    client.load_model(name, config=None, files={f"file:{version}/model.onnx": content}, client_timeout=LOAD_WITHIN_S)


def shown(address, decision):
    return json.loads(hearth("audit", "show", decision, address=address).stdout)


def replays_everywhere(cluster, decision):
    for address in cluster.grpc:
        said = hearth("audit", "replay", decision, address=address)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["identical"]


def columns(fixtures):
    table = np.random.default_rng(3).normal(size=(ROWS, 3)).astype(np.float32)
    inputs = [tensor(name, table[:, at:at + 1], "FP32") for at, name in enumerate("cab")]
    return (fixtures / "columns.onnx").read_bytes(), inputs, table, "FP32"


def blocks(fixtures):
    table = np.random.default_rng(4).normal(size=(ROWS, 3)).astype(np.float32)
    inputs = [tensor("pair", np.ascontiguousarray(table[:, :2]), "FP32"), tensor("last", table[:, 2:], "FP32")]
    return (fixtures / "blocks.onnx").read_bytes(), inputs, table, "FP32"


def doubles(_):
    table = np.random.default_rng(5).normal(size=(ROWS, 5))
    return linear_double().model.SerializeToString(), [tensor("X", table, "FP64")], table.astype(np.float32), "FP64"


def integers(_):
    table = np.random.default_rng(6).integers(-1000, 1000, size=(ROWS, 5))
    return linear_integers().model.SerializeToString(), [tensor("X", table, "INT64")], table, "INT64"


@pytest.mark.parametrize("make", [columns, blocks, doubles, integers], ids=lambda make: make.__name__)
def test_own_inputs(client, cluster, fixtures, make):
    name = f"recorded_{make.__name__}"
    content, inputs, table, kind = make(fixtures)
    load(client, name, content)
    plain = client.infer(name, inputs, client_timeout=CALL_WITHIN_S)
    # Inputs go by their names, not by their order.
    answer = client.infer(name, inputs[::-1], parameters={"record": True, "purpose": "a list"}, client_timeout=CALL_WITHIN_S)
    assert answer.get_response().model_version == "1"
    for output in plain.get_response().outputs:
        want, got = plain.as_numpy(output.name), answer.as_numpy(output.name)
        if kind == "FP64":
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(got, want)
    ids = [each.decode() for each in answer.as_numpy("decision_id").ravel()]
    assert len(set(ids)) == ROWS
    for at, decision in enumerate(ids):
        told = shown(cluster.grpc[at % 3], decision)
        assert [each["value"] for each in told["features"]] == [float(value) for value in table[at]]
        assert {each["status"] for each in told["features"]} == {"given"}
        assert np.float32(told["score"]["score"]) == answer.as_numpy("score")[at, 0]
        replays_everywhere(cluster, decision)
    # A newer version, and none at all: a decision is replayed by the file that made it.
    load(client, name, (fixtures / "regressor.onnx").read_bytes(), "2")
    replays_everywhere(cluster, ids[0])
    client.unload_model(name, client_timeout=CALL_WITHIN_S)
    replays_everywhere(cluster, ids[-1])


def test_whole_numbers_that_a_record_cannot_hold(client):
    load(client, "recorded_large", linear_integers().model.SerializeToString())
    large = tensor("X", np.full((1, 5), (1 << 24) + 1), "INT64")
    client.infer("recorded_large", [large], client_timeout=CALL_WITHIN_S)
    assert "16777216" in refused("INVALID_ARGUMENT", client.infer, "recorded_large", [large], parameters={"record": True})
    client.unload_model("recorded_large", client_timeout=CALL_WITHIN_S)


def test_asked_outputs_and_wrong_inputs(client, fixtures):
    content, inputs, _, _ = columns(fixtures)
    load(client, "recorded_asked", content)
    wanted = [triton.InferRequestedOutput(name) for name in ("decision_id", "probabilities")]
    answer = client.infer("recorded_asked", inputs, outputs=wanted, parameters={"record": True}, client_timeout=CALL_WITHIN_S)
    assert [each.name for each in answer.get_response().outputs] == ["decision_id", "probabilities"]
    said = refused("INVALID_ARGUMENT", client.infer, "recorded_asked", inputs[:2], parameters={"record": True})
    assert "must be given exactly once" in said
    client.unload_model("recorded_asked", client_timeout=CALL_WITHIN_S)


def test_a_stream(client, cluster, fixtures, zoo):
    content, inputs, table, _ = columns(fixtures)
    load(client, "recorded_stream", content)
    rows, expected = golden(zoo, "fall_risk")
    answers = queue.Queue()
    with triton.InferenceServerClient(cluster.grpc[1]) as streaming:
        streaming.start_stream(callback=lambda result, error: answers.put((result, error)))
        asked = {"record": True, "purpose": "a round"}
        streaming.async_stream_infer("recorded_stream", inputs, request_id="own", parameters=asked)
        streaming.async_stream_infer("fall_risk", [features(rows[:2])], request_id="rows", parameters=asked)
        own, rows_of = (answers.get(timeout=CALL_WITHIN_S) for _ in range(2))
        streaming.stop_stream()
    for (result, error), name, count in ((own, "own", ROWS), (rows_of, "rows", 2)):
        assert error is None and result.get_response().id == name
        ids = result.get_response().parameters["decision_id"].string_param.split(",")
        assert len(ids) == count
        for at, decision in enumerate(ids):
            told = shown(cluster.grpc[0], decision)
            assert told["purpose"] == "a round"
            assert np.float32(told["score"]["score"]) == result.as_numpy("score")[at, 0]
            replays_everywhere(cluster, decision)
    assert abs(rows_of[0].as_numpy("score")[0, 0] - expected[0]) < 1e-6
    client.unload_model("recorded_stream", client_timeout=CALL_WITHIN_S)
