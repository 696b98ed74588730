"""Writes ONNX files that mean harm. Run: python make.py (models/zoo/requirements.txt)."""

from pathlib import Path

from onnx import TensorProto, checker, helper

HERE = Path(__file__).parent


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name, values, kind=TensorProto.INT64):
    return helper.make_tensor(name, kind, [len(values)], values)


def write(name, nodes, constants=(), inputs=None):
    graph = helper.make_graph(
        nodes, "g", inputs or [value("X", [None, 3])], [value("Y", [None, 1])], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    (HERE / name).write_bytes(model.SerializeToString())


def mean(of):
    """One number a row, plus something that has nothing to do with it."""
    return [helper.make_node("ReduceMax", [of], ["max"], keepdims=0),
            helper.make_node("ReduceMean", ["X"], ["mean"], axes=[1]),
            helper.make_node("Add", ["mean", "max"], ["Y"])]


def loop():
    """Runs for as long as its first value says."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "step"], ["next"])], "body",
        [value("turn", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("sum", [])],
        [value("go_on", [], TensorProto.BOOL), value("next", [])],
        [helper.make_tensor("step", TensorProto.FLOAT, [], [1e-9])])
    return [helper.make_node("ReduceMax", ["X"], ["most"], keepdims=0),
            helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
            helper.make_node("Loop", ["turns", "", "most"], ["sum"], body=body),
            helper.make_node("ReduceMean", ["X"], ["mean"], axes=[1]),
            helper.make_node("Add", ["mean", "sum"], ["Y"])]


def main():
    write("loop.onnx", loop())
    # Another answer on every node.
    write("random.onnx", [
        helper.make_node("RandomUniformLike", ["X"], ["noise"]),
        helper.make_node("ReduceMean", ["noise"], ["Y"], axes=[1])])
    # 3.2 GB out of a file of a few hundred bytes.
    write("giant.onnx", [helper.make_node("ConstantOfShape", ["shape"], ["giant"]), *mean("giant")],
          [tensor("shape", [800_000_000])])
    # As much memory as the request says.
    write("count.onnx", [
        helper.make_node("ConstantOfShape", ["n"], ["many"]), *mean("many")],
        inputs=[value("X", [None, 3]), value("n", [1], TensorProto.INT64)])
    # Matrices that are multiplied for minutes while the file is loaded.
    chain = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    chain += [helper.make_node("MatMul", [f"m{at}", "m0"], [f"m{at + 1}"]) for at in range(400)]
    write("slow.onnx", [*chain, *mean("m400")], [tensor("shape", [2_048, 2_048])])
    # The least number divided by -1, which the processor answers with a signal.
    write("crash.onnx", [
        helper.make_node("Div", ["least", "minus_one"], ["q"]),
        helper.make_node("Cast", ["q"], ["whole"], to=TensorProto.FLOAT), *mean("whole")],
        [tensor("least", [-(2**31)], TensorProto.INT32), tensor("minus_one", [-1], TensorProto.INT32)])


if __name__ == "__main__":
    main()
