"""The service does what its OpenAPI description says, tried from outside by schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serve_client import model_in, running


def tried(folder: Path, port: int, examples: int) -> subprocess.CompletedProcess[str]:
    """What schemathesis finds with `examples` requests per operation beside those made of its rules.

    All its checks but one: it takes any bytes for a good picture, which has to be refused.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json"]
    options = {
        "--checks": "all",
        "--exclude-checks": "positive_data_acceptance",
        "--phases": "coverage,fuzzing",
        "--max-examples": str(examples),
        "--seed": "8",
        "--generation-database": "none",
        "--suppress-health-check": "all",
    }
    words = [word for pair in options.items() for word in pair]
    return subprocess.run(
        [*command, *words, "--no-color"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("examples", [5, pytest.param(300, marks=pytest.mark.slow)])
def test_schemathesis_finds_nothing(tmp_path, examples) -> None:
    with running(model_in(tmp_path), tmp_path / "log", "--workers", "1") as service:
        found = tried(tmp_path, service.port, examples)
        assert found.returncode == 0, found.stdout[-4000:]
        assert "5 selected / 5 total" in found.stdout
        assert service.metric('edgekd_requests_total{route="/api/predict",status="200"}') > 0
        assert service.metric('edgekd_requests_total{route="/api/predict",status="5') == 0
        described = json.loads(service.ask("GET", "/openapi.json")[2])["paths"]
    assert set(described) == {"/api/predict", "/api/card", "/healthz", "/readyz", "/metrics"}
