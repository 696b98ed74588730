"""Feast itself, in a process of its own: its FeatureStore with the remote online store, and its gRPC stubs.

usage: feast_client.py GRPC   with {"http": "host:port", "residents": [".."]} on standard input; prints JSON
"""

import json
import sys
import tempfile
from pathlib import Path

import grpc
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.serving import GrpcServer_pb2_grpc as python_server
from feast.protos.feast.serving import ServingService_pb2 as messages
from feast.protos.feast.serving import ServingService_pb2_grpc as serving
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import Float32

WITHIN_S = 10
FEATURES = ["age", "door_n_1d", "gait_speed_mean_7d"]


def store_of(folder, http):
    source = FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
    resident = Entity(name="resident", join_keys=["resident_key"], value_type=ValueType.STRING)
    view = FeatureView(name="fall_risk", entities=[resident], online=True, source=source,
                       schema=[Field(name=name, dtype=Float32) for name in FEATURES])
    config = RepoConfig(project="hearth", provider="local", registry=str(folder / "registry.db"),
                        online_store={"type": "remote", "path": f"http://{http}"},
                        offline_store={"type": "remote", "host": "127.0.0.1", "port": 9}, entity_key_serialization_version=3)
    store = FeatureStore(config=config)
    # Only the registry is Feast's own here; there is nothing to set up in the online store.
    store.registry.apply_entity(resident, project="hearth", commit=False)
    store.registry.apply_feature_view(view, project="hearth", commit=False)
    service = FeatureService(name="fall_risk", features=[view])
    service.infer_features({view.name: view})
    store.registry.apply_feature_service(service, project="hearth", commit=True)
    return store


def columns(answer):
    """By the names that the answer gives, never by the order of the request."""
    names = list(answer.metadata.feature_names.val)
    assert len(names) == len(answer.results)
    return {
        name: [[getattr(value, value.WhichOneof("val")) if value.WhichOneof("val") else None,
                messages.FieldStatus.Name(status), time.ToMicroseconds()]
               for value, status, time in zip(each.values, each.statuses, each.event_timestamps, strict=True)]
        for name, each in zip(names, answer.results, strict=True)
    }


def refusal(call, request):
    try:
        call(request, timeout=WITHIN_S)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


def ask_grpc(address, residents):
    keys = {"resident_key": RepeatedValue(val=[Value(string_val=key) for key in residents])}
    request = messages.GetOnlineFeaturesRequest(entities=keys)
    request.features.val.extend(f"fall_risk:{name}" for name in reversed(FEATURES))
    with grpc.insecure_channel(address) as channel:
        stub = serving.ServingServiceStub(channel)
        said = {"info": stub.GetFeastServingInfo(messages.GetFeastServingInfoRequest(), timeout=WITHIN_S).version}
        answer, call = stub.GetOnlineFeatures.with_call(request, timeout=WITHIN_S)
        said["headers"] = {key: value for key, value in call.initial_metadata() if key.startswith("hearth-")}
        said["features"] = columns(answer)
        said["same"] = columns(python_server.GrpcFeatureServerStub(channel).GetOnlineFeatures(request, timeout=WITHIN_S))
        request.full_feature_names = True
        request.request_context["hearth_defaults"].val.add(bool_val=True)
        said["filled"] = columns(stub.GetOnlineFeatures(request, timeout=WITHIN_S))
        service = messages.GetOnlineFeaturesRequest(feature_service="resident_activity", entities=keys,
                                                    include_feature_view_version_metadata=True)
        whole = stub.GetOnlineFeatures(service, timeout=WITHIN_S)
        said["whole"] = sorted(whole.metadata.feature_names.val)
        said["versions"] = [[each.name, each.version] for each in whole.metadata.feature_view_metadata]
        service.feature_service = "none"
        said["unknown"] = refusal(stub.GetOnlineFeatures, service)
        del request.entities["resident_key"]
        said["no_keys"] = refusal(stub.GetOnlineFeatures, request)
    return said


def ask_store(http, residents):
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder), http)
        rows = [{"resident_key": key} for key in residents]
        by_name = store.get_online_features(features=[f"fall_risk:{name}" for name in FEATURES], entity_rows=rows)
        by_service = store.get_online_features(features=store.get_feature_service("fall_risk"), entity_rows=rows)
        return {"by_name": by_name.to_dict(), "by_service": by_service.to_dict()}


def main():
    asked = json.load(sys.stdin)
    said = ask_grpc(sys.argv[1], asked["residents"])
    said["store"] = ask_store(asked["http"], asked["residents"])
    print(json.dumps(said))


if __name__ == "__main__":
    main()
