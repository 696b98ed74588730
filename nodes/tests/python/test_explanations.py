"""Explanations beside the PyPI package shap, for models as data scientists export them."""

import io
import warnings

import lightgbm
import numpy as np
import pytest
import shap
import tritonclient.utils as triton
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesRegressor, GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier,
    RandomForestClassifier, RandomForestRegressor)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tensors import CALL_WITHIN_S, refused, tensor

TRAIN, ASKED, WIDTH, SEED = 1500, 40, 8, 20240117
LOAD_WITHIN_S = 60
TOLERANCE = 1e-6
DRAW = np.random.default_rng(SEED)
# Multiples of 1/64, so that no double threshold of a trainer falls between a row's single values.
X = (DRAW.integers(-160, 160, size=(TRAIN, WIDTH)) / 64).astype(np.float32)
Z = X[:, 0] + X[:, 1] * X[:, 2] - 0.5 * X[:, 3] + DRAW.normal(scale=0.5, size=TRAIN)
Y = (Z > 0).astype(int)
ROWS = (DRAW.integers(-170, 170, size=(ASKED, WIDTH)) / 64).astype(np.float32)


def background(rows):
    text = io.StringIO()
    np.savetxt(text, rows, delimiter=",", header=",".join(f"x{at}" for at in range(WIDTH)), comments="", fmt="%.9g")
    return text.getvalue().encode()


def push(client, name, onnx, reference=None):
    files = {"file:1/model.onnx": onnx}
    if reference is not None:
        files["file:1/background.csv"] = background(reference)
    client.load_model(name, config=None, files=files, client_timeout=LOAD_WITHIN_S)


def explain(client, name, rows):
    """Base, contributions, the score that they add up to, the space of the sum, the model's score."""
    answer = client.infer(name, [tensor("X", rows, "FP32")], parameters={"explain": True}, client_timeout=CALL_WITHIN_S)
    base, parts = answer.as_numpy("base").astype(float), answer.as_numpy("contributions").astype(float)
    assert base.shape == (len(rows), 1) and parts.shape == rows.shape
    score = answer.as_numpy("score").astype(float)[:, 0]
    link = answer.get_response().parameters["link"].string_param
    total = base[:, 0] + parts.sum(axis=1)
    said = 1 / (1 + np.exp(-total)) if link == "logit" else total
    np.testing.assert_allclose(said, score, atol=2e-6 * max(1, np.abs(score).max()))
    return base[:, 0], parts, link


def sklearn(model):
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    return to_onnx(model, X[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()


def lightgbm_onnx(model):
    settings = {"zipmap": False} if hasattr(model, "predict_proba") else {}
    kind = [("X", FloatTensorType([None, WIDTH]))]
    return convert_lightgbm(model, initial_types=kind, target_opset=15, **settings).SerializeToString()


def xgboost_onnx(model):
    kind = [("X", FloatTensorType([None, WIDTH]))]
    return convert_xgboost(model, initial_types=kind, target_opset=15).SerializeToString()


BOOSTED = {"n_estimators": 40, "max_depth": 4}
# The model, its target, how it becomes ONNX, the space of its explanations.
TREES = {
    "sklearn_boosted": (GradientBoostingClassifier(random_state=SEED, **BOOSTED), Y, sklearn, "logit"),
    "sklearn_boosted_number": (GradientBoostingRegressor(random_state=SEED, **BOOSTED), Z, sklearn, "identity"),
    "sklearn_forest": (
        RandomForestClassifier(40, max_depth=5, bootstrap=False, max_features=3, random_state=SEED), Y, sklearn, "identity"),
    "sklearn_forest_number": (
        RandomForestRegressor(40, max_depth=5, bootstrap=False, max_features=3, random_state=SEED), Z, sklearn, "identity"),
    "sklearn_extra_number": (ExtraTreesRegressor(40, max_depth=5, random_state=SEED), Z, sklearn, "identity"),
    "sklearn_tree": (DecisionTreeClassifier(max_depth=6, random_state=SEED), Y, sklearn, "identity"),
    "sklearn_histogram": (HistGradientBoostingClassifier(max_iter=30, early_stopping=False), Y, sklearn, "logit"),
    "lightgbm": (lightgbm.LGBMClassifier(verbose=-1, n_jobs=1, **BOOSTED), Y, lightgbm_onnx, "logit"),
    "lightgbm_number": (lightgbm.LGBMRegressor(verbose=-1, n_jobs=1, **BOOSTED), Z, lightgbm_onnx, "identity"),
    "xgboost": (xgboost.XGBClassifier(n_jobs=1, **BOOSTED), Y, xgboost_onnx, "logit"),
    "xgboost_number": (xgboost.XGBRegressor(n_jobs=1, **BOOSTED), Z, xgboost_onnx, "identity"),
}


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: model.fit(X, target) for name, (model, target, *_) in TREES.items()}


@pytest.mark.parametrize("name", TREES)
def test_trees_are_explained_as_shap_does(client, fitted, name):
    """The reference rows are those of the training, so that the covers are the trainer's own."""
    _, _, convert, space = TREES[name]
    model = fitted[name]
    push(client, f"shap_{name}", convert(model), X)
    base, parts, link = explain(client, f"shap_{name}", ROWS)
    assert link == space
    theirs, expected = by_shap(model)
    np.testing.assert_allclose(parts, theirs, atol=TOLERANCE)
    np.testing.assert_allclose(base, expected, atol=TOLERANCE)


def by_shap(model):
    """Contributions and base of ROWS. XGBoost's covers are sums of second derivatives: there shap is
    given the numbers of rows instead, which is what all others mean by a cover."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        expected = np.atleast_1d(explainer.expected_value)[-1]
        if isinstance(model, xgboost.XGBModel):
            trees = explainer.model
            trees.node_sample_weight = count_rows(trees, X)
            trees.model_type = "internal"
            expected = mean(trees)
        values = np.asarray(explainer.shap_values(ROWS, check_additivity=False))
    return (values[:, :, 1] if values.ndim == 3 else values), expected


def count_rows(trees, rows):
    """How many rows reach each node of each tree."""
    counts = np.zeros_like(trees.node_sample_weight)
    for tree, (left, right) in enumerate(zip(trees.children_left, trees.children_right)):
        at = np.zeros(len(rows), dtype=int)
        while True:
            np.add.at(counts[tree], at, 1)
            inner = left[at] >= 0
            rows, at = rows[inner], at[inner]
            if not len(at):
                break
            goes = rows[np.arange(len(rows)), trees.features[tree][at]] <= trees.thresholds[tree][at]
            at = np.where(goes, left[at], right[at])
        rows = X
    return counts


def mean(trees):
    """The trees' mean over the rows that their covers count."""
    leaves = (trees.children_left < 0) & (trees.node_sample_weight > 0)
    shares = trees.node_sample_weight / trees.node_sample_weight[:, :1]
    return float((trees.values[:, :, 0] * shares * leaves).sum() + np.ravel(trees.base_offset)[0])


LINEAR = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), Y, "logit"),
    "imputed": (make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), Y, "logit"),
    "linear": (make_pipeline(StandardScaler(), LinearRegression()), Z, "identity"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_are_explained_as_shap_does(client, name):
    model, target, space = LINEAR[name]
    model.fit(X, target)
    push(client, f"shap_{name}", sklearn(model), X)
    base, parts, link = explain(client, f"shap_{name}", ROWS)
    assert link == space
    before = model[:-1]
    # All rows: by itself shap takes a hundred of them.
    reference = shap.maskers.Independent(before.transform(X), max_samples=len(X))
    explainer = shap.LinearExplainer(model[-1], reference)
    theirs = explainer.shap_values(before.transform(ROWS))
    np.testing.assert_allclose(parts, np.asarray(theirs).reshape(parts.shape), atol=2 * TOLERANCE)
    np.testing.assert_allclose(base, np.ravel(explainer.expected_value)[0], atol=2 * TOLERANCE)


def test_any_other_model_is_explained_by_sampling(client):
    model = KNeighborsClassifier(15).fit(X[:200], Y[:200])
    push(client, "shap_neighbours", sklearn(model), X[:100])
    base, parts, link = explain(client, "shap_neighbours", ROWS[:3])
    assert link == "identity" and np.ptp(base) == 0
    again = explain(client, "shap_neighbours", ROWS[:3])
    assert again[1].tobytes() == parts.tobytes(), "the seed is fixed"
    # Six standard errors of 32 pairs of orders of a probability's changes.
    expected = shap.PermutationExplainer(lambda rows: model.predict_proba(rows)[:, 1], X[:100])(
        ROWS[:3], max_evals=4000, silent=True)
    np.testing.assert_allclose(parts, expected.values, atol=0.25)


def test_without_reference_rows_it_says_what_to_send(client, fitted):
    push(client, "shap_alone", sklearn(fitted["sklearn_forest"]))
    said = refused("INVALID_ARGUMENT", client.infer, "shap_alone", [tensor("X", ROWS, "FP32")], parameters={"explain": True})
    assert "background.csv" in said and "shap_alone" in said


def test_reference_rows_must_fit(client, fitted):
    files = {"file:1/model.onnx": sklearn(fitted["sklearn_tree"]), "file:1/background.csv": b"a,b\n1,2\n"}
    with pytest.raises(triton.InferenceServerException) as caught:
        client.load_model("shap_narrow", config=None, files=files, client_timeout=LOAD_WITHIN_S)
    assert "background.csv must have 8 columns" in caught.value.message()
