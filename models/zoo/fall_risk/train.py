"""Trains the fall-risk model on an invented population and writes model.onnx, golden.csv, card.md.

The population is drawn from published figures: prevalence of falls 22 % a year, odds ratios of
Deandrea et al. 2010 (74 cohorts). Nobody in it exists. Run: python train.py (../requirements.txt).
"""

from pathlib import Path

import numpy as np
import onnxruntime
from onnx import save
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score

HERE = Path(__file__).parent
FEATURES = ["age", "female", "falls_12m", "gait_aid", "vertigo", "drugs_n", "vision", "hearing",
            "cognition_score", "dep_score", "ability_level", "lives_alone", "door_n_1d",
            "motion_n_1d", "motion_n_7d", "gait_speed_mean_7d"]
TRAIN, HELD_OUT, GOLDEN = 20_000, 100_000, 64
PREVALENCE = 0.22
SEED = 20240117


def draw(rng, p):
    return (rng.random(len(p)) < p).astype(float)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def population(rng, n):
    """Features as the feature store would give them, and the true yearly probability of a fall."""
    band = rng.choice(3, size=n, p=[0.578, 0.251, 0.171])
    age = np.where(band == 0, rng.uniform(60, 70, n), rng.uniform(70, 80, n))
    age = np.floor(np.where(band == 2, np.minimum(80 + rng.exponential(5, n), 104), age))
    female = draw(rng, sigmoid(0.05 + 0.02 * (age - 70)))
    frailty = rng.normal(size=n) + 0.06 * (age - 72)

    history = draw(rng, sigmoid(-1.7 + 0.35 * frailty))
    falls = history * (1 + rng.poisson(0.4, n))
    gait_problem = draw(rng, sigmoid(-1.8 + 1.0 * frailty))
    aid = draw(rng, sigmoid(-3.2 + 0.8 * frailty + 1.2 * gait_problem))
    vertigo = draw(rng, sigmoid(-1.8 + 0.3 * frailty))
    drugs = np.minimum(rng.poisson(np.exp(0.7 + 0.2 * frailty)), 15)
    vision = np.clip(np.round(0.6 + 0.5 * frailty + rng.normal(0, 0.8, n)), 0, 4)
    hearing = np.clip(np.round(0.5 + 0.5 * frailty + rng.normal(0, 0.8, n)), 0, 4)
    cognition = np.clip(np.round(27 - 1.3 * frailty + rng.normal(0, 2, n)), 0, 30)
    depression = np.minimum(rng.poisson(np.exp(0.9 + 0.2 * frailty)), 15)
    ability = 1 + np.digitize(frailty + 1.2 * gait_problem + rng.normal(0, 0.5, n), [2.0, 3.0, 4.0, 5.0])
    alone = draw(rng, sigmoid(-2.2 + 0.03 * (age - 70)))

    monitored = draw(rng, np.full(n, 0.6))
    door = monitored * rng.poisson(3.0 * np.exp(-0.15 * frailty))
    habit = rng.gamma(9, 1 / 9, n)
    motion_1d = monitored * rng.poisson(65 * habit * np.exp(-0.1 * frailty))
    motion_7d = motion_1d + monitored * rng.poisson(6 * 65 * habit * np.exp(-0.1 * frailty))
    speed = 1.08 - 0.01 * (age - 70) - 0.25 * gait_problem + rng.normal(0, 0.08, n)
    speed = np.where(monitored * draw(rng, np.full(n, 0.8)) > 0, np.round(np.clip(speed, 0.15, 1.6), 2), 0)

    odds = (np.log(2.8) * history + np.log(2.1) * gait_problem + np.log(2.2) * aid
            + np.log(1.8) * vertigo + np.log(1.06) * drugs + np.log(1.35) * (vision >= 2)
            + np.log(1.2) * (hearing >= 2) + np.log(1.36) * (cognition < 24)
            + np.log(1.6) * (depression >= 5) + np.log(1.56) * (ability >= 3)
            + np.log(1.33) * alone + np.log(1.3) * female + np.log(1.12) * (age - 72) / 5)
    columns = [age, female, falls, aid, vertigo, drugs, vision, hearing, cognition, depression,
               ability, alone, door, motion_1d, motion_7d, speed]
    return np.stack(columns, axis=1).astype(np.float32) + 0, odds  # + 0 turns -0 into 0


def intercept_for(odds, prevalence):
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(odds + middle).mean() < prevalence else (low, middle)
    return low


def main():
    rng = np.random.default_rng(SEED)
    rows, odds = population(rng, TRAIN + HELD_OUT)
    truth = sigmoid(odds + intercept_for(odds, PREVALENCE))
    fell = draw(rng, truth).astype(int)
    train, test = slice(0, TRAIN), slice(TRAIN, None)

    model = GradientBoostingClassifier(n_estimators=100, max_depth=3, learning_rate=0.08,
                                       subsample=0.7, min_samples_leaf=60, random_state=SEED)
    model.fit(rows[train], fell[train])
    onnx = convert_sklearn(model, "fall_risk", initial_types=[("features", FloatTensorType([None, len(FEATURES)]))],
                           options={id(model): {"zipmap": False}}, target_opset={"": 17, "ai.onnx.ml": 3})
    keep_covers(onnx.graph.node[0], [each.tree_ for each in model.estimators_[:, 0]])
    save(onnx, str(HERE / "model.onnx"))

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), options)
    score = session.run(["probabilities"], {"features": rows[test]})[0][:, 1]
    parity = np.abs(score - model.predict_proba(rows[test])[:, 1]).max()
    assert parity < 1e-5, f"ONNX Runtime and scikit-learn differ by {parity}"

    # A pipeline that leaks would show skill even where there is nothing to learn.
    shuffled = rng.permutation(fell)
    blind = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=SEED)
    blind.fit(rows[train], shuffled[train])
    logit = np.log(score / (1 - score))
    figures = {
        "bayes": roc_auc_score(fell[test], truth[test]),
        "auc": roc_auc_score(fell[test], score),
        "brier": brier_score_loss(fell[test], score),
        "slope": calibration_slope(logit, fell[test]),
        "shuffled": roc_auc_score(shuffled[test], blind.predict_proba(rows[test])[:, 1]),
        "history": roc_auc_score(fell[test], rows[test][:, 2]),
        "age": roc_auc_score(fell[test], rows[test][:, 0]),
        "parity": parity,
        "kilobytes": (HERE / "model.onnx").stat().st_size / 1000,
    }
    for name, minimum in [("medium", 0.2), ("high", 0.4)]:
        figures[f"{name}_share"] = (score >= minimum).mean()
        figures[f"{name}_fell"] = fell[test][score >= minimum].mean()
        figures[f"{name}_found"] = fell[test][score >= minimum].sum() / fell[test].sum()
    assert figures["bayes"] - 0.02 <= figures["auc"] <= figures["bayes"] + 0.01, figures
    assert abs(figures["shuffled"] - 0.5) < 0.02, figures

    lines = [",".join([*FEATURES, "score"])]
    for row, each in zip(rows[test][:GOLDEN], score[:GOLDEN]):
        lines.append(",".join(f"{value:.9g}" for value in [*row, each]))
    (HERE / "golden.csv").write_text("\n".join(lines) + "\n")
    (HERE / "card.md").write_text((HERE / "card.in").read_text().format(**figures))
    print(*(f"{name} {value:.4f}" for name, value in figures.items()), sep="\n")


def keep_covers(node, trees):
    """Writes how many training rows reached each node, which the converter leaves at 1: explanations
    are weighed by them."""
    lists = {each.name: each for each in node.attribute}
    places = zip(lists["nodes_treeids"].ints, lists["nodes_nodeids"].ints, lists["nodes_modes"].strings,
                 lists["nodes_featureids"].ints)
    covers = []
    for tree, at, mode, feature in places:
        assert (trees[tree].feature[at] == feature) or mode == b"LEAF", "the converter numbers nodes as scikit-learn does"
        assert (trees[tree].children_left[at] < 0) == (mode == b"LEAF")
        covers.append(trees[tree].weighted_n_node_samples[at])
    lists["nodes_hitrates"].floats[:] = covers


def calibration_slope(logit, fell):
    """Slope of a logistic regression of the outcome on the score's logit, by Newton's method."""
    weights = np.zeros(2)
    design = np.stack([np.ones_like(logit), logit], axis=1).astype(float)
    for _ in range(20):
        p = sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        weights += np.linalg.solve(hessian, design.T @ (fell - p))
    return weights[1]


main()
