"""Models as scikit-learn, LightGBM and XGBoost export them: pushed as they are, and every output of every
row compared with onnxruntime's. Then files that cannot be served, with what is said of them."""

import numpy as np
import onnxruntime
import pytest
from exports import EXPORTS, X, Y, logistic_plain
from onnx import TensorProto, helper, numpy_helper
from tensors import CALL_WITHIN_S, outputs, tensor
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

LOAD_WITHIN_S = 60
ROWS = 40
TOLERANCE = 1e-6


def load(client, name, model, version="1"):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    client.load_model(name, config=None, files={f"file:{version}/model.onnx": content}, client_timeout=LOAD_WITHIN_S)


def by_onnxruntime(model, feed):
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, feed)))


def unlisted(answers):
    """Lists as they are served: a list of maps as columns in the order of the keys, of tensors as one each."""
    plain = {}
    for name, answer in answers.items():
        if not isinstance(answer, list):
            plain[name] = answer
        elif isinstance(answer[0], dict):
            plain[name] = np.array([list(row.values()) for row in answer], dtype=np.float32)
        else:
            plain.update({f"{name}_{at}": part for at, part in enumerate(answer)})
    return plain


def as_sent(values):
    kind = "BYTES" if values.dtype == object else np_to_triton_dtype(values.dtype)
    if kind == "BYTES":
        values = np.array([str(each).encode() for each in values.ravel()], dtype=np.object_).reshape(values.shape)
    return values, kind


def same(got, want, what):
    if want.dtype.kind in "OUS":
        text = [each.decode() if isinstance(each, bytes) else each for each in got.ravel()]
        assert text == [str(each) for each in want.ravel()], what
        return
    assert got.dtype == want.dtype, (what, got.dtype, want.dtype)
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=TOLERANCE, atol=TOLERANCE, err_msg=what)


@pytest.mark.parametrize("make", EXPORTS, ids=lambda make: make.__name__)
def test_an_export_answers_as_onnxruntime_does(client, make):
    export, name = make(), f"export_{make.__name__}"
    feed = export.feed(ROWS)
    want = unlisted(by_onnxruntime(export.model, feed))
    load(client, name, export.model)
    inputs = [tensor(key, *as_sent(values)) for key, values in feed.items()]
    answer = client.infer(name, inputs, client_timeout=CALL_WITHIN_S)
    given = {each.name for each in answer.get_response().outputs}
    assert given - {"score"} == set(want) - {"score"}, "every output, under its own name"
    for key, values in want.items():
        same(answer.as_numpy(key), values, f"{name} {key}")
    told = client.get_model_metadata(name, client_timeout=CALL_WITHIN_S)
    for each in told.outputs:
        shape = answer.as_numpy(each.name).shape
        assert len(each.shape) == len(shape), f"{each.name} is told as {each.shape}, and comes as {shape}"
        assert all(said in (-1, size) for said, size in zip(each.shape, shape)), (each.name, each.shape, shape)
    if export.score is None:
        assert "score" not in given, "no number has one meaning"
    else:
        key, column = export.score
        rows = len(next(iter(feed.values())))
        score = answer.as_numpy("score")
        assert score.shape == (rows, 1)
        same(score[:, 0].astype(want[key].dtype), want[key].reshape(rows, -1)[:, column], f"{name} score")
    # One row alone has the answer that it has among others.
    alone = [tensor(key, *as_sent(values[1:2])) for key, values in feed.items()]
    if all(len(values) > 1 for values in feed.values()):
        one = client.infer(name, alone, client_timeout=CALL_WITHIN_S)
        for key, values in want.items():
            same(one.as_numpy(key), values[1:2], f"{name} {key} alone")
    client.unload_model(name, client_timeout=CALL_WITHIN_S)


def test_a_batch_that_is_fixed_to_one_takes_many(client):
    export = logistic_plain()
    want = by_onnxruntime(export.model, {"X": X[:5]})
    for each in [*export.model.graph.input, *export.model.graph.output]:
        each.type.tensor_type.shape.dim[0].Clear()
        each.type.tensor_type.shape.dim[0].dim_value = 1
    load(client, "export_of_one_row", export.model)
    answer = client.infer("export_of_one_row", [tensor("X", X[:5], "FP32")], client_timeout=CALL_WITHIN_S)
    same(answer.as_numpy("probabilities"), want["probabilities"], "probabilities")
    same(answer.as_numpy("label"), want["label"], "label")


def test_the_newest_trees(client):
    """TreeEnsemble of ai.onnx.ml 5, as newer converters write it."""
    as_floats = {"nodes_splits": [0.5], "leaf_weights": [1.0, 2.0]}
    tensors = {key: numpy_helper.from_array(np.array(value, dtype=np.float32), key) for key, value in as_floats.items()}
    tensors["nodes_modes"] = numpy_helper.from_array(np.array([0], dtype=np.uint8), "nodes_modes")

    def model(root=0):
        node = helper.make_node(
            "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, tree_roots=[root], nodes_featureids=[1],
            nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1],
            leaf_targetids=[0, 0], aggregate_function=1, post_transform=0, **tensors)
        value = [helper.make_tensor_value_info(key, TensorProto.FLOAT, [None, wide]) for key, wide in (("X", 5), ("Y", 1))]
        graph = helper.make_graph([node], "g", value[:1], value[1:])
        return helper.make_model(graph, ir_version=9, opset_imports=[
            helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 5)])

    load(client, "export_ml_5", model())
    answer = client.infer("export_ml_5", [tensor("X", X[:9], "FP32")], client_timeout=CALL_WITHIN_S)
    same(answer.as_numpy("Y"), by_onnxruntime(model(), {"X": X[:9]})["Y"], "Y")
    assert "tree has no root" in said_of(client, "export_ml_5_broken", model(root=7))


def said_of(client, name, model):
    with pytest.raises(InferenceServerException) as caught:
        load(client, name, model)
    said = caught.value.message()
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", caught.value
    assert "\n" not in said and len(said) < 400, said
    return said


def one_node(op, kind=TensorProto.FLOAT, shape=(None, 2), domain="", opset=17, ir_version=8, **attributes):
    value = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain, **attributes)], "g", value[:1], value[1:])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    if domain not in ("", "ai.onnx.ml"):
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def with_map_input():
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DictionaryType, FloatTensorType, StringTensorType
    from sklearn.feature_extraction import DictVectorizer

    model = DictVectorizer().fit([{"a": 1.0, "b": 2.0}])
    return convert_sklearn(model, "g", initial_types=[("x", DictionaryType(StringTensorType([1]), FloatTensorType([1])))])


def with_external_weight():
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    model = one_node("Identity")
    model.graph.initializer.append(weight)
    return model


def with_large_weight():
    model = one_node("Identity")
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=b"abcd"))
    return model


def with_a_loop():
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("x", "y")]
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Identity", ["a"], ["b"]),
             helper.make_node("Identity", ["b"], ["y"])]
    return helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:]), ir_version=8,
                             opset_imports=[helper.make_opsetid("", 17)])


def with_a_looping_tree():
    from sklearn.tree import DecisionTreeRegressor
    from skl2onnx import to_onnx

    model = to_onnx(DecisionTreeRegressor(max_depth=2).fit(X, Y), X[:1])
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[1] = 0
    return model


REFUSED = [
    (lambda: one_node("Relu", kind=TensorProto.FLOAT16), "export it as FP32"),
    (lambda: one_node("Relu", shape=(None, 3, 8, 8)), "export with inputs [rows, columns]"),
    (lambda: one_node("Relu", opset=99), "export with an opset of at most"),
    (lambda: one_node("Relu", ir_version=99), "set model.ir_version ="),
    (lambda: one_node("NoSuchOperator"), "NoSuchOperator"),
    (lambda: one_node("StringUpper", domain="ai.onnx.contrib"), "without custom operators or onnxruntime-extensions"),
    (lambda: one_node("SplitToSequence"), "ONNX Runtime refuses the model"),
    (with_map_input, "input `x` is a"),
    (with_external_weight, "external_data=False"),
    (with_large_weight, "weight `w` says that it has"),
    (with_a_loop, "ONNX Runtime refuses the model"),
    (with_a_looping_tree, "leads back to one of its own nodes"),
]


@pytest.mark.parametrize("at", range(len(REFUSED)))
def test_what_cannot_work_is_refused_with_what_to_change(client, at):
    make, fragment = REFUSED[at]
    said = said_of(client, f"refused_{at}", make())
    assert fragment in said, said
    assert f"refused_{at}" not in {each.name for each in client.get_model_repository_index().models}


def test_a_file_that_is_cut_anywhere_is_refused(client):
    content = logistic_plain().model.SerializeToString()
    for cut in range(0, len(content), 37):
        with pytest.raises(InferenceServerException) as caught:
            load(client, "cut_short", content[:cut])
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", (cut, caught.value)
    assert client.is_server_ready(client_timeout=CALL_WITHIN_S)


def test_rows_that_do_not_fit_are_refused_by_name(client):
    load(client, "export_to_ask", logistic_plain().model)
    for values, kind in ((X[:, :3], "FP32"), (X.astype(np.float64), "FP64")):
        with pytest.raises(InferenceServerException) as caught:
            client.infer("export_to_ask", [tensor("X", np.ascontiguousarray(values), kind)], client_timeout=CALL_WITHIN_S)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT" and "`X`" in caught.value.message()
    picked = client.infer("export_to_ask", [tensor("X", X[:2], "FP32")], outputs=outputs("score"), client_timeout=CALL_WITHIN_S)
    assert picked.as_numpy("score").shape == (2, 1)
