"""The inference port through tritonclient: sync, asyncio, streaming, and the bare stubs."""

import asyncio
import math
import queue
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tensors import CALL_WITHIN_S, entities, features, golden, outputs, refused, tensor
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

MODELS = {"fall_risk": 16, "subsidy_triage": 9}


def test_server(client):
    assert client.is_server_live(client_timeout=CALL_WITHIN_S)
    assert client.is_server_ready(client_timeout=CALL_WITHIN_S)
    told = client.get_server_metadata(client_timeout=CALL_WITHIN_S)
    assert told.name == "hearth" and told.version
    assert {"statistics", "model_repository", "model_configuration", "binary_tensor_data"} <= set(told.extensions)


@pytest.mark.parametrize("model", MODELS)
def test_every_node_is_ready_for_the_shipped_models(cluster, model):
    for address in cluster.grpc:
        with triton.InferenceServerClient(address) as node:
            assert node.is_server_ready(client_timeout=CALL_WITHIN_S)
            assert node.is_model_ready(model, client_timeout=CALL_WITHIN_S), address
            assert node.is_model_ready(model, "1", client_timeout=CALL_WITHIN_S), address
            assert not node.is_model_ready(model, "99", client_timeout=CALL_WITHIN_S)
            assert not node.is_model_ready("no_such_model", client_timeout=CALL_WITHIN_S)


@pytest.mark.parametrize("model,width", MODELS.items())
def test_metadata(client, model, width):
    told = client.get_model_metadata(model, client_timeout=CALL_WITHIN_S)
    assert told.name == model and "1" in told.versions and told.platform
    assert [(each.name, each.datatype, list(each.shape)) for each in told.inputs] == [("features", "FP32", [-1, width])]
    assert {(each.name, each.datatype) for each in told.outputs} >= {("score", "FP32"), ("band", "BYTES")}
    assert client.get_model_metadata(model, as_json=True)["name"] == model


@pytest.mark.parametrize("model,width", MODELS.items())
def test_config_takes_batches(client, model, width):
    config = client.get_model_config(model, client_timeout=CALL_WITHIN_S).config
    assert config.name == model and config.max_batch_size >= 8
    assert [(each.name, list(each.dims)) for each in config.input] == [("features", [width])]
    assert [each.name for each in config.output][:2] == ["score", "band"]
    assert client.get_model_config(model, as_json=True)["config"]["max_batch_size"] >= 8


def test_statistics_rise(client, zoo):
    rows, _ = golden(zoo, "fall_risk")

    def counted():
        told = client.get_inference_statistics("fall_risk", "1", client_timeout=CALL_WITHIN_S).model_stats
        assert [(each.name, each.version) for each in told] == [("fall_risk", "1")]
        return told[0]

    before = counted()
    for _ in range(3):
        client.infer("fall_risk", [features(rows[:4])])
    refused("INVALID_ARGUMENT", client.infer, "fall_risk", [features(rows[:, :3])])
    after = counted()
    assert after.inference_count - before.inference_count == 12
    assert after.execution_count - before.execution_count == 3
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        then, now = getattr(before.inference_stats, part), getattr(after.inference_stats, part)
        assert now.count - then.count == 3, part
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert abs(after.last_inference / 1000 - time.time()) < 60
    everything = client.get_inference_statistics(client_timeout=CALL_WITHIN_S)
    assert set(MODELS) <= {each.name for each in everything.model_stats}
    refused("NOT_FOUND", client.get_inference_statistics, "no_such_model")


def test_repository_index(client):
    listed = client.get_model_repository_index(client_timeout=CALL_WITHIN_S).models
    ready = {(each.name, each.version) for each in listed if each.state == "READY"}
    assert {(model, "1") for model in MODELS} <= ready


@pytest.mark.parametrize("model", MODELS)
def test_golden_rows_on_every_node(cluster, district, zoo, model):
    rows, expected = golden(zoo, model)
    answers = []
    for address in cluster.grpc:
        with triton.InferenceServerClient(address) as node:
            answer = node.infer(model, [features(rows)], client_timeout=CALL_WITHIN_S)
        assert answer.as_numpy("score").shape == (len(rows), 1)
        np.testing.assert_allclose(answer.as_numpy("score")[:, 0], expected, rtol=0, atol=1e-6)
        answers.append(answer.as_numpy("score").tobytes())
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_is_its_rows(client, zoo, model):
    rows, _ = golden(zoo, model)
    together = client.infer(model, [features(rows[:5])]).as_numpy("score")[:, 0]
    alone = [client.infer(model, [features(rows[at:at + 1])]).as_numpy("score")[0, 0] for at in range(5)]
    assert together.tobytes() == np.array(alone, dtype=np.float32).tobytes()


@pytest.mark.parametrize("model", MODELS)
def test_by_entity(cluster, client, residents, model):
    answer = client.infer(model, [entities(residents[:7])])
    score, band = answer.as_numpy("score"), answer.as_numpy("band")
    assert score.shape == band.shape == (7, 1) and score.dtype == np.float32
    assert ((score > 0) & (score < 1)).all()
    assert all(isinstance(each, bytes) and each for each in band[:, 0])
    assert answer.get_response().parameters["log_index"].int64_param > 0
    for address in cluster.grpc[1:]:
        with triton.InferenceServerClient(address) as node:
            other = node.infer(model, [entities(residents[:7])], client_timeout=CALL_WITHIN_S)
            # The sensors' windows move with the state's clock, the registers do not.
            np.testing.assert_allclose(other.as_numpy("score"), score, atol=0.2)


def test_explained_features_say_the_logit(client, zoo):
    rows, _ = golden(zoo, "subsidy_triage")
    answer = client.infer("subsidy_triage", [features(rows)], parameters={"explain": True})
    score = answer.as_numpy("score").astype(np.float64)[:, 0]
    said = answer.as_numpy("base").astype(np.float64)[:, 0] + answer.as_numpy("contributions").astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-said)), score, atol=1e-5)
    assert len(np.unique(answer.as_numpy("base"))) == 1, "the base is the model's, not the row's"


def test_trees_are_explained_in_log_odds(client, zoo):
    rows, _ = golden(zoo, "fall_risk")
    answer = client.infer("fall_risk", [features(rows)], parameters={"explain": True})
    score = answer.as_numpy("score").astype(np.float64)[:, 0]
    parts, base = answer.as_numpy("contributions"), answer.as_numpy("base")
    assert parts.shape == rows.shape and parts.dtype == base.dtype == np.float32 and base.shape == (len(rows), 1)
    said = base.astype(np.float64)[:, 0] + parts.astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-said)), score, atol=1e-6)
    assert answer.get_response().parameters["link"].string_param == "logit"
    again = client.infer("fall_risk", [features(rows)], parameters={"explain": True})
    assert again.as_numpy("contributions").tobytes() == parts.tobytes()


def test_an_explained_entity_says_the_logit(client, residents):
    answer = client.infer("subsidy_triage", [entities(residents[:7])], parameters={"explain": True})
    score = answer.as_numpy("score").astype(np.float64)[:, 0]
    parts, base = answer.as_numpy("contributions"), answer.as_numpy("base")
    assert parts.shape == (7, 9) and base.shape == (7, 1)
    np.testing.assert_allclose(base[:, 0] + parts.sum(axis=1), np.log(score / (1 - score)), atol=2e-4)


def test_unexplained_answers_carry_no_explanation(client, zoo):
    rows, _ = golden(zoo, "subsidy_triage")
    told = client.infer("subsidy_triage", [features(rows[:1])]).get_response()
    assert [each.name for each in told.outputs] == ["score", "band"]


def test_outputs_in_the_order_asked(client, zoo):
    rows, _ = golden(zoo, "subsidy_triage")
    order = ["base", "band", "contributions", "score"]
    answer = client.infer("subsidy_triage", [features(rows[:3])], outputs=outputs(*order))
    assert [each.name for each in answer.get_response().outputs] == order
    assert answer.as_numpy("contributions").shape == (3, 9)
    one = client.infer("subsidy_triage", [features(rows[:3])], outputs=outputs("band"))
    assert [each.name for each in one.get_response().outputs] == ["band"]


def test_id_version_and_parameters(client, zoo):
    rows, _ = golden(zoo, "fall_risk")
    answer = client.infer(
        "fall_risk", [features(rows[:1])], request_id="request-17", priority=1, timeout=1_000_000, sequence_id=3,
        sequence_start=True, sequence_end=True,
        parameters={"a": "text", "b": 3, "c": 0.5})
    told = answer.get_response()
    assert (told.id, told.model_name, told.model_version) == ("request-17", "fall_risk", "1")
    assert client.infer("fall_risk", [features(rows[:1])], model_version="1").get_response().model_version == "1"


def test_typed_is_answered_typed(stub, zoo, residents):
    rows, expected = golden(zoo, "fall_risk")
    request = service_pb2.ModelInferRequest(model_name="fall_risk", id="typed")
    by_features = request.inputs.add(name="features", datatype="FP32", shape=[2, 16])
    by_features.contents.fp32_contents.extend(rows[:2].ravel().tolist())
    # The load generator of Triton always sends this.
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    answer = stub.ModelInfer(request, timeout=CALL_WITHIN_S)
    assert not answer.raw_output_contents and answer.id == "typed"
    score, band = answer.outputs
    np.testing.assert_allclose(score.contents.fp32_contents, expected[:2], atol=1e-6)
    assert list(score.shape) == [2, 1] and len(band.contents.bytes_contents) == 2

    request = service_pb2.ModelInferRequest(model_name="subsidy_triage")
    by_key = request.inputs.add(name="entity", datatype="BYTES", shape=[1, 1])
    by_key.contents.bytes_contents.append(residents[0].encode())
    answer = stub.ModelInfer(request, timeout=CALL_WITHIN_S)
    assert len(answer.outputs[0].contents.fp32_contents) == 1


def code_of(stub, request):
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request, timeout=CALL_WITHIN_S)
    assert "\n" not in caught.value.details()
    return caught.value.code().name, caught.value.details()


def test_malformed_requests_say_what_is_wrong(stub):
    request = service_pb2.ModelInferRequest(model_name="fall_risk")
    request.inputs.add(name="features", datatype="FP32", shape=[1, 16])
    request.raw_input_contents.append(bytes(63))
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "a byte is missing"
    request.raw_input_contents[0] = bytes(64)
    request.raw_input_contents.append(bytes(64))
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "one tensor too many"
    del request.raw_input_contents[:]
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "no contents"
    request.inputs[0].contents.fp32_contents.extend([0.0] * 16)
    request.raw_input_contents.append(bytes(64))
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "raw and typed"
    request = service_pb2.ModelInferRequest(model_name="fall_risk")
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "no inputs"
    for shape in ([-1, 16], [2**40, 2**40], [16], [1, 1, 16], [1, -16]):
        request = service_pb2.ModelInferRequest(model_name="fall_risk")
        request.inputs.add(name="features", datatype="FP32", shape=shape)
        request.raw_input_contents.append(bytes(64))
        assert code_of(stub, request)[0] == "INVALID_ARGUMENT", shape
    request = service_pb2.ModelInferRequest(model_name="fall_risk")
    request.inputs.add(name="entity", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(b"\xff\xff\xff\xffabc")
    assert code_of(stub, request)[0] == "INVALID_ARGUMENT", "a length beyond the end"


def test_refusals(client, zoo, residents):
    rows, _ = golden(zoo, "fall_risk")
    one = [features(rows[:1])]
    assert "no_such_model" in refused("NOT_FOUND", client.infer, "no_such_model", one)
    assert "99" in refused("NOT_FOUND", client.infer, "fall_risk", one, model_version="99")
    said = refused("INVALID_ARGUMENT", client.infer, "fall_risk", [features(rows[:1, :5])])
    assert "16" in said and "5" in said
    doubles = tensor("features", rows[:1].astype(np.float64), "FP64")
    assert "FP32" in refused("INVALID_ARGUMENT", client.infer, "fall_risk", [doubles])
    assert "scor" in refused("INVALID_ARGUMENT", client.infer, "fall_risk", one, outputs=outputs("scor"))
    other = tensor("featurs", rows[:1], "FP32")
    assert "features" in refused("INVALID_ARGUMENT", client.infer, "fall_risk", [other])
    assert "nobody-at-all" in refused("NOT_FOUND", client.infer, "fall_risk", [entities(["nobody-at-all"])])
    numbers = tensor("entity", np.array([[7]], dtype=np.int64), "INT64")
    assert "BYTES" in refused("INVALID_ARGUMENT", client.infer, "fall_risk", [numbers])
    refused("INVALID_ARGUMENT", client.infer, "fall_risk", [entities(residents[:1]), *one])
    said = refused("INVALID_ARGUMENT", client.infer, "fall_risk", [features(np.zeros((5_000, 16)))])
    assert "4096" in said
    for call in (client.get_model_metadata, client.get_model_config):
        assert "no_such_model" in refused("NOT_FOUND", call, "no_such_model")


def test_an_unknown_entity_does_not_take_the_others_with_it(client, residents):
    answer = client.infer("fall_risk", [entities([residents[0], "nobody-at-all"])])
    known, unknown = answer.as_numpy("score")[:, 0]
    assert 0 <= known <= 1 and np.isnan(unknown)
    assert answer.as_numpy("band")[1, 0] == b""
    assert "1" in answer.get_response().parameters["unknown_rows"].string_param


def test_too_large_a_request_names_the_limit(client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("fall_risk", [features(np.zeros((200_000, 16)))], client_timeout=CALL_WITHIN_S)
    assert caught.value.status() in ("StatusCode.RESOURCE_EXHAUSTED", "StatusCode.INVALID_ARGUMENT"), caught.value
    assert any(digit.isdigit() for digit in caught.value.message())


def test_nan_is_answered_or_refused_never_an_internal_error(client):
    rows = np.full((1, 16), np.nan, dtype=np.float32)
    try:
        score = client.infer("fall_risk", [features(rows)], client_timeout=CALL_WITHIN_S).as_numpy("score")
        assert 0 <= score[0, 0] <= 1
    except InferenceServerException as error:
        assert error.status() == "StatusCode.INVALID_ARGUMENT"


def test_asyncio(cluster, district, zoo):
    rows, expected = golden(zoo, "fall_risk")

    async def ask():
        async with triton_aio.InferenceServerClient(cluster.grpc[1]) as client:
            assert await client.is_server_live() and await client.is_model_ready("fall_risk")
            calls = (client.infer("fall_risk", [features(rows[at:at + 1])], request_id=str(at)) for at in range(10))
            answers = await asyncio.wait_for(asyncio.gather(*calls), CALL_WITHIN_S)
            return [(each.get_response().id, each.as_numpy("score")[0, 0]) for each in answers]

    for at, (name, score) in enumerate(asyncio.run(ask())):
        assert name == str(at) and abs(score - expected[at]) < 1e-6


def test_stream(cluster, district, zoo):
    rows, expected = golden(zoo, "fall_risk")
    answers = queue.Queue()
    with triton.InferenceServerClient(cluster.grpc[2]) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for at in range(20):
            client.async_stream_infer("fall_risk", [features(rows[at:at + 1])], request_id=str(at),
                                      enable_empty_final_response=True)
        for at in range(20):
            result, error = answers.get(timeout=CALL_WITHIN_S)
            assert error is None and result.get_response().id == str(at), "answers come in order"
            assert abs(result.as_numpy("score")[0, 0] - expected[at]) < 1e-6
        client.async_stream_infer("no_such_model", [features(rows[:1])], request_id="wrong")
        result, error = answers.get(timeout=CALL_WITHIN_S)
        assert result is None and "no_such_model" in error.message()
        client.async_stream_infer("fall_risk", [features(rows[:1])], request_id="after")
        result, error = answers.get(timeout=CALL_WITHIN_S)
        assert error is None and result.get_response().id == "after", "one wrong request does not end the stream"
        client.stop_stream()


def test_one_row_is_quick(client, zoo):
    rows, _ = golden(zoo, "fall_risk")
    inputs, took = [features(rows[:1])], []
    for _ in range(200):
        begun = time.perf_counter()
        client.infer("fall_risk", inputs, client_timeout=CALL_WITHIN_S)
        took.append(time.perf_counter() - begun)
    median_ms = sorted(took)[100] * 1_000
    assert math.isfinite(median_ms) and median_ms < 100, f"{median_ms:.1f} ms"
