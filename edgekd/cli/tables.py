"""What the verbs print of a run: the states of its stations, and the table of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd import console
from edgekd.pipeline import Station
from edgekd.plain import read_json
from edgekd.runs import Finding, Run

_MEGABYTE = 1e6


def show_states(states: Mapping[Station, Finding], stations: Sequence[Station], *, as_json: bool) -> None:
    """Print station, state and reason."""
    if as_json:
        console.emit_json({s.value: {"state": states[s].state, "reason": states[s].reason} for s in stations})
        return
    rows = [(station.value, states[station].state.value, states[station].reason) for station in stations]
    console.emit_table("", ("station", "state", "why"), rows)


def show_result(run: Run, records: Mapping[Station, Mapping[str, Any]], *, as_json: bool) -> None:
    """Print what was made: the table of files when there is one, else the metrics of the last station."""
    last = list(records)[-1]
    report = run.folder("report") / "index.html" if last is Station.REPORT else None
    files = artefacts(run) if last in (Station.VERIFY, Station.BENCH, Station.REPORT) else []
    if as_json:
        metrics = {station.value: record["metrics"] for station, record in records.items()}
        console.emit_json({"run": str(run.root), "metrics": metrics, "files": files, "report": _text(report)})
        return
    if files:
        _emit_files(run, files)
    else:
        metrics = records[last]["metrics"]
        console.emit_table(last.value, ("metric", "value"), [(k, f"{v:.4g}") for k, v in metrics.items()])
    if report:
        console.emit_text(f"report: {report}")


def artefacts(run: Run) -> list[dict[str, Any]]:
    """One entry per verified file: its size, evaluation, verdict and benchmarks, as read from the records."""
    from edgekd.config import Precision
    from edgekd_converters.artefacts import artefact_file
    from edgekd_converters.export import size_bytes

    entries = []
    for folder in sorted(path for path in run.folder("verify").iterdir() if path.is_dir()):
        entries.append(
            {
                "precision": folder.name,
                "size_bytes": size_bytes(artefact_file(run.folder("export"), Precision(folder.name))),
                "evaluation": read_json(folder / "evaluation.json"),
                "verdict": read_json(folder / "verdict.json"),
                "bench": [
                    read_json(path) for path in sorted(run.folder("bench").glob(f"{folder.name}@*.json"))
                ],
            }
        )
    return sorted(entries, key=lambda entry: -int(entry["size_bytes"]))


def _emit_files(run: Run, files: Sequence[Mapping[str, Any]]) -> None:
    first = files[0]["evaluation"]
    engine = first["engine"]
    title = (
        f"{run.root}: test split, n = {first['n']}, {first['n_positive']} malignant; 95 % intervals; "
        f"{engine['name']} {engine['version']} ({engine['kernels']}); latency p50 in ms by threads"
    )
    columns = (
        "file",
        "MB",
        "AUC",
        "sensitivity",
        "specificity",
        "change of sensitivity",
        "verdict",
        "latency",
    )
    console.emit_table(title, columns, [_row(entry) for entry in files])


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    evaluation, verdict = entry["evaluation"], entry["verdict"]
    return (
        entry["precision"],
        f"{entry['size_bytes'] / _MEGABYTE:.2f}",
        estimate(evaluation["auc"]),
        estimate(evaluation["sensitivity"]),
        estimate(evaluation["specificity"]),
        estimate(verdict["sensitivity_difference"], signed=True),
        verdict["verdict"],
        _latency(entry["bench"]),
    )


def estimate(value: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """An estimate with its interval: `0.901 [0.85, 0.94]`."""
    if value is None or value["value"] is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.2f}, {value['high']:{sign}.2f}]"


def _latency(records: Sequence[Mapping[str, Any]]) -> str:
    cells = []
    for record in records:
        timed = record["latency_ms"] or record.get("tool_ms")
        untimed = "correctness only" if record["status"] == "ok" else record["status"]
        cells.append(f"{record['threads']}: {timed['p50']:.2f}" if timed else untimed)
    return "  ".join(cells) or "–"


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
