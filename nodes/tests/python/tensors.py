"""Tensors as tritonclient sends them, and calls that must fail."""

import csv

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

CALL_WITHIN_S = 10


def tensor(name, values, datatype):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def features(values):
    return tensor("features", np.asarray(values, dtype=np.float32), "FP32")


def entities(keys):
    return tensor("entity", np.array([[key.encode()] for key in keys], dtype=np.object_), "BYTES")


def outputs(*names):
    return [triton.InferRequestedOutput(name) for name in names]


def golden(zoo, model):
    with (zoo / model / "golden.csv").open(encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    table = np.array(rows[1:], dtype=np.float64)
    assert rows[0][-1] == "score"
    return table[:, :-1].astype(np.float32), table[:, -1]


def refused(status, call, *words, **settings):
    """The call fails with this status, in one line; gives the line."""
    with pytest.raises(InferenceServerException) as caught:
        call(*words, client_timeout=CALL_WITHIN_S, **settings)
    assert caught.value.status() == f"StatusCode.{status}", caught.value
    said = caught.value.message()
    assert said and "\n" not in said and len(said) < 400, said
    return said
