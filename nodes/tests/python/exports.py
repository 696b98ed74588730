"""Models as data scientists export them: what is fitted, how it is converted, and rows to ask it.

Each function gives an Export; all are small and fitted from one seed.
"""

import warnings
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType, DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier, ExtraTreesRegressor, GradientBoostingClassifier, GradientBoostingRegressor,
    HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier,
    RandomForestRegressor, StackingClassifier, VotingClassifier)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, RobustScaler, StandardScaler)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

OPSET = {"": 17, "ai.onnx.ml": 3}
ROWS = 300
WIDTH = 5
DRAW = np.random.default_rng(11)
X = DRAW.normal(size=(ROWS, WIDTH)).astype(np.float32)
SLOPE = X @ np.array([1.0, -2.0, 0.5, 0.0, 1.5])
Y = (SLOPE + 0.4 * DRAW.normal(size=ROWS) > 0).astype(np.int64)
Y3 = np.digitize(SLOPE, [-1, 1]).astype(np.int64)
WORDS = np.array(["low", "mid", "high"])[Y3]
NUMBER = (SLOPE * 3 + 0.2 * DRAW.normal(size=ROWS)).astype(np.float32)
MATRIX = [("X", FloatTensorType([None, WIDTH]))]


@dataclass
class Export:
    """`feed` makes the inputs of `n` rows; `score` says which column of which output is the score."""

    model: object
    feed: object
    score: tuple | None = None
    classes: str | None = None
    beside: dict = field(default_factory=dict)


def rows_of(n, kind=np.float32):
    """Random rows, then rows at the edges of what a table holds."""
    rows = np.random.default_rng(n).normal(size=(n, WIDTH)) * 2
    edges = np.array([[0] * WIDTH, [1e6] * WIDTH, [-1e6] * WIDTH, [1e-30] * WIDTH, [-0.0, 1, -1, 3e4, 2]])
    return np.concatenate([rows, edges]).astype(kind)


def matrix(kind=np.float32, name="X"):
    return lambda n: {name: rows_of(n, kind)}


def skl(model, score=None, classes=None, feed=None, types=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = convert_sklearn(model, "g", initial_types=types or MATRIX, target_opset=OPSET,
                               options={id(model): options} if options else None)
    return Export(made, feed or matrix(), score, classes)


def logistic_zipmap():
    return skl(LogisticRegression().fit(X, Y), ("output_probability", 1), "0,1")


def logistic_plain():
    return skl(LogisticRegression().fit(X, Y), ("probabilities", 1), "0,1", zipmap=False)


def logistic_words():
    return skl(LogisticRegression(max_iter=500).fit(X, WORDS), None, "high,low,mid")


def logistic_yes_no():
    return skl(LogisticRegression().fit(X, np.where(Y == 1, "yes", "no")), ("output_probability", 1), "no,yes")


def logistic_columns():
    return skl(LogisticRegression().fit(X, Y), None, None, zipmap="columns")


def logistic_double():
    return skl(LogisticRegression().fit(X.astype(np.float64), Y), ("probabilities", 1), "0,1", matrix(np.float64),
               [("X", DoubleTensorType([None, WIDTH]))], zipmap=False)


def linear():
    return skl(LinearRegression().fit(X, NUMBER), ("variable", 0))


def linear_double():
    return skl(LinearRegression().fit(X.astype(np.float64), NUMBER.astype(np.float64)), ("variable", 0), None,
               matrix(np.float64), [("X", DoubleTensorType([None, WIDTH]))])


def linear_integers():
    whole = np.round(X * 3).astype(np.int64)
    return skl(LinearRegression().fit(whole, NUMBER), ("variable", 0), None,
               lambda n: {"X": np.round(np.clip(rows_of(n), -1e5, 1e5)).astype(np.int64)},
               [("X", Int64TensorType([None, WIDTH]))])


def elastic_net():
    return skl(ElasticNet(alpha=0.1).fit(X, NUMBER), ("variable", 0))


def poisson():
    # Its exponential leaves the range of f32 on far rows: near ones only.
    return skl(PoissonRegressor().fit(X, np.abs(NUMBER)), ("variable", 0), None,
               lambda n: {"X": np.clip(rows_of(n), -3, 3)})


def scaled_svc():
    return skl(make_pipeline(StandardScaler(), SVC(probability=True, random_state=1)).fit(X, Y),
               ("probabilities", 1), "0,1", zipmap=False)


def svc_decision():
    return skl(SVC(probability=False).fit(X, Y3), None, "0,1,2", zipmap=False)


def linear_svc():
    return skl(LinearSVC().fit(X, Y3), None, "0,1,2")


def svr():
    return skl(make_pipeline(MinMaxScaler(), SVR()).fit(X, NUMBER), ("variable", 0))


def sgd():
    return skl(SGDClassifier(loss="log_loss", random_state=1).fit(X, Y), ("output_probability", 1), "0,1")


def decision_tree():
    return skl(DecisionTreeClassifier(max_depth=4, random_state=1).fit(X, Y3), None, "0,1,2")


def random_forest():
    return skl(RandomForestClassifier(15, max_depth=5, random_state=1).fit(X, Y), ("output_probability", 1), "0,1")


def random_forest_words():
    return skl(RandomForestClassifier(9, max_depth=4, random_state=1).fit(X, WORDS), None, "high,low,mid", zipmap=False)


def random_forest_regressor():
    return skl(RandomForestRegressor(10, max_depth=5, random_state=1).fit(X, NUMBER), ("variable", 0))


def two_target_forest():
    return skl(ExtraTreesRegressor(5, max_depth=4, random_state=1).fit(X, np.stack([NUMBER, -NUMBER], axis=1)))


def gradient_boosting():
    return skl(GradientBoostingClassifier(n_estimators=15, random_state=1).fit(X, Y), ("output_probability", 1), "0,1")


def gradient_boosting_multiclass():
    return skl(GradientBoostingClassifier(n_estimators=8, random_state=1).fit(X, Y3), None, "0,1,2", zipmap=False)


def gradient_boosting_regressor():
    return skl(GradientBoostingRegressor(n_estimators=15, random_state=1).fit(X, NUMBER), ("variable", 0))


def holes(n):
    rows = rows_of(n)
    rows[::3, 1] = np.nan
    return {"X": rows}


def hist_gradient_boosting():
    return skl(HistGradientBoostingClassifier(max_iter=15, random_state=1).fit(X, Y), ("probabilities", 1), "0,1",
               holes, zipmap=False)


def hist_gradient_boosting_regressor():
    return skl(HistGradientBoostingRegressor(max_iter=15, random_state=1).fit(X, NUMBER), ("variable", 0), None, holes)


def ada_boost():
    return skl(AdaBoostClassifier(n_estimators=5, random_state=1).fit(X, Y), ("output_probability", 1), "0,1")


def calibrated():
    model = CalibratedClassifierCV(RandomForestClassifier(5, max_depth=3, random_state=1), cv=2, method="isotonic")
    return skl(model.fit(X, Y), ("probabilities", 1), "0,1", zipmap=False)


def calibrated_sigmoid():
    return skl(CalibratedClassifierCV(LinearSVC(), cv=2).fit(X, Y), ("output_probability", 1), "0,1")


def voting():
    model = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft", flatten_transform=False)
    return skl(model.fit(X, Y), ("output_probability", 1), "0,1", lambda n: {"X": np.clip(rows_of(n), -5, 5)})


def stacking():
    model = StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))])
    return skl(model.fit(X, Y), ("output_probability", 1), "0,1")


def one_vs_rest():
    return skl(OneVsRestClassifier(LogisticRegression()).fit(X, Y3), None, "0,1,2", zipmap=False)


def multi_output_classifier():
    model = MultiOutputClassifier(LogisticRegression()).fit(X, np.stack([Y, Y3], axis=1))
    return skl(model, zipmap=False)


def multi_output_regressor():
    return skl(MultiOutputRegressor(LinearRegression()).fit(X, np.stack([NUMBER, -NUMBER], axis=1)))


def gaussian_bayes():
    return skl(GaussianNB().fit(X, Y3), None, "0,1,2", lambda n: {"X": np.clip(rows_of(n), -5, 5)})


def bernoulli_bayes():
    return skl(BernoulliNB().fit(X, Y), ("output_probability", 1), "0,1")


def neighbours():
    return skl(KNeighborsClassifier(3).fit(X, Y), ("probabilities", 1), "0,1", zipmap=False)


def mlp():
    return skl(make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=50, random_state=1)).fit(X, Y),
               ("probabilities", 1), "0,1", zipmap=False)


def mlp_regressor():
    return skl(MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=1).fit(X, NUMBER), ("variable", 0))


def k_means():
    return skl(KMeans(3, n_init=1, random_state=1).fit(X))


def k_means_of_two():
    return skl(KMeans(2, n_init=1, random_state=1).fit(X))


def mixture():
    # Two columns named for probabilities: the second is the score, as of any two.
    return skl(GaussianMixture(2, random_state=1).fit(X), ("probabilities", 1), None, lambda n: {"X": np.clip(rows_of(n), -5, 5)})


def isolation_forest():
    return skl(IsolationForest(n_estimators=10, random_state=1).fit(X), ("scores", 0))


def principal_components():
    return skl(make_pipeline(RobustScaler(), PCA(2)).fit(X))


def polynomial():
    return skl(make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(X, NUMBER), ("variable", 0), None,
               lambda n: {"X": np.clip(rows_of(n), -10, 10)})


def binned():
    return skl(make_pipeline(KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
                             LogisticRegression()).fit(X, Y), ("probabilities", 1), "0,1", zipmap=False)


def imputed():
    gaps = X.copy()
    gaps[::5, 2] = np.nan
    return skl(make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()).fit(gaps, Y),
               ("probabilities", 1), "0,1", holes, zipmap=False)


def table(n):
    import pandas

    draw = np.random.default_rng(n)
    return pandas.DataFrame({
        "age": draw.uniform(60, 99, n).astype(np.float32), "rooms": draw.integers(1, 6, n),
        "heating": draw.choice(["gas", "coal", "电"], n), "grade": draw.choice(["a", "b", "c"], n),
        "alone": draw.integers(0, 2, n) == 1})


def columns_of(names, unknown=True):
    kinds = {"age": (np.float32, 1), "rooms": (np.int64, 1), "alone": (np.bool_, 1)}

    def feed(n):
        rows = table(n)
        made = {name: np.array(rows[[name]], kinds[name][0] if name in kinds else object) for name in names}
        if unknown and "heating" in made:
            made["heating"][0, 0] = "solar"
            made["heating"][-1, 0] = ""
        return made
    return feed


MIXED = [("age", FloatTensorType([None, 1])), ("rooms", Int64TensorType([None, 1])),
         ("heating", StringTensorType([None, 1]))]


def mixed_columns():
    rows = table(ROWS)
    steps = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
        ("whole", StandardScaler(), ["rooms"]),
        ("words", OneHotEncoder(handle_unknown="ignore"), ["heating"])])
    model = make_pipeline(steps, LogisticRegression()).fit(rows, Y)
    return skl(model, ("probabilities", 1), "0,1", columns_of(["age", "rooms", "heating"]), MIXED, zipmap=False)


def truths():
    rows = table(ROWS)
    steps = ColumnTransformer([("age", StandardScaler(), ["age"]), ("alone", "passthrough", ["alone"])])
    model = make_pipeline(steps, LogisticRegression()).fit(rows[["age", "alone"]].astype(float), Y)
    return skl(model, ("probabilities", 1), "0,1", columns_of(["age", "alone"]),
               [("age", FloatTensorType([None, 1])), ("alone", BooleanTensorType([None, 1]))], zipmap=False)


def multi_output_lists():
    model = MultiOutputClassifier(RandomForestClassifier(4, max_depth=3, random_state=1))
    return skl(model.fit(X, np.stack([Y, Y3], axis=1)))


def fixed_batch():
    return skl(LogisticRegression().fit(X, Y), ("probabilities", 1), "0,1", lambda n: {"X": rows_of(0)[:1]},
               [("X", FloatTensorType([1, WIDTH]))], zipmap=False)


def mixed_forest():
    rows = table(ROWS)
    steps = ColumnTransformer([("words", OrdinalEncoder(), ["heating", "grade"])], remainder="passthrough")
    model = make_pipeline(steps, RandomForestClassifier(7, max_depth=4, random_state=1))
    model.fit(rows[["age", "heating", "grade"]], WORDS)
    return skl(model, None, "high,low,mid", columns_of(["age", "heating", "grade"], unknown=False),
               [("age", FloatTensorType([None, 1])), ("heating", StringTensorType([None, 1])),
                ("grade", StringTensorType([None, 1]))], zipmap=False)


def words_matrix():
    rows = table(ROWS)[["heating", "grade"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(np.array(rows, object), Y)

    def feed(n):
        return {"words": np.array(table(n)[["heating", "grade"]], object)}
    return skl(model, ("probabilities", 1), "0,1", feed, [("words", StringTensorType([None, 2]))], zipmap=False)


def number_columns():
    rows = table(ROWS)
    steps = ColumnTransformer([("age", StandardScaler(), ["age"]), ("rooms", MinMaxScaler(), ["rooms"])])
    model = make_pipeline(steps, LogisticRegression()).fit(rows, Y)
    return skl(model, ("probabilities", 1), "0,1", columns_of(["age", "rooms"]), MIXED[:2], zipmap=False)


def blocks():
    """Two matrices, as a ColumnTransformer over positions is often exported."""
    steps = ColumnTransformer([("a", StandardScaler(), [0, 1, 2]), ("b", MinMaxScaler(), [3, 4])])
    model = make_pipeline(steps, LogisticRegression()).fit(X, Y)
    return skl(model, ("probabilities", 1), "0,1", lambda n: {"a": rows_of(n)[:, :3].copy(), "b": rows_of(n)[:, 3:].copy()},
               [("a", FloatTensorType([None, 3])), ("b", FloatTensorType([None, 2]))], zipmap=False)


def lightgbm_binary():
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, random_state=1).fit(X, Y)
    made = onnxmltools.convert_lightgbm(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15)
    return Export(made, matrix(), ("probabilities", 1), "0,1")


def lightgbm_multiclass():
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, random_state=1).fit(X, Y3)
    made = onnxmltools.convert_lightgbm(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15, zipmap=False)
    return Export(made, matrix(), None, "0,1,2")


def lightgbm_regressor():
    model = lightgbm.LGBMRegressor(n_estimators=10, verbose=-1, random_state=1).fit(X, NUMBER)
    made = onnxmltools.convert_lightgbm(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15)
    return Export(made, matrix(), ("variable", 0))


def xgboost_binary():
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=3, random_state=1).fit(X, Y)
    made = onnxmltools.convert_xgboost(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15)
    return Export(made, holes, ("probabilities", 1), "0,1")


def xgboost_multiclass():
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, random_state=1).fit(X, Y3)
    made = onnxmltools.convert_xgboost(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15)
    return Export(made, matrix(), None, "0,1,2")


def xgboost_regressor():
    model = xgboost.XGBRegressor(n_estimators=10, max_depth=3, random_state=1).fit(X, NUMBER)
    made = onnxmltools.convert_xgboost(model, initial_types=[("X", ToolsFloat([None, WIDTH]))], target_opset=15)
    return Export(made, matrix(), ("variable", 0))


EXPORTS = [
    logistic_zipmap, logistic_plain, logistic_words, logistic_yes_no, logistic_columns, logistic_double, linear,
    linear_double, linear_integers, elastic_net, poisson, scaled_svc, svc_decision, linear_svc, svr, sgd,
    decision_tree, random_forest, random_forest_words, random_forest_regressor, two_target_forest,
    gradient_boosting, gradient_boosting_multiclass, gradient_boosting_regressor, hist_gradient_boosting,
    hist_gradient_boosting_regressor, ada_boost, calibrated, calibrated_sigmoid, voting, stacking, one_vs_rest,
    multi_output_classifier, multi_output_regressor, gaussian_bayes, bernoulli_bayes, neighbours, mlp,
    mlp_regressor, k_means, k_means_of_two, mixture, isolation_forest, principal_components, polynomial, binned,
    imputed, mixed_columns, mixed_forest, truths, multi_output_lists, fixed_batch, words_matrix, number_columns,
    blocks, lightgbm_binary, lightgbm_multiclass, lightgbm_regressor, xgboost_binary, xgboost_multiclass, xgboost_regressor]
