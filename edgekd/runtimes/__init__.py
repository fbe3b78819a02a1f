"""One way to ask any engine for logits: the Protocol `Runtime` and one file per engine.

`LitertRuntime` runs .tflite files, `KerasRuntime` Keras models; `predict` feeds them a whole split and
`probe` opens a file of unknown origin in a process of its own first.
"""

from __future__ import annotations
