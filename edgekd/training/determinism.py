"""The same seed gives the same bytes: TensorFlow's switches, dropout by epoch, model files without dates.

The promise holds for one version of TensorFlow on one kind of processor with one number of threads; its
CPU kernels add in another order elsewhere.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from edgekd import lazy
from edgekd.errors import storage_errors
from edgekd.models.catalogue import leaves
from edgekd.plain import digest

tf = lazy.tensorflow()
keras = lazy.keras()

_DATE = (1980, 1, 1, 0, 0, 0)
_METADATA = "metadata.json"


def begin(seed: int) -> None:
    """Forget earlier models and make what follows a function of `seed`; call it before building a model.

    Process-wide: deterministic kernels (3 % slower on a CPU), TensorFlow's seed, and dropout that draws
    from generators of its own instead of from counters hidden in compiled functions.
    """
    keras.backend.clear_session()
    keras.backend.experimental.enable_tf_random_generator()
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(seed)


def reseed_dropout(model: Any, *, seed: int, epoch: int) -> None:
    """Make the dropout masks of the coming epoch a function of (seed, epoch, layer), whatever came before.

    That is what lets an interrupted training go on exactly: no generator's state has to be stored.
    """
    generators = [layer._random_generator for layer in leaves(model) if hasattr(layer, "_random_generator")]
    for number, random in enumerate(generators):
        random._generator.reset_from_seed(int(digest([seed, epoch, number])[:15], 16))


def save_model(model: Any, path: Path) -> None:
    """Write the Keras `model` to `path` (.keras), whole or not at all; the same model gives the same bytes.

    Keras' own file holds the time of day twice, in metadata.json and in the archive: both are left out.
    """
    part = path.with_name(f".{path.stem}.part.keras")
    with storage_errors(path.parent):
        model.save(part)
        part.write_bytes(_without_dates(part))
        part.replace(path)


def _without_dates(path: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in sorted(source.namelist()):
            data = b"{}" if name == _METADATA else source.read(name)
            target.writestr(zipfile.ZipInfo(name, _DATE), data)
    return out.getvalue()
