"""The model that comes with edgekd, to try things out: an int8 student that saw CC-0 pictures only.

`MODEL` is the file as it was exported; beside it lies what verification wrote about it (README.md says how
both were made). A research tool, not a medical device.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MODEL = FOLDER / "model.tflite"
LICENCE = FOLDER / "LICENSE"
