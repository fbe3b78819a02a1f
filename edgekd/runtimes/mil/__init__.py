"""ML Programs (.mlpackage) read and evaluated from the saved files, without Core ML, protobuf or TensorFlow.

`Package` opens a folder of unknown origin, `read_specification` decodes its model file and `Evaluator`
computes its operations in NumPy.
"""

from __future__ import annotations
