"""MLServer's stubs, in a process of its own: their protocol classes and tritonclient's are of one name.

usage: mlserver_stubs.py ADDRESS   with {"rows": [[..]], "resident": "..", "own_model": ".."} on standard input; prints JSON
"""

import json
import sys

import grpc
from mlserver.codecs import NumpyCodec
from mlserver.grpc import dataplane_pb2 as messages
from mlserver.grpc import model_repository_pb2 as repository
from mlserver.grpc.converters import ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.grpc.model_repository_pb2_grpc import ModelRepositoryServiceStub

WITHIN_S = 10


def request(rows, name="fall_risk", **settings):
    made = messages.ModelInferRequest(model_name=name, **settings)
    tensor = made.inputs.add(name="features", datatype="FP32", shape=[len(rows), len(rows[0])])
    tensor.contents.fp32_contents.extend(each for row in rows for each in row)
    return made


def ask(stub, rows, resident):
    said = {
        "live": stub.ServerLive(messages.ServerLiveRequest(), timeout=WITHIN_S).live,
        "ready": stub.ServerReady(messages.ServerReadyRequest(), timeout=WITHIN_S).ready,
        "model_ready": stub.ModelReady(messages.ModelReadyRequest(name="fall_risk"), timeout=WITHIN_S).ready,
        "server": stub.ServerMetadata(messages.ServerMetadataRequest(), timeout=WITHIN_S).name,
    }
    metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name="fall_risk"), timeout=WITHIN_S)
    said["inputs"] = [[each.name, each.datatype, list(each.shape)] for each in metadata.inputs]
    answer = stub.ModelInfer(request(rows, id="typed"), timeout=WITHIN_S)
    # As MLServer's own parts read an answer.
    read = ModelInferResponseConverter.to_types(answer)
    score = next(each for each in read.outputs if each.name == "score")
    said["typed"] = {"id": read.id, "version": read.model_version, "score": NumpyCodec.decode_output(score).ravel().tolist()}
    by_entity = messages.ModelInferRequest(model_name="fall_risk")
    by_entity.inputs.add(name="entity", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(resident.encode())
    answer = stub.ModelInfer(by_entity, timeout=WITHIN_S)
    said["entity"] = {"outputs": [each.name for each in answer.outputs], "parameters": sorted(answer.parameters)}
    index = stub.RepositoryIndex(messages.RepositoryIndexRequest(ready=True), timeout=WITHIN_S)
    said["ready_models"] = [each.name for each in index.models]
    try:
        stub.ModelInfer(request(rows, name="no_such_model"), timeout=WITHIN_S)
    except grpc.RpcError as error:
        said["unknown"] = error.code().name
    return said


def take_out_and_in(stub, model):
    """A model is unloaded and loaded again through the repository's own service."""
    def is_ready():
        listed = stub.RepositoryIndex(repository.RepositoryIndexRequest(), timeout=WITHIN_S).models
        return next(each.state for each in listed if each.name == model)

    states = [is_ready()]
    stub.RepositoryModelUnload(repository.RepositoryModelUnloadRequest(model_name=model), timeout=WITHIN_S)
    states.append(is_ready())
    stub.RepositoryModelLoad(repository.RepositoryModelLoadRequest(model_name=model), timeout=3 * WITHIN_S)
    return [*states, is_ready()]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with grpc.insecure_channel(sys.argv[1]) as channel:
        said = ask(GRPCInferenceServiceStub(channel), asked["rows"], asked["resident"])
        said["states"] = take_out_and_in(ModelRepositoryServiceStub(channel), asked["own_model"])
        print(json.dumps(said))
