"""From a student to files a phone runs, and the proof of what each file lost.

`export` and `verify` are the stations; `export_file` converts one Keras model, `inspect_tflite` describes
any .tflite file, `embed_card` and `read_card` write and read the card inside it.
"""

from __future__ import annotations
