"""Nets that PyTorch's own exporters wrote (models/tests/fixtures/torch/make.py): pushed as they are, they answer what
torch answered. Those that cannot be served are refused with what to change."""

import json

import numpy as np
import pytest
from conftest import REPOSITORY
from tensors import CALL_WITHIN_S, tensor
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

FOLDER = REPOSITORY / "models/tests/fixtures/torch"
LOAD_WITHIN_S = 60
TOLERANCE = 2e-6
CASES = [(way, name) for way in ("legacy", "dynamo") if (FOLDER / f"answers.{way}.json").exists()
         for name in json.loads((FOLDER / f"answers.{way}.json").read_text(encoding="utf-8"))
         if name not in ("wide", "hours")]


def load(client, name, content):
    client.load_model(name, config=None, files={"file:1/model.onnx": content}, client_timeout=LOAD_WITHIN_S)


def arrays(told):
    return {name: np.array(each["data"], dtype=triton_to_np_dtype(each["datatype"])).reshape(each["shape"])
            for name, each in told.items()}


def asked(client, name, feed):
    inputs = [tensor(key, values, told) for key, (values, told) in feed.items()]
    return client.infer(name, inputs, client_timeout=CALL_WITHIN_S)


@pytest.mark.parametrize(("way", "net"), CASES, ids=lambda each: each)
def test_a_net_answers_as_torch_does(client, way, net):
    told = json.loads((FOLDER / f"answers.{way}.json").read_text(encoding="utf-8"))[net]
    name = f"torch_{way}_{net}"
    load(client, name, (FOLDER / f"{net}.{way}.onnx").read_bytes())
    inputs, outputs = arrays(told["inputs"]), arrays(told["outputs"])
    metadata = client.get_model_metadata(name, client_timeout=CALL_WITHIN_S)
    assert {each.name for each in metadata.inputs} == set(inputs)
    for rows in (slice(None), slice(2, 3)):
        feed = {key: (np.ascontiguousarray(values[rows]), told["inputs"][key]["datatype"]) for key, values in inputs.items()}
        answer = asked(client, name, feed)
        for key, want in outputs.items():
            got = answer.as_numpy(key)
            assert got.dtype == want.dtype and got.shape == want[rows].shape, (key, got.dtype, got.shape)
            np.testing.assert_allclose(got, want[rows], rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
    if net in ("regressor", "binary", "embedded", "named", "attention"):
        first = next(iter(outputs.values()))
        np.testing.assert_allclose(asked(client, name, {
            key: (values, told["inputs"][key]["datatype"]) for key, values in inputs.items()}).as_numpy("score").ravel(),
            first.ravel(), rtol=TOLERANCE, atol=TOLERANCE)
    client.unload_model(name, client_timeout=CALL_WITHIN_S)


@pytest.mark.parametrize("file", ["two_rows.legacy", "two_rows.dynamo", "defaults.dynamo"])
def test_a_batch_that_nobody_freed_takes_any_number_of_rows(client, file):
    """torch fixes the batch to that of its example, if it is not told otherwise."""
    told = json.loads((FOLDER / f"answers.{file.split('.')[1]}.json").read_text(encoding="utf-8"))["regressor"]
    name = f"torch_{file.replace('.', '_')}"
    load(client, name, (FOLDER / f"{file}.onnx").read_bytes())
    (values,), (want,) = arrays(told["inputs"]).values(), arrays(told["outputs"]).values()
    for rows in (1, 2, 5, 6):
        answer = asked(client, name, {"x": (np.ascontiguousarray(values[:rows]), "FP32")})
        np.testing.assert_allclose(answer.as_numpy("score"), want[:rows], rtol=TOLERANCE, atol=TOLERANCE)
    client.unload_model(name, client_timeout=CALL_WITHIN_S)


# What a net is refused for: a random step, half floats, an operator that ONNX Runtime has not in FP64, a third dimension.
REFUSED = {"random": "random", "half": "FP32", "wide": "for these element types", "hours": "[rows, columns]"}


@pytest.mark.parametrize("way", sorted({way for way, _ in CASES}))
@pytest.mark.parametrize("net", REFUSED)
def test_what_cannot_be_served_is_said(client, way, net):
    with pytest.raises(InferenceServerException) as caught:
        load(client, f"torch_{way}_{net}", (FOLDER / f"{net}.{way}.onnx").read_bytes())
    said = caught.value.message()
    assert REFUSED[net].lower() in said.lower() and "\n" not in said, said
