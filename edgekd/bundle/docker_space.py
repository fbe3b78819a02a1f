"""`write_docker_space`: a folder that Hugging Face Spaces builds into the REST service, around a bundle.

README.md     its front matter says `sdk: docker`
Dockerfile    installs edgekd[serve] and serves bundle/; it is written here, not built
bundle/       a bundle with model.tflite, as it is
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from edgekd.bundle.check import open_bundle
from edgekd.bundle.web_bundle import filled, front_matter, own_text
from edgekd.errors import UsageError, storage_errors
from edgekd.plain import write_text

BUNDLE = "bundle"


def write_docker_space(folder: Path) -> None:
    """Write README.md and Dockerfile beside the bundle `folder`/bundle.

    Raises:
        ContractError: there is no whole bundle.
        UsageError: its model is no .tflite file, which is what the service runs.
        StorageError: `folder` cannot be written.
    """
    bundle = open_bundle(folder / BUNDLE)
    if bundle.model.suffix != ".tflite":
        raise UsageError(
            f"{folder / BUNDLE}: a bundle for {bundle.manifest.platform}; the service runs .tflite"
        )
    facts = {
        "name": bundle.card.name,
        "intended_use": bundle.card.intended_use,
        "version": version("edgekd"),
    }
    with storage_errors(folder):
        guide = front_matter("docker.yaml") + filled(own_text("space/docker.md"), facts)
        write_text(folder / "README.md", guide)
        write_text(folder / "Dockerfile", filled(own_text("space/Dockerfile"), facts))
