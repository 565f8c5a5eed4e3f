"""Checks a model with the format's own checker and runs it: raw float32 images
[N,3,S,S] on standard input, the outputs in the order of their names on standard
output.

    pip install onnx onnxruntime numpy
    python run.py model.onnx < images > outputs
"""

import sys

import numpy
import onnx
import onnxruntime

model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
assert given.name == "input" and given.type == "tensor(float)", given
images = numpy.frombuffer(sys.stdin.buffer.read(), numpy.float32).reshape(-1, *given.shape[1:])
for name in sorted(output.name for output in session.get_outputs()):
    (values,) = session.run([name], {"input": images})
    sys.stdout.buffer.write(values.astype(numpy.float32).tobytes())
