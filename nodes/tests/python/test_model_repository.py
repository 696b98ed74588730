"""Models pushed, unloaded and loaded again through tritonclient, as a data scientist does it."""

import csv
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from tensors import CALL_WITHIN_S, outputs, refused, tensor
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def push(client, name, path, version="1"):
    client.load_model(name, config=None, files={f"file:{version}/model.onnx": path.read_bytes()}, client_timeout=30)


def expected_of(fixtures, name):
    with (fixtures / f"{name}.csv").open(encoding="utf-8") as lines:
        table = np.array(list(csv.reader(lines))[1:], dtype=np.float64)
    return table[:, :3].astype(np.float32), table[:, 3]


@pytest.mark.parametrize("fixture", ["zipmap", "regressor", "scaler"])
def test_a_pushed_file_answers_by_its_own_names(cluster, client, fixtures, fixture):
    name = f"pushed_{fixture}"
    push(client, name, fixtures / f"{fixture}.onnx")
    assert client.is_model_ready(name, client_timeout=CALL_WITHIN_S), "a load that has answered can be used"
    told = client.get_model_metadata(name)
    assert [(each.name, each.datatype) for each in told.inputs] == [("X", "FP32")]
    rows, expected = expected_of(fixtures, fixture)
    answer = client.infer(name, [tensor("X", rows, "FP32")], client_timeout=CALL_WITHIN_S)
    np.testing.assert_allclose(answer.as_numpy("score")[:, 0], expected, atol=1e-5)
    given = {each.name: (each.datatype, list(each.shape)) for each in answer.get_response().outputs}
    assert set(given) == {each.name for each in told.outputs}, "metadata names what is answered"
    for each in told.outputs:
        assert given[each.name][0] == each.datatype, each.name
    one = client.infer(name, [tensor("X", rows, "FP32")], outputs=outputs(*[each.name for each in told.outputs][::-1]))
    assert [each.name for each in one.get_response().outputs] == [each.name for each in told.outputs][::-1]
    if fixture == "regressor":
        assert (answer.as_numpy(told.outputs[0].name).ravel() == answer.as_numpy("score").ravel()).all()
    else:
        label = next(each.name for each in told.outputs if each.name != "score" and each.datatype == "INT64")
        assert answer.as_numpy(label).ravel().tolist() == [int(each > 0.5) for each in expected]
    for address in cluster.grpc[1:]:
        with triton.InferenceServerClient(address) as node:
            wait_ready(node, name)
            other = node.infer(name, [tensor("X", rows, "FP32")], client_timeout=CALL_WITHIN_S)
            assert other.as_numpy("score").tobytes() == answer.as_numpy("score").tobytes()


def wait_ready(client, name, within_s=10):
    until = time.monotonic() + within_s
    while not client.is_model_ready(name, client_timeout=CALL_WITHIN_S):
        assert time.monotonic() < until, f"{name} is not ready within {within_s} s"
        time.sleep(0.02)


def test_named_columns_of_several_types(client, fixtures):
    push(client, "pushed_mixed", fixtures / "mixed.onnx")
    inputs = [
        tensor("age", np.array([[80.0], [70.0]], dtype=np.float32), "FP32"),
        tensor("rooms", np.array([[2], [1]], dtype=np.int64), "INT64"),
        tensor("heating", np.array([[b"gas"], [b"coal"]], dtype=np.object_), "BYTES")]
    answer = client.infer("pushed_mixed", inputs, client_timeout=CALL_WITHIN_S)
    told = client.get_model_metadata("pushed_mixed")
    assert {each.name for each in answer.get_response().outputs} == {each.name for each in told.outputs}
    again = client.infer("pushed_mixed", inputs[::-1], client_timeout=CALL_WITHIN_S)
    probabilities = next(each.name for each in told.outputs if list(each.shape)[-1:] == [2])
    assert (again.as_numpy(probabilities) == answer.as_numpy(probabilities)).all(), "inputs go by name"
    np.testing.assert_allclose(answer.as_numpy(probabilities).sum(axis=1), 1, atol=1e-6)
    said = refused("INVALID_ARGUMENT", client.infer, "pushed_mixed", inputs[:2])
    assert "heating" in said


def test_every_tensor_type_goes_in_and_out(client, fixtures):
    push(client, "pushed_types", fixtures / "types.onnx")
    told = client.get_model_metadata("pushed_types")
    sent = {}
    for each in told.inputs:
        kind = triton_to_np_dtype(each.datatype)
        sent[each.name] = np.array([[b"a", "王".encode()]], dtype=np.object_) if each.datatype == "BYTES" \
            else np.array([[0, 1]], dtype=kind)
    inputs = [tensor(each.name, sent[each.name], each.datatype) for each in told.inputs]
    answer = client.infer("pushed_types", inputs, client_timeout=CALL_WITHIN_S)
    for name, values in sent.items():
        assert answer.as_numpy(f"{name}_out").tolist() == values.tolist(), name


def test_what_cannot_be_served_is_refused_in_one_line(client, fixtures):
    def load(name, key, content):
        client.load_model(name, config=None, files={key: content}, client_timeout=30)

    for content in (b"", b"this is no model", bytes(1_000), (fixtures / "zipmap.onnx").read_bytes()[:200]):
        with pytest.raises(InferenceServerException) as caught:
            load("not_onnx", "file:1/model.onnx", content)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", caught.value
        assert "\n" not in caught.value.message() and len(caught.value.message()) < 300, caught.value
    for fixture in ("outside", "sequence"):
        with pytest.raises(InferenceServerException) as caught:
            load(f"bad_{fixture}", "file:1/model.onnx", (fixtures / f"{fixture}.onnx").read_bytes())
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT" and "\n" not in caught.value.message()
    good = (fixtures / "zipmap.onnx").read_bytes()
    for key in ("file:model.onnx", "file:1/model.pt"):
        with pytest.raises(InferenceServerException) as caught:
            load("wrong_key", key, good)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT" and "model.onnx" in caught.value.message()
    for name in ("../../etc/passwd", "", "a b", "x" * 1_000):
        with pytest.raises(InferenceServerException) as caught:
            load(name, "file:1/model.onnx", good)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", (name, caught.value)
    with pytest.raises(InferenceServerException) as caught:
        client.load_model("never_pushed", client_timeout=CALL_WITHIN_S)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_a_version_is_never_another_file(client, fixtures):
    push(client, "pushed_once", fixtures / "zipmap.onnx")
    push(client, "pushed_once", fixtures / "zipmap.onnx")
    with pytest.raises(InferenceServerException) as caught:
        push(client, "pushed_once", fixtures / "regressor.onnx")
    assert "pushed_once" in caught.value.message() and "\n" not in caught.value.message()
    push(client, "pushed_once", fixtures / "regressor.onnx", version="2")
    rows, expected = expected_of(fixtures, "regressor")
    answer = client.infer("pushed_once", [tensor("X", rows, "FP32")])
    assert answer.get_response().model_version == "2"
    np.testing.assert_allclose(answer.as_numpy("score")[:, 0], expected, atol=1e-5)
    assert {"1", "2"} <= set(client.get_model_metadata("pushed_once").versions)
    counted = client.get_inference_statistics("pushed_once").model_stats
    assert {each.version: each.execution_count for each in counted}["2"] == 1, "statistics are of each version"
    assert [each.version for each in client.get_inference_statistics("pushed_once", "2").model_stats] == ["2"]


def test_unload_and_load_again(cluster, client, fixtures):
    push(client, "comes_and_goes", fixtures / "scaler.onnx")
    rows, _ = expected_of(fixtures, "scaler")
    inputs = [tensor("X", rows, "FP32")]
    before = client.infer("comes_and_goes", inputs).as_numpy("score")
    client.unload_model("comes_and_goes", client_timeout=CALL_WITHIN_S)
    assert not client.is_model_ready("comes_and_goes")
    assert "comes_and_goes" in refused("UNAVAILABLE", client.infer, "comes_and_goes", inputs)
    index = {each.name: each for each in client.get_model_repository_index().models}
    assert index["comes_and_goes"].state == "UNAVAILABLE" and index["comes_and_goes"].reason
    client.load_model("comes_and_goes", client_timeout=30)
    assert client.infer("comes_and_goes", inputs).as_numpy("score").tobytes() == before.tobytes()
    with pytest.raises(InferenceServerException) as caught:
        client.unload_model("never_pushed", client_timeout=CALL_WITHIN_S)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_a_follower_takes_a_push(cluster, fixtures):
    follower = next(node["grpc"] for node in cluster.nodes if node["id"] != cluster.leader)
    with triton.InferenceServerClient(follower) as client:
        push(client, "pushed_to_a_follower", fixtures / "zipmap_off.onnx")
        rows, expected = expected_of(fixtures, "zipmap")
        answer = client.infer("pushed_to_a_follower", [tensor("X", rows, "FP32")])
        np.testing.assert_allclose(answer.as_numpy("score")[:, 0], expected, atol=1e-5)


def test_kserve_names_the_model_in_its_own_field(stub, client, fixtures):
    push(client, "kserve_style", fixtures / "zipmap.onnx")
    stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(repository_name="kserve_style"), timeout=10)
    assert not client.is_model_ready("kserve_style")
    stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(repository_name="kserve_style"), timeout=30)
    assert client.is_model_ready("kserve_style")


def test_a_configuration_chooses_the_version_or_is_refused(client, fixtures):
    good = (fixtures / "zipmap.onnx").read_bytes()
    files = {"file:2/model.onnx": good, "file:10/model.onnx": good}

    def load(config, sent=None):
        client.load_model("configured", config=config, files=sent, client_timeout=30)

    def active():
        rows, _ = expected_of(fixtures, "zipmap")
        return client.infer("configured", [tensor("X", rows, "FP32")]).get_response().model_version

    load('{"backend": "onnxruntime", "max_batch_size": 8}', files)
    assert active() == "10", "of 2 and 10 the tenth is the newest"
    load('{"version_policy": {"specific": {"versions": ["2"]}}}')
    assert active() == "2"
    for config, word in (
            ("{", "JSON"), ('{"name": "another"}', "another"), ('{"backend": "python"}', "onnxruntime"),
            ('{"instance_group": [{"count": 4}]}', "instance_group"), ('{"max_batch_size": 1000000}', "4096"),
            ('{"dynamic_batching": {"max_queue_delay_microseconds": 5}}', "dynamic_batching"),
            ('{"version_policy": {"specific": {"versions": [1, 2]}}}', "version_policy")):
        with pytest.raises(InferenceServerException) as caught:
            load(config)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", caught.value
        assert word in caught.value.message() and "\n" not in caught.value.message()
    assert active() == "2", "what was refused changed nothing"
    client.unload_model("configured", unload_dependents=True, client_timeout=CALL_WITHIN_S)
    assert not client.is_model_ready("configured")
