"""Backend `edgetpu`: a compiled file on Coral's Edge TPU, through its delegate library."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import DeviceError, MissingError, ModelError
from edgekd_bench.delegate import DelegateRequest, open_delegate
from edgekd_bench.loaded import Loaded
from edgekd_converters.edgetpu_graph import CUSTOM_OP, read_network

LIBRARY = "libedgetpu.so.1"
ACCELERATOR = "edgetpu"
HOW_TO_GET = (
    f"{LIBRARY} is not installed: get Coral's runtime (apt install libedgetpu1-std from "
    "packages.cloud.google.com/apt coral-edgetpu-stable, or a build from "
    "github.com/feranick/libedgetpu) and plug in an Edge TPU"
)


def open_edgetpu(path: Path, threads: int) -> Loaded:
    """`path`, a file made by edgetpu_compiler, on the first Edge TPU.

    Raises:
        ModelError: the file is missing, no .tflite file, or not compiled for the Edge TPU.
        DeviceError: the library is not installed, or no Edge TPU answers.
    """
    check_compiled(path)
    request = DelegateRequest(library=LIBRARY, options={})
    try:
        return open_delegate(path, threads, request, accelerator=ACCELERATOR)
    except ModelError:
        raise
    except MissingError as error:
        raise DeviceError(HOW_TO_GET) from error


def check_compiled(path: Path) -> None:
    """Nothing, when `path` holds something compiled for the Edge TPU.

    Raises:
        ModelError: the file is missing, damaged, or not compiled.
    """
    operators = [node.operator for node in read_network(path).nodes]
    if CUSTOM_OP not in operators:
        raise ModelError(
            f"{path}: not compiled for the Edge TPU: none of its {len(operators)} operators is "
            f"{CUSTOM_OP}; compile it with edgetpu_compiler and measure the *_edgetpu.tflite file"
        )
