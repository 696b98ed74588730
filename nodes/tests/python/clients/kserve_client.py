"""KServe's own client, in a process of its own: its protocol classes and tritonclient's are of one name.

usage: kserve_client.py ADDRESS   with {"rows": [[..]], "resident": ".."} on standard input; prints JSON
"""

import asyncio
import json
import sys

import grpc
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient


async def ask(address, rows, resident):
    said = {}
    async with InferenceGRPCClient(address) as client:
        said["live"] = await client.is_server_live()
        said["ready"] = await client.is_server_ready()
        said["model_ready"] = [await client.is_model_ready(name) for name in ("fall_risk", "no_such_model")]

        raw = InferInput("features", [len(rows), len(rows[0])], "FP32")
        raw.set_data_from_numpy(np.array(rows, dtype=np.float32), binary_data=True)
        typed = InferInput("features", [len(rows), len(rows[0])], "FP32", data=[each for row in rows for each in row])
        entity = InferInput("entity", [1, 1], "BYTES", data=[resident.encode()])
        for name, tensor in (("raw", raw), ("typed", typed), ("entity", entity)):
            answer = await client.infer(InferRequest("fall_risk", [tensor], request_id=name))
            outputs = {output.name: output for output in answer.outputs}
            said[name] = {
                "id": answer.id,
                "version": answer.model_version,
                "score": outputs["score"].as_numpy().ravel().astype(float).tolist(),
                "shape": list(outputs["score"].shape),
                "parameters": sorted(answer.parameters or {}),
            }
        for name, model, width in (("unknown", "no_such_model", 16), ("narrow", "fall_risk", 3)):
            tensor = InferInput("features", [1, width], "FP32", data=[0.0] * width)
            try:
                await client.infer(InferRequest(model, [tensor]))
            except grpc.RpcError as error:
                said[name] = error.code().name
    return said


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(asyncio.run(ask(sys.argv[1], asked["rows"], asked["resident"]))))
