"""Clients that others made, unmodified, each in a process of its own: KServe's, MLServer's stubs, perf_analyzer."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from tensors import golden

CLIENTS = Path(__file__).parent / "clients"
PYTHON = REPOSITORY / ".native/venv-clients/bin/python"
PERF_ANALYZER = REPOSITORY / ".native/perf_analyzer"
WITHIN_S = 120


def ask(program, address, rows, resident, **more):
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: run `make venv`")
    asked = json.dumps({"rows": rows.astype(float).tolist(), "resident": resident, **more})
    ran = subprocess.run([PYTHON, "-W", "ignore", CLIENTS / program, address], input=asked, capture_output=True,
                         text=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_kserve(cluster, zoo, residents):
    rows, expected = golden(zoo, "fall_risk")
    said = ask("kserve_client.py", cluster.grpc[0], rows[:9], residents[0])
    assert said["live"] and said["ready"] and said["model_ready"] == [True, False]
    for form in ("raw", "typed"):
        assert said[form]["id"] == form and said[form]["version"] == "1" and said[form]["shape"] == [9, 1]
        np.testing.assert_allclose(said[form]["score"], expected[:9], rtol=0, atol=1e-6)
    assert 0 < said["entity"]["score"][0] < 1 and "log_index" in said["entity"]["parameters"]
    assert said["unknown"] == "NOT_FOUND" and said["narrow"] == "INVALID_ARGUMENT"


def test_mlserver_stubs(cluster, client, fixtures, zoo, residents):
    rows, expected = golden(zoo, "fall_risk")
    client.load_model("mlservers_own", config="{}", files={"file:1/model.onnx": (fixtures / "zipmap.onnx").read_bytes()},
                      client_timeout=30)
    said = ask("mlserver_stubs.py", cluster.grpc[0], rows[:9], residents[0], own_model="mlservers_own")
    assert said["live"] and said["ready"] and said["model_ready"] and said["server"] == "hearth"
    assert said["inputs"] == [["features", "FP32", [-1, 16]]]
    assert said["typed"]["id"] == "typed" and said["typed"]["version"] == "1"
    np.testing.assert_allclose(said["typed"]["score"], expected[:9], rtol=0, atol=1e-6)
    assert said["entity"]["outputs"][:2] == ["score", "band"] and "log_index" in said["entity"]["parameters"]
    assert {"fall_risk", "subsidy_triage"} <= set(said["ready_models"])
    assert said["unknown"] == "NOT_FOUND"
    assert said["states"] == ["READY", "UNAVAILABLE", "READY"]


@pytest.mark.parametrize("words", [
    ["-b", "1", "--concurrency-range", "1"],
    ["-b", "8", "--concurrency-range", "2"],
    ["-b", "1", "--concurrency-range", "2", "--async", "--streaming"],
    ["-b", "1", "--request-rate-range", "100", "--request-distribution", "poisson"],
    ["-b", "1", "--concurrency-range", "2", "--shared-memory", "system"],
    ["-b", "8", "--concurrency-range", "4", "--async", "--streaming", "--shared-memory", "system"],
], ids=["one row", "eight rows", "stream", "open loop", "shared memory", "shared memory in a stream"])
def test_perf_analyzer(cluster, district, tmp_path, words):
    program = PERF_ANALYZER / "bin/perf_analyzer"
    if not program.exists():
        pytest.skip("perf_analyzer is not there or does not start here: deploy/python/perf_analyzer says why")
    data = tmp_path / "rows.json"
    row = [float(n) for n in range(16)]
    data.write_text(json.dumps({"data": [{"features": {"content": row, "shape": [16]}}]}), encoding="utf-8")
    libraries = f"{PERF_ANALYZER / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    ran = subprocess.run(
        [program, "-m", "fall_risk", "-u", cluster.grpc[0], "-i", "grpc", "--input-data", data, "--request-count", "200",
         "--percentile", "99", *words],
        env=os.environ | {"LD_LIBRARY_PATH": libraries}, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Throughput:" in ran.stdout and "p99 latency:" in ran.stdout, ran.stdout
    assert "error" not in ran.stderr.lower() and "unable" not in ran.stderr.lower(), ran.stderr
