"""A signed APK without Gradle, and what it must be: `python android_demo/ci/apk.py --out app.apk`.

It is the flavour `interpreter`: the app with TensorFlow Lite 2.16.1 (CPU), shrunk and translated by R8.
It can be installed on a phone; no phone was there to try. The flavour `litert` cannot be packed here
(its library comes from Google's servers only); its sources are checked against the signatures in
apk_stubs. Without --bundle a small one is made on the spot. Needs the project's environment, a JDK 17,
Debian's aapt, android-framework-res, zipalign, apksigner and dexdump, and Maven Central once (210 MB in
the cache; R8 comes from Google's Maven repository where Central has it not).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import apk_build
import build
from apk_build import run, tool
from apk_check import ALIGNMENT, check

ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
# A key for trying things out; whoever publishes the app signs it with their own.
_KEY = ("-alias", "try", "-storepass", "edgekd", "-keypass", "edgekd", "-storetype", "PKCS12")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, check, say what was found; 0 when all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, help="made by edgekd bundle --android; else a small one is made"
    )
    parser.add_argument("--out", type=Path, help="where the APK goes; else it is not kept")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            work = Path(folder)
            app = apk_build.build_app(
                work, apk_build.assets_of(asked.bundle or apk_build.small_bundle(work), work)
            )
            check_litert(app)
            apk = _packed(work, app)
            found, wrong = check(apk, work)
            if asked.out:
                shutil.copyfile(apk, asked.out)
    except (build.BuildError, OSError) as error:
        sys.stderr.write(f"android_demo/ci: {error}\n")
        return 4
    for line in (*found, *(f"FAILED: {line}" for line in wrong)):
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{len(found)} passed, {len(wrong)} failed\n")
    return 3 if wrong else 0


def check_litert(app: apk_build.Built) -> None:
    """Nothing, when the sources of the flavour `litert` fit the rest and the signatures of its library.

    Raises:
        BuildError: they do not compile.
    """
    sources = [apk_build.APP / "src" / "litert" / "kotlin", apk_build.HERE / "apk_stubs"]
    apk_build.kotlin("litert", sources, [*app.classes, app.android], friends=app.classes[:1])


def _packed(work: Path, app: apk_build.Built) -> Path:
    dex = _dex(app, work)
    content, aligned, signed = work / "content.apk", work / "aligned.apk", work / "app.apk"
    shutil.copyfile(app.resources, content)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(dex.glob("*.dex")):
            archive.write(file, file.name)
        _add_engine(archive)
    run(tool("zipalign"), "-f", str(ALIGNMENT), content, aligned)
    run(tool("apksigner"), "sign", "--ks", _key(), "--ks-pass", "pass:edgekd", "--out", signed, aligned)
    return signed


def _dex(app: apk_build.Built, work: Path) -> Path:
    """The folder of Dalvik's bytecode: shrunk, nothing renamed."""
    r8 = apk_build.fetch(apk_build.HERE / "apk.lock")["com.android.tools:r8"]
    out = work / "dex"
    out.mkdir()
    rules = [app.rules, apk_build.APP / "proguard-rules.pro"]
    # Android's classes without Java's own, which any JDK has, and Kotlin's annotations: seen, not packed.
    seen = [app.android, apk_build.java_home(), apk_build.kotlin_jars()["annotations"]]
    run(
        *(
            apk_build.java(),
            "-Xmx1500m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            r8,
            "com.android.tools.r8.R8",
            "--release",
        ),
        *("--min-api", apk_build.catalogue()["minSdk"], "--output", out),
        *(part for library in seen for part in ("--lib", library)),
        *(part for rule in rules for part in ("--pg-conf", rule)),
        *app.classes,
        *app.libraries,
    )
    return out


def _add_engine(archive: zipfile.ZipFile) -> None:
    """The engine's native libraries and licence, as a build of Gradle would pack them."""
    with zipfile.ZipFile(apk_build.archive_of("org.tensorflow:tensorflow-lite")) as library:
        for abi in ABIS:
            (name,) = (
                one for one in library.namelist() if one.startswith(f"jni/{abi}/") and one.endswith(".so")
            )
            archive.writestr(f"lib/{abi}/{Path(name).name}", library.read(name))


def _key() -> Path:
    """The key store for trying things out, made once."""
    store = build.cache() / "android" / "try.p12"
    if not store.is_file():
        store.parent.mkdir(parents=True, exist_ok=True)
        part = store.with_suffix(".part")
        part.unlink(missing_ok=True)
        name = ("-dname", "CN=edgekd trial key", "-validity", "10000")
        run(
            tool("keytool"),
            "-genkeypair",
            "-keystore",
            part,
            *_KEY,
            "-keyalg",
            "RSA",
            "-keysize",
            "2048",
            *name,
        )
        part.rename(store)
    return store


if __name__ == "__main__":
    sys.exit(main())
