"""The app's screens on a desktop JVM, the network really running: `python android_demo/ci/robolectric.py`.

Robolectric gives Android 15's own classes with their real graphics; the engine is LiteRT's library from
the Python wheel, through core's JVM engine. Without --bundle a small one is made on the spot, and two of
models that take a person in any case; pictures of the screens and the benchmark records go to --out. Needs
the project's environment, a JDK 17, Debian's aapt and android-framework-res, and Maven Central once (390 MB
in the cache; the two files of androidx.test come from Google's Maven repository where Central has them not).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import apk_build
import build

TESTS = apk_build.HERE / "robolectric_tests"
DESKTOP = apk_build.HERE / "jvm" / "main"
_PROPERTIES = """\
sdk=35
graphicsMode=NATIVE
application={package}.TestApp
qualifiers=w411dp-h891dp-xhdpi
"""
_CONFIG = """\
android_custom_package={package}
android_merged_manifest={manifest}
android_merged_assets={assets}
android_resource_apk={resources}
"""
# Robolectric opens these; reflection into the JDK would be refused otherwise.
_OPEN = ("java.base/java.lang", "java.base/java.util", "java.base/java.io", "java.base/java.net")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, run, read the records with Python; 0 when all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, help="made by edgekd bundle --android; else a small one is made"
    )
    parser.add_argument("--out", type=Path, help="where pictures and records go; else they are not kept")
    parser.add_argument("--only", nargs="+", help="names of test classes", metavar="CLASS")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            work = Path(folder)
            out = asked.out or work / "out"
            out.mkdir(parents=True, exist_ok=True)
            return _test(work, asked.bundle or apk_build.small_bundle(work), out, asked.only or _classes())
    except (build.BuildError, OSError) as error:
        sys.stderr.write(f"android_demo/ci: {error}\n")
        return 4


def _classes() -> list[str]:
    return sorted(file.stem for file in TESTS.glob("*Test.kt"))


def _test(work: Path, bundle: Path, out: Path, classes: Sequence[str]) -> int:
    assets = apk_build.assets_of(bundle, work)
    apk_build.person_bundles(assets / "persons")
    app = apk_build.build_app(work, assets)
    libraries = _libraries()
    sources = [TESTS, DESKTOP]
    desktop = [apk_build.kotlin_jars()[name] for name in build.TESTING]
    tests = apk_build.kotlin(
        "app_tests",
        sources,
        [*app.classes, *app.libraries, *libraries, *desktop, app.android],
        friends=app.classes[:1],
    )
    _write_settings(work, app, assets)
    class_path = [work / "settings", tests, *app.classes, *app.libraries, *libraries, *desktop, app.android]
    done = subprocess.run(
        [*_command(work, app.android, out), "-cp", apk_build.joined(class_path), "org.junit.runner.JUnitCore"]
        + [f"{apk_build.PACKAGE}.{name}" for name in classes],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return _told(done, out, len(classes) == len(_classes()))


def _libraries() -> list[Path]:
    return list(apk_build.fetch(apk_build.HERE / "robolectric.lock").values())


def _write_settings(work: Path, app: apk_build.Built, assets: Path) -> None:
    config = work / "settings" / "com" / "android" / "tools" / "test_config.properties"
    config.parent.mkdir(parents=True)
    filled = {
        "package": apk_build.PACKAGE,
        "manifest": app.manifest,
        "assets": assets,
        "resources": app.resources,
    }
    config.write_text(_CONFIG.format(**filled), encoding="utf-8")
    (work / "settings" / "robolectric.properties").write_text(_PROPERTIES.format(**filled), encoding="utf-8")


def _command(work: Path, android: Path, out: Path) -> list[str]:
    """Java with what the tests ask for; Android's classes lie where Robolectric looks when it is offline."""
    offline = work / "android"
    offline.mkdir()
    (offline / android.name).symlink_to(android)
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or not spec.submodule_search_locations:
        raise build.BuildError("ai-edge-litert is needed: run this with the project's own environment")
    properties = {
        "robolectric.offline": "true",
        "robolectric.dependency.dir": str(offline),
        "robolectric.usePreinstrumentedJars": "false",
        "robolectric.logging": "stdout",
        "java.io.tmpdir": str(work),
        "edgekd.pictures": str(out),
        "edgekd.litert.library": str(Path(spec.submodule_search_locations[0]) / "libLiteRt.so"),
        "edgekd.litert.version": importlib.metadata.version("ai-edge-litert"),
    }
    opened = [f"--add-opens={module}=ALL-UNNAMED" for module in _OPEN]
    limits = ["-Xmx1500m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [apk_build.java(), *limits, *opened, *(f"-D{name}={value}" for name, value in properties.items())]


def _told(done: subprocess.CompletedProcess[str], out: Path, everything: bool) -> int:
    failed = re.search(r"Tests run: (\d+),  Failures: (\d+)", done.stdout)
    passed = re.search(r"OK \((\d+) tests?\)", done.stdout)
    if passed is None:
        sys.stdout.write(_short(done.stdout) + done.stderr[-4000:])
    count, bad = (int(passed[1]), 0) if passed else (int(failed[1]), int(failed[2])) if failed else (1, 1)
    if passed and everything:
        _read_records(out)
    sys.stdout.write(f"{count - bad} passed, {bad} failed\n")
    return 0 if passed and done.returncode == 0 else 3


def _short(output: str) -> str:
    """JUnit's output without the frames of Robolectric and JUnit themselves."""
    noise = re.compile(r"\s+at (?!org\.edgekd).*\n|\s+\.\.\. \d+ (more|trimmed)\n")
    return noise.sub("\n", output)[-20_000:]


def _read_records(out: Path) -> None:
    """Whether Python's own reader, `edgekd compare` and `edgekd leaderboard` take what the app wrote.

    Raises:
        BuildError: the leaderboard leaves one out.
    """
    from edgekd_bench.compare import compare_latency
    from edgekd_bench.leaderboard import read_board
    from edgekd_bench.record import read_bench

    records = {name: read_bench(out / f"{name}.json") for name in ("record", "emulated", "no-gpu")}
    for name, record in records.items():
        sys.stdout.write(f"{name}.json: {record.status}, {record.timed_ms or record.reason}\n")
    compared = compare_latency(records["record"], records["record"])
    ranked = [entry.record for entry in read_board(out)]
    if any(record not in ranked for record in records.values()):
        raise build.BuildError("the leaderboard leaves out a record of the app")
    sys.stdout.write(f"compared with itself: {compared.finding}; {len(ranked)} on the leaderboard\n")


if __name__ == "__main__":
    sys.exit(main())
