"""Triton's extensions beside inference itself: shared memory, traces, logging, classification, parameters."""

import asyncio
import json
import queue
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.utils.shared_memory as shm
from tensors import CALL_WITHIN_S, entities, features, golden, outputs, refused, tensor
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

BYTES_OF_ROW = 16 * 4


def folder_of(node):
    """Where a node keeps its data."""
    return Path(tomllib.loads(Path(node["config"]).read_text(encoding="utf-8"))["node"]["dir"])


@pytest.fixture
def region(client, request):
    """A region of 64 KiB, registered at the first node under the test's name."""
    name = f"hearth-{request.node.name}"[:60]
    handle = shm.create_shared_memory_region(name, f"/{name}", 65_536, create_only=True)
    client.register_system_shared_memory(name, f"/{name}", 65_536)
    yield name, handle
    client.unregister_system_shared_memory(name)
    shm.destroy_shared_memory_region(handle)


def in_region(name, shape, datatype, byte_size, offset=0, region=None):
    made = triton.InferInput(name, list(shape), datatype)
    made.set_shared_memory(region, byte_size, offset)
    return made


def to_region(name, region, byte_size, offset=0):
    made = triton.InferRequestedOutput(name)
    made.set_shared_memory(region, byte_size, offset)
    return made


def test_rows_and_scores_through_shared_memory(client, zoo, region):
    name, handle = region
    rows, expected = golden(zoo, "fall_risk")
    rows = rows[:8]
    shm.set_shared_memory_region(handle, [rows], 128)
    given = in_region("features", rows.shape, "FP32", rows.nbytes, 128, name)
    answer = client.infer("fall_risk", [given], outputs=[to_region("score", name, 32, 8_192), *outputs("band")])
    score = answer.get_output("score")
    assert score.parameters["shared_memory_region"].string_param == name
    assert score.parameters["shared_memory_byte_size"].int64_param == 32
    assert score.parameters["shared_memory_offset"].int64_param == 8_192
    read = shm.get_contents_as_numpy(handle, np.float32, [8, 1], 8_192)
    np.testing.assert_allclose(read[:, 0], expected[:8], rtol=0, atol=1e-6)
    # What is not in the region comes in the message, and the client finds it by its position.
    assert all(isinstance(each, bytes) and each for each in answer.as_numpy("band")[:, 0])
    # A small answer leaves what lies behind it alone.
    before = bytes(handle._mpsm_handle.buf[8_192 + 32:8_192 + 64])
    assert before == bytes(32)


def test_entities_and_words_through_shared_memory(client, region, residents):
    name, handle = region
    keys = [key.encode() for key in residents[:3]]
    packed = b"".join(len(key).to_bytes(4, "little") + key for key in keys)
    handle._mpsm_handle.buf[:len(packed)] = packed
    given = in_region("entity", [3, 1], "BYTES", len(packed), 0, name)
    answer = client.infer("fall_risk", [given], outputs=[*outputs("score"), to_region("band", name, 4_096, 4_096)])
    assert answer.as_numpy("score").shape == (3, 1)
    written = answer.get_output("band").parameters["shared_memory_byte_size"].int64_param
    data = bytes(handle._mpsm_handle.buf[4_096:4_096 + written])
    words = []
    while data:
        length = int.from_bytes(data[:4], "little")
        words.append(data[4:4 + length])
        data = data[4 + length:]
    plain = client.infer("fall_risk", [entities(residents[:3])], outputs=outputs("band"))
    assert words == plain.as_numpy("band")[:, 0].tolist()


def test_one_input_in_memory_and_one_in_the_message(client, fixtures, region):
    name, handle = region
    client.load_model("mixed_memory", files={"file:1/model.onnx": (fixtures / "mixed.onnx").read_bytes()}, client_timeout=30,
                      config="{}")
    age = np.array([[80.0], [70.0]], dtype=np.float32)
    shm.set_shared_memory_region(handle, [age])
    others = [
        tensor("rooms", np.array([[2], [1]], dtype=np.int64), "INT64"),
        tensor("heating", np.array([[b"gas"], [b"coal"]], dtype=np.object_), "BYTES")]
    by_bytes = client.infer("mixed_memory", [tensor("age", age, "FP32"), *others])
    for position in (0, 1, 2):
        given = list(others)
        given.insert(position, in_region("age", [2, 1], "FP32", 8, 0, name))
        answer = client.infer("mixed_memory", given)
        for each in by_bytes.get_response().outputs:
            assert answer.as_numpy(each.name).tolist() == by_bytes.as_numpy(each.name).tolist()


def test_status_and_what_is_refused(client, zoo, region):
    name, _ = region
    told = client.get_system_shared_memory_status(name).regions[name]
    assert (told.name, told.key, told.offset, told.byte_size) == (name, f"/{name}", 0, 65_536)
    assert name in client.get_system_shared_memory_status(as_json=True)["regions"]
    refused("NOT_FOUND", client.get_system_shared_memory_status, "no_such_region")
    refused("ALREADY_EXISTS", client.register_system_shared_memory, name, f"/{name}", 65_536)
    for key in ("/../../etc/passwd", "../etc/hostname", "/", "", "/a/b", "/no-such-file", "/.."):
        refused("INVALID_ARGUMENT", client.register_system_shared_memory, "other", key, 16)
    for size, offset in ((65_537, 0), (0, 0), (2**63, 0), (16, 65_530)):
        refused("INVALID_ARGUMENT", client.register_system_shared_memory, "other", f"/{name}", size, offset=offset)
    call = client.infer
    wrong = [
        ("NOT_FOUND", in_region("features", [1, 16], "FP32", BYTES_OF_ROW, 0, "no_such_region")),
        ("INVALID_ARGUMENT", in_region("features", [1, 16], "FP32", BYTES_OF_ROW, 65_500, name)),
        ("INVALID_ARGUMENT", in_region("features", [1, 16], "FP32", BYTES_OF_ROW - 1, 0, name)),
        ("INVALID_ARGUMENT", in_region("features", [1, 16], "FP32", 2**40, 0, name)),
    ]
    for status, given in wrong:
        refused(status, call, "fall_risk", [given])
    row = [features(golden(zoo, "fall_risk")[0][:1])]
    said = refused("INVALID_ARGUMENT", call, "fall_risk", row, outputs=[to_region("score", name, 3)])
    assert "score" in said and "4" in said
    client.unregister_system_shared_memory("was_never_there")


def test_shared_memory_from_asyncio_and_in_a_stream(cluster, zoo, region):
    name, handle = region
    rows, expected = golden(zoo, "fall_risk")
    shm.set_shared_memory_region(handle, [rows[:1]])
    given = [in_region("features", [1, 16], "FP32", BYTES_OF_ROW, 0, name)]

    async def ask():
        async with triton_aio.InferenceServerClient(cluster.grpc[0]) as client:
            answer = await client.infer("fall_risk", given, client_timeout=CALL_WITHIN_S)
            return answer.as_numpy("score")[0, 0], await client.get_system_shared_memory_status()

    score, status = asyncio.run(ask())
    assert abs(score - expected[0]) < 1e-6 and name in status.regions
    answers = queue.Queue()
    with triton.InferenceServerClient(cluster.grpc[0]) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        client.async_stream_infer("fall_risk", given)
        result, error = answers.get(timeout=CALL_WITHIN_S)
        assert error is None and abs(result.as_numpy("score")[0, 0] - expected[0]) < 1e-6
        client.stop_stream()


def test_cuda_is_said_not_to_be_there(client):
    """As a Triton without a card has it: no region, none to let go, and none to be had."""
    assert not client.get_cuda_shared_memory_status(client_timeout=CALL_WITHIN_S).regions
    client.unregister_cuda_shared_memory(client_timeout=CALL_WITHIN_S)
    refused("NOT_FOUND", client.get_cuda_shared_memory_status, "c")
    said = refused("UNIMPLEMENTED", client.register_cuda_shared_memory, "c", b"", 0, 16)
    assert "system shared memory" in said


def test_extensions_are_what_works(client):
    told = set(client.get_server_metadata().extensions)
    assert told == {
        "classification", "model_repository", "model_repository(unload_dependents)", "schedule_policy",
        "model_configuration", "system_shared_memory", "binary_tensor_data", "parameters", "statistics", "trace", "logging"}


def test_classification(client, fixtures, zoo):
    client.load_model("classes", files={"file:1/model.onnx": (fixtures / "three_classes.onnx").read_bytes()}, client_timeout=30,
                      config="{}")
    told = client.get_model_metadata("classes")
    width = told.inputs[0].shape[1]
    rows = np.random.default_rng(3).normal(size=(5, width)).astype(np.float32)
    wide = next(each for each in told.outputs if list(each.shape)[-1:] == [3])
    plain = client.infer("classes", [tensor(told.inputs[0].name, rows, "FP32")]).as_numpy(wide.name)
    for top in (1, 2, 3, 9):
        asked = [triton.InferRequestedOutput(wide.name, class_count=top)]
        answer = client.infer("classes", [tensor(told.inputs[0].name, rows, "FP32")], outputs=asked)
        classes = answer.as_numpy(wide.name)
        assert answer.get_output(wide.name).datatype == "BYTES" and classes.shape == (5, min(top, 3))
        for row, values in zip(classes, plain):
            order = np.argsort(-values, kind="stable")[:min(top, 3)]
            assert [each.decode() for each in row] == [f"{values[at]:.6f}:{at}" for at in order]
    row = [features(golden(zoo, "fall_risk")[0][:1])]
    refused("INVALID_ARGUMENT", client.infer, "fall_risk", row,
            outputs=[triton.InferRequestedOutput("band", class_count=1)])


def settings_of(response):
    return {key: list(value.value) for key, value in response.settings.items()}


def trace_file(cluster, name, want):
    """The items of a trace file of the first node, once there are as many as wanted."""
    folder = folder_of(cluster.nodes[0]) / "traces"
    until = time.monotonic() + CALL_WITHIN_S
    while True:
        path = folder / name
        items = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if len(items) >= want:
            return items
        assert time.monotonic() < until, f"{len(items)} of {want} items in {path}"
        time.sleep(0.02)


def test_traces(cluster, client, zoo):
    rows, _ = golden(zoo, "subsidy_triage")
    usual = settings_of(client.get_trace_settings())
    assert usual == {"trace_level": ["OFF"], "trace_rate": ["1000"], "trace_count": ["-1"], "log_frequency": ["0"],
                     "trace_file": ["trace.json"], "trace_mode": ["triton"]}
    wanted = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "2", "trace_count": "3", "trace_file": "triage.json"}
    told = settings_of(client.update_trace_settings("subsidy_triage", wanted))
    assert told["trace_level"] == ["TIMESTAMPS", "TENSORS"] and told["trace_count"] == ["3"]
    assert settings_of(client.get_trace_settings()) == usual, "a model's settings are its own"
    try:
        for at in range(20):
            client.infer("subsidy_triage", [features(rows[:1])], request_id=f"r{at}")
        items = trace_file(cluster, "triage.json", 3 * 11)
        heads = [item for item in items if "model_name" in item]
        assert [head["request_id"] for head in heads] == ["r1", "r3", "r5"]
        assert {(head["model_name"], head["model_version"]) for head in heads} == {("subsidy_triage", 1)}
        first = [item for item in items if item["id"] == heads[0]["id"]]
        stamps = [(each["name"], each["ns"]) for item in first for each in item.get("timestamps", [])]
        assert [name for name, _ in stamps] == [
            "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END",
            "REQUEST_END"]
        assert [ns for _, ns in stamps] == sorted(ns for _, ns in stamps)
        assert abs(stamps[0][1] / 1e9 - time.time()) < 60
        tensors = {item["tensor"]["name"]: item for item in first if "tensor" in item}
        assert tensors["features"]["activity"] == "TENSOR_QUEUE_INPUT"
        assert tensors["features"]["tensor"]["shape"] == "1,9" and tensors["features"]["tensor"]["dtype"] == "FP32"
        values = np.array(tensors["features"]["tensor"]["data"].split(","), dtype=np.float32)
        assert values.tobytes() == rows[0].tobytes()
        assert tensors["score"]["activity"] == "TENSOR_BACKEND_OUTPUT"
        assert settings_of(client.get_trace_settings("subsidy_triage"))["trace_count"] == ["0"]
    finally:
        cleared = client.update_trace_settings("subsidy_triage", dict.fromkeys(wanted))
    assert settings_of(cleared) == usual


def test_wrong_trace_settings(client):
    def update(settings, model="subsidy_triage"):
        return refused("INVALID_ARGUMENT", client.update_trace_settings, model, settings)

    assert "traces/" in update({"trace_file": "/tmp/trace.json"})
    for settings in ({"trace_level": ["ALL"]}, {"trace_rate": "0"}, {"trace_count": "-5"}, {"trace_mode": "opentelemetry"},
                     {"volume": "11"}, {"trace_rate": ["1", "2"]}):
        update(settings)
    refused("NOT_FOUND", client.get_trace_settings, "no_such_model")


def log_of(client):
    return {key: getattr(value, value.WhichOneof("parameter_choice"))
            for key, value in client.get_log_settings(client_timeout=CALL_WITHIN_S).settings.items()}


def test_log_settings_change_what_is_logged(cluster, client, fixtures):
    usual = {"log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0,
             "log_format": "ISO8601"}
    assert log_of(client) == usual
    path = folder_of(cluster.nodes[0]) / "logs" / "python-test.log"

    def push(version):
        # The node says at level info that a version is loaded.
        client.load_model("logged", files={f"file:{version}/model.onnx": (fixtures / "zipmap.onnx").read_bytes()},
                          client_timeout=30, config="{}")
        return f'model="logged" version="{version}"'

    def logged(word):
        return path.exists() and any(word in line for line in path.read_text(encoding="utf-8").splitlines())

    try:
        client.update_log_settings({"log_file": "python-test.log", "log_format": "default"})
        assert log_of(client) == usual | {"log_file": "python-test.log", "log_format": "default"}
        said = push(1)
        until = time.monotonic() + CALL_WITHIN_S
        while not logged(said):
            assert time.monotonic() < until, path.read_text(encoding="utf-8")
            time.sleep(0.02)
        line = next(line for line in path.read_text(encoding="utf-8").splitlines() if said in line)
        assert line[:4].isdigit() and line[4] == " " and " INFO " in line
        client.update_log_settings({"log_info": False})
        said = push(2)
        client.update_log_settings({"log_info": True})
        after = push(3)
        until = time.monotonic() + CALL_WITHIN_S
        while not logged(after):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert not logged(said), "information was off"
        client.update_log_settings({"log_verbose_level": 1})
        assert log_of(client)["log_verbose_level"] == 1
    finally:
        client.update_log_settings(usual)
    assert log_of(client) == usual


def test_wrong_log_settings(client):
    for settings in ({"log_file": "/tmp/hearth.log"}, {"log_file": "../hearth.log"}, {"log_format": "xml"},
                     {"log_volume": True}):
        refused("INVALID_ARGUMENT", client.update_log_settings, settings)


def test_what_other_servers_know_is_ignored(client, zoo):
    rows, expected = golden(zoo, "fall_risk")
    answer = client.infer(
        "fall_risk", [features(rows[:1])], sequence_id=7, sequence_start=True, sequence_end=True, priority=2,
        timeout=5_000_000, parameters={"binary_data": True, "my_own": "word"})
    assert abs(answer.as_numpy("score")[0, 0] - expected[0]) < 1e-6


def test_a_timeout_is_kept(stub, zoo):
    rows, _ = golden(zoo, "fall_risk")
    request = service_pb2.ModelInferRequest(model_name="fall_risk")
    request.inputs.add(name="features", datatype="FP32", shape=[64, 16])
    request.raw_input_contents.append(rows[:64].tobytes())
    request.parameters["timeout"].int64_param = 1
    with pytest.raises(Exception) as caught:
        stub.ModelInfer(request, timeout=CALL_WITHIN_S)
    assert caught.value.code().name == "DEADLINE_EXCEEDED" and "\n" not in caught.value.details()
    for wrong in ({"string_param": "soon"}, {"int64_param": -1}, {"bool_param": True}):
        request.parameters["timeout"].CopyFrom(service_pb2.InferParameter(**wrong))
        with pytest.raises(Exception) as caught:
            stub.ModelInfer(request, timeout=CALL_WITHIN_S)
        assert caught.value.code().name == "INVALID_ARGUMENT"


def test_outputs_asked_for_twice_come_once(client, zoo):
    rows, _ = golden(zoo, "fall_risk")
    answer = client.infer("fall_risk", [features(rows[:1])], outputs=outputs("band", "score", "band"))
    assert [each.name for each in answer.get_response().outputs] == ["band", "score"]


def test_an_input_given_twice_is_refused(client, zoo):
    rows, _ = golden(zoo, "fall_risk")
    said = refused("INVALID_ARGUMENT", client.infer, "fall_risk", [features(rows[:1]), features(rows[:1])])
    assert "twice" in said


def test_no_rows_give_no_scores(client, stub):
    empty = features(np.zeros((0, 16)))
    answer = client.infer("fall_risk", [empty])
    assert answer.as_numpy("score").shape == (0, 1) and answer.as_numpy("band").shape == (0, 1)
    request = service_pb2.ModelInferRequest(model_name="fall_risk")
    request.inputs.add(name="features", datatype="FP32", shape=[0, 16])
    assert list(stub.ModelInfer(request, timeout=CALL_WITHIN_S).outputs[0].shape) == [0, 1]


def test_every_answer_of_a_stream_says_that_it_is_the_last(cluster, zoo):
    rows, _ = golden(zoo, "fall_risk")
    answers = queue.Queue()
    with triton.InferenceServerClient(cluster.grpc[1]) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        client.async_stream_infer("fall_risk", [features(rows[:1])], enable_empty_final_response=True)
        result, error = answers.get(timeout=CALL_WITHIN_S)
        assert error is None and result.get_response().parameters["triton_final_response"].bool_param
        client.stop_stream()


def test_a_stream_may_end_with_a_status(cluster, zoo):
    rows, _ = golden(zoo, "fall_risk")
    answers = queue.Queue()
    with triton.InferenceServerClient(cluster.grpc[1]) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)), headers={"triton_grpc_error": "true"})
        client.async_stream_infer("no_such_model", [features(rows[:1])])
        result, error = answers.get(timeout=CALL_WITHIN_S)
        assert result is None and error.status() == "StatusCode.NOT_FOUND"


def test_statistics_say_where_the_time_went(client, zoo):
    rows, _ = golden(zoo, "subsidy_triage")

    def counted():
        return client.get_inference_statistics("subsidy_triage").model_stats[0]

    before = counted()
    for size in (1, 1, 1, 7, 7):
        client.infer("subsidy_triage", [features(rows[:size])])
    after = counted()
    assert after.inference_count - before.inference_count == 17 and after.execution_count - before.execution_count == 5
    parts = [getattr(after.inference_stats, part) for part in ("queue", "compute_input", "compute_infer", "compute_output")]
    assert sum(part.ns for part in parts) == after.inference_stats.success.ns
    assert all(part.ns > 0 for part in parts[1:])

    def sizes(told):
        return {each.batch_size: each.compute_infer.count for each in told.batch_stats}

    then, now = sizes(before), sizes(after)
    assert now[1] - then.get(1, 0) == 3 and now[7] - then.get(7, 0) == 2


def test_configuration_is_true(client):
    config = client.get_model_config("fall_risk", as_json=True)["config"]
    assert config["max_batch_size"] == 4096 and config["backend"] == "hearth" and config["platform"] == "onnxruntime_onnx"
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": ["16"]}]
    assert {each["name"]: each["dims"] for each in config["output"]} == {"score": ["1"], "band": ["1"]}
    assert config["version_policy"] == {"all": {}} and config["instance_group"][0]["kind"] == "KIND_CPU"
    assert config["default_model_filename"] == "model.onnx" and len(config["parameters"]["model_sha256"]["string_value"]) == 64


def test_the_largest_batch_of_the_configuration_is_taken(client):
    rows = np.zeros((4096, 16), dtype=np.float32)
    assert client.infer("fall_risk", [features(rows)]).as_numpy("score").shape == (4096, 1)


def test_asking_wrongly_in_one_line_each(stub):
    def code(request):
        with pytest.raises(Exception) as caught:
            stub.ModelInfer(request, timeout=CALL_WITHIN_S)
        assert "\n" not in caught.value.details()
        return caught.value.code().name

    def with_input(**settings):
        request = service_pb2.ModelInferRequest(model_name="fall_risk")
        request.inputs.add(name="features", datatype="FP32", shape=[1, 16], **settings)
        return request

    typed = service_pb2.InferTensorContents(fp32_contents=[0.0] * 16)
    both = with_input(contents=typed)
    both.raw_input_contents.append(bytes(64))
    assert code(both) == "INVALID_ARGUMENT"
    short = with_input()
    short.raw_input_contents.append(bytes(63))
    assert code(short) == "INVALID_ARGUMENT"
    many = with_input()
    many.raw_input_contents.extend([bytes(64), bytes(64)])
    assert code(many) == "INVALID_ARGUMENT"
    few = with_input(contents=service_pb2.InferTensorContents(fp32_contents=[0.0] * 15))
    assert code(few) == "INVALID_ARGUMENT"
    halves = service_pb2.ModelInferRequest(model_name="fall_risk")
    halves.inputs.add(name="features", datatype="FP16", shape=[1, 16])
    halves.raw_input_contents.append(bytes(32))
    assert code(halves) == "INVALID_ARGUMENT"
    place = with_input()
    place.inputs[0].parameters["shared_memory_byte_size"].int64_param = 64
    assert code(place) == "INVALID_ARGUMENT"
    with_class = with_input(contents=typed)
    with_class.outputs.add(name="score").parameters["classification"].string_param = "three"
    assert code(with_class) == "INVALID_ARGUMENT"


def test_typed_requests_get_typed_answers(stub):
    request = service_pb2.ModelInferRequest(model_name="fall_risk", id="typed")
    request.inputs.add(name="features", datatype="FP32", shape=[1, 16],
                       contents=service_pb2.InferTensorContents(fp32_contents=[0.0] * 16))
    answer = stub.ModelInfer(request, timeout=CALL_WITHIN_S)
    assert answer.id == "typed" and not answer.raw_output_contents
    assert len(answer.outputs[0].contents.fp32_contents) == 1 and answer.outputs[1].contents.bytes_contents[0]


def test_registering_too_much_is_refused(client):
    with pytest.raises(InferenceServerException):
        client.register_system_shared_memory("x" * 300, "/x", 16)
