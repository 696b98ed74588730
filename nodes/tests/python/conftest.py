"""A three-node cluster with a small loaded district, once for all tests; addresses come as fixtures."""

import json
import os
import queue
import random
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_flightsql.dbapi as flightsql
import grpc
import pyarrow.parquet as parquet
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2_grpc

REPOSITORY = Path(__file__).resolve().parents[3]
HEARTH = Path(os.environ.get("HEARTH_BIN", REPOSITORY / "target/debug/hearth")).resolve()
NODES = 3
PORTS_PER_NODE = 10
PEOPLE, DAYS, SEED = 300, 1, 7
READY_WITHIN_S = 60
STOP_WITHIN_S = 30
COMMAND_WITHIN_S = 60


@dataclass(frozen=True)
class Cluster:
    """What the ready line of `hearth dev` says."""

    leader: int
    nodes: list

    @property
    def grpc(self):
        return [node["grpc"] for node in self.nodes]

    @property
    def flight(self):
        return [node["flight"] for node in self.nodes]

    @property
    def http(self):
        return [node["http"] for node in self.nodes]


class Dev:
    """`hearth dev` as a child; ended by its own process id."""

    def __init__(self, folder, *words, nodes=NODES):
        self.base_port = free_base_port(nodes)
        self.process = subprocess.Popen(
            [HEARTH, "dev", "--nodes", str(nodes), "--dir", folder, "--base-port", str(self.base_port), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self):
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=READY_WITHIN_S)
        except queue.Empty:
            self.stop()
            pytest.fail(f"hearth dev said nothing within {READY_WITHIN_S} s")
        if not line:
            pytest.fail(f"hearth dev ended: {self.process.communicate(timeout=STOP_WITHIN_S)[1]}")
        told = json.loads(line)
        assert told["ready"] is True
        return Cluster(told["leader"], told["nodes"])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_WITHIN_S)
        return self.process.returncode


def free_base_port(nodes):
    """A base below the ephemeral ports where nobody listens on any port of any node."""
    for base in random.sample(range(20_000, 32_000, 40), 100):
        ports = [base + PORTS_PER_NODE * node + port for node in range(nodes) for port in range(4)]
        if all(is_free(port) for port in ports):
            return base
    raise RuntimeError("no free ports between 20000 and 32000")


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def hearth(*words, address=None, within_s=COMMAND_WITHIN_S, **settings):
    """Runs the program to its end; standard input is empty and nothing is a terminal."""
    environment = dict(os.environ)
    environment.pop("HEARTH_ADDR", None)
    if address is not None:
        environment["HEARTH_ADDR"] = address
    return subprocess.run(
        [HEARTH, *map(str, words)], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, encoding="utf-8", timeout=within_s, check=False, **settings)


@dataclass(frozen=True)
class District:
    """A simulated district on disk, and how many rows each table had right after it was loaded."""

    folder: Path
    loaded: dict
    said: str

    def table(self, name):
        return parquet.read_table(self.folder / "tables" / f"{name}.parquet")

    @property
    def tables(self):
        return sorted(path.stem for path in (self.folder / "tables").glob("*.parquet"))

    def events(self):
        for day in sorted((self.folder / "events").glob("*.ndjson")):
            with day.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("cluster"))
    try:
        yield dev.ready()
    finally:
        ended = dev.stop()
    assert ended == 0, f"hearth dev ended with {ended}"


@pytest.fixture(scope="session")
def address(cluster):
    return ",".join(cluster.grpc)


@pytest.fixture(scope="session")
def district(tmp_path_factory, cluster, address):
    folder = tmp_path_factory.mktemp("district") / "d"
    made = hearth("simulate", "--people", PEOPLE, "--days", DAYS, "--seed", SEED, "--out", folder)
    assert made.returncode == 0, made.stderr
    loaded = hearth("load", folder, address=address)
    assert loaded.returncode == 0, loaded.stderr
    names = [path.stem for path in (folder / "tables").glob("*.parquet")] + ["sensor_event"]
    counts = {}
    for flight in cluster.flight:
        with connect(flight) as connection, connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"SELECT count(*) FROM {name}")
                counts[flight, name] = cursor.fetchone()[0]
    return District(folder, counts, loaded.stdout)


def connect(flight, headers=None, **settings):
    """ADBC, signed in as an analyst would be."""
    options = {"username": "analyst", "password": "any"}
    for name, value in (headers or {}).items():
        options[f"adbc.flight.sql.rpc.call_header.{name}"] = str(value)
    return flightsql.connect(f"grpc://{flight}", db_kwargs=options, **{"autocommit": True, **settings})


@pytest.fixture
def run(address):
    """The command line, told where the cluster is."""
    return lambda *words, **settings: hearth(*words, **{"address": address, **settings})


@pytest.fixture(scope="session")
def fixtures():
    return REPOSITORY / "models/tests/fixtures"


@pytest.fixture(scope="session")
def zoo():
    return REPOSITORY / "models/zoo"


@pytest.fixture(scope="session")
def client(cluster, district):
    with triton.InferenceServerClient(cluster.grpc[0]) as client:
        yield client


@pytest.fixture(scope="session")
def stub(cluster, district):
    with grpc.insecure_channel(cluster.grpc[0]) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="session")
def residents(district):
    return district.table("resident")["resident_key"].to_pylist()
