"""What MLServer runs for the bench: the model's file by ONNX Runtime, with the features in the request, or
with the features read from Feast's online store in Redis first."""

import feast
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class ByFeatures(MLModel):
    """The rows come with the request."""

    async def load(self):
        self.session = open_session(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return self.score(await self.rows(payload))

    async def rows(self, payload):
        return NumpyCodec.decode_input(payload.inputs[0])

    def score(self, rows):
        [probabilities] = self.session.run(["probabilities"], {"features": rows})
        return InferenceResponse(
            model_name=self.name, model_version=self.version,
            outputs=[NumpyCodec.encode_output("score", probabilities[:, 1:2])])


class ByEntity(ByFeatures):
    """The request names residents; Feast's own client reads their features from Redis in this process."""

    async def load(self):
        self.store = feast.FeatureStore(self.settings.parameters.extra["feast"])
        self.names = self.settings.parameters.extra["features"]
        # Resolved once, so that no request reads the registry for it.
        self.service = self.store.get_feature_service("fall_risk")
        return await super().load()

    async def rows(self, payload):
        keys = StringCodec.decode_input(payload.inputs[0])
        read = self.store.get_online_features(self.service, [{"resident_key": key} for key in keys])
        columns = read.to_dict()
        return np.array([columns[name] for name in self.names], dtype=np.float32).T
