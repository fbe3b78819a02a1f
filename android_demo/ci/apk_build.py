"""What apk.py and robolectric.py share: the app's libraries, resources and classes, without Gradle.

Gradle, the SDK and LiteRT for Android come from Google's servers only. What stands in for them: `aapt2`
and the framework's resources are Debian's, Android 15's classes are those that Robolectric publishes,
and the engine is TensorFlow Lite 2.16.1 (the flavour `interpreter`). Versions are read from the app's
own version catalogue, so that nothing is written twice.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
APP = ROOT / "app"
PACKAGE = "org.edgekd.app"
FLAVOUR = "interpreter"
APPLICATION_ID = f"{PACKAGE}.{FLAVOUR}"
VERSION = "0.1.0"
# Debian's framework resources are of Android 10: what is newer may not be used in layouts and styles.
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
DEBIAN = {
    "aapt2": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
    "dexdump": "dexdump",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
}
# Some of these files are on one of the two only.
REPOSITORIES = (build.REPOSITORY, "https://dl.google.com/android/maven2")
_SMALL_PX = 64
_FLAGS = ("-Xlambdas=class", "-Xsam-conversions=class", "-Xstring-concat=inline")


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was built: `classes` of core, app and everything generated, `libraries` they run with.

    `resources` is the archive of compiled resources, `manifest` the text behind it, `rules` what R8 keeps.
    """

    classes: tuple[Path, ...]
    libraries: tuple[Path, ...]
    android: Path
    resources: Path
    manifest: Path
    rules: Path


@dataclass(frozen=True, kw_only=True)
class Linked:
    """What aapt2 made: the archive of `resources`, the `manifest`, the `rules` of what they need of the code.

    `generated` is the jar of R and BuildConfig.
    """

    resources: Path
    manifest: Path
    rules: Path
    generated: Path


def tool(name: str) -> str:
    """The path of a program.

    Raises:
        BuildError: it is not installed; the Debian package is named.
    """
    found = shutil.which(name)
    if found is None:
        raise build.BuildError(f"{name} is needed: apt-get install {DEBIAN[name]}")
    return found


def run(*command: str | Path) -> str:
    """What a program printed.

    Raises:
        BuildError: it failed; its last lines are in the message.
    """
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise build.BuildError(f"{Path(command[0]).name} failed:\n{said}")
    return done.stdout


@functools.cache
def fetch(lock: Path) -> dict[str, Path]:
    """The files of `lock` by group:artifact, downloaded where they are not in the cache.

    Of an .aar it is the classes inside.

    Raises:
        BuildError: one cannot be had, or its sha256 is another.
    """
    rows = [line.split() for line in lock.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {":".join(at.split(":")[:2]): classes_of(archive(at, sha256)) for at, sha256 in rows}


def archive_of(name: str) -> Path:
    """The file of group:artifact in apk.lock, whole."""
    rows = (HERE / "apk.lock").read_text("utf-8").splitlines()
    (found,) = (row.split() for row in rows if row.startswith(f"{name}:"))
    return archive(*found)


def archive(coordinates: str, sha256: str) -> Path:
    """The file of group:artifact:version[:extension]."""
    group, artifact, version, *extension = coordinates.split(":")
    name = f"{artifact}-{version}.{extension[0] if extension else 'jar'}"
    target = build.cache() / "maven" / group / name
    if not target.is_file() or digest(target) != sha256:
        _download(f"{group.replace('.', '/')}/{artifact}/{version}/{name}", target)
    if (found := digest(target)) != sha256:
        target.unlink()
        raise build.BuildError(f"{coordinates}: sha256 {found}, expected {sha256}")
    return target


def _download(path: str, target: Path) -> None:
    for repository in REPOSITORIES:
        try:
            build.download(f"{repository}/{path}", target)
        except build.BuildError:
            if repository == REPOSITORIES[-1]:
                raise
        else:
            return


def classes_of(file: Path) -> Path:
    """The jar of classes: `file` itself, or the one inside an .aar."""
    if file.suffix != ".aar":
        return file
    jar = file.with_suffix(".classes.jar")
    if not jar.is_file():
        with zipfile.ZipFile(file) as content:
            _write_whole(jar, content.read("classes.jar"))
    return jar


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as part:
        part.write(content)
    Path(part.name).replace(target)


def catalogue() -> dict[str, str]:
    """The versions that the Gradle project states: name to version."""
    text = (ROOT / "gradle" / "libs.versions.toml").read_text("utf-8")
    return dict(tomllib.loads(text)["versions"])


@functools.cache
def kotlin_jars() -> dict[str, Path]:
    """The Kotlin compiler, its library and what core's tests use, by artifact."""
    return build.fetch()


def kotlin(
    name: str, sources: Sequence[Path], libraries: Sequence[Path], friends: Sequence[Path] = ()
) -> Path:
    """The jar of Kotlin `sources`; `friends` are the modules whose internals they may use."""
    jars = kotlin_jars()
    flags = [*_FLAGS, *(f"-Xfriend-paths={friend}" for friend in friends)]
    return build.compiled(build.cache() / "android", name, sources, flags, libraries, jars)


def core() -> Path:
    """The jar of the library."""
    return build.compiled(
        build.cache() / "android", "core", [build.CORE / "main"], build.CORE_FLAGS, [], kotlin_jars()
    )


def build_app(work: Path, assets: Path) -> Built:
    """Everything up to classes and resources, the latter with the files in `assets`, below `work`."""
    found = fetch(HERE / "apk.lock")
    android = found["org.robolectric:android-all"]
    engines = tuple(jar for name, jar in found.items() if name.startswith("org.tensorflow:"))
    linked = link(work, assets)
    library, generated = core(), linked.generated
    sources = [APP / "src" / "main" / "kotlin", APP / "src" / FLAVOUR / "kotlin"]
    app = kotlin("app", sources, [library, generated, *engines, android])
    return Built(
        classes=(app, library, generated),
        libraries=(kotlin_jars()["kotlin-stdlib"], *engines),
        android=android,
        resources=linked.resources,
        manifest=linked.manifest,
        rules=linked.rules,
    )


def link(work: Path, assets: Path) -> Linked:
    """The app's resources with the files in `assets`.

    Raises:
        BuildError: a tool is missing, or they are not right.
    """
    if not FRAMEWORK.is_file():
        raise build.BuildError(f"{FRAMEWORK} is needed: apt-get install android-framework-res")
    versions = catalogue()
    manifest, rules = work / "AndroidManifest.xml", work / "resources.pro"
    compiled, resources, java = work / "compiled.zip", work / "resources.apk", work / "java"
    manifest.write_text(manifest_text(versions), encoding="utf-8")
    run(tool("aapt2"), "compile", "--dir", APP / "src" / "main" / "res", "-o", compiled)
    run(
        *(tool("aapt2"), "link", "-I", FRAMEWORK, "--manifest", manifest, "-A", assets, "-0", ".tflite"),
        *("--java", java, "--proguard", rules, "--rename-manifest-package", APPLICATION_ID),
        *("--min-sdk-version", versions["minSdk"], "--target-sdk-version", versions["targetSdk"]),
        *("--version-code", "1", "--version-name", VERSION, "-o", resources, compiled),
    )
    return Linked(resources=resources, manifest=manifest, rules=rules, generated=_generated(java, versions))


def manifest_text(versions: dict[str, str]) -> str:
    """The app's manifest with what Gradle would fill in."""
    text = (APP / "src" / "main" / "AndroidManifest.xml").read_text("utf-8")
    text = text.replace("${applicationId}", APPLICATION_ID)
    sdks = f'android:minSdkVersion="{versions["minSdk"]}" android:targetSdkVersion="{versions["targetSdk"]}"'
    head, mark, rest = text.partition("<uses-feature")
    return (
        head.replace("<manifest ", f'<manifest package="{PACKAGE}" ')
        + f"<uses-sdk {sdks} />\n\n    {mark}{rest}"
    )


def _generated(java: Path, versions: dict[str, str]) -> Path:
    fields = {
        "VERSION_NAME": VERSION,
        "LITERT_VERSION": versions["litert"],
        "TENSORFLOW_LITE_VERSION": versions["tensorflow-lite"],
    }
    lines = "".join(f'    public static final String {name} = "{value}";\n' for name, value in fields.items())
    config = java / Path(*PACKAGE.split(".")) / "BuildConfig.java"
    config.write_text(
        f"package {PACKAGE};\n\npublic final class BuildConfig {{\n{lines}}}\n", encoding="utf-8"
    )
    sources = sorted(java.rglob("*.java"))
    key = hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).hexdigest()[:16]
    jar = build.cache() / "android" / f"generated-{key}.jar"
    if not jar.is_file():
        classes = java.with_name("generated")
        run(tool("javac"), "-nowarn", "-Xlint:-options", "--release", "8", "-d", classes, *sources)
        _write_whole(jar, _zipped(classes))
    return jar


def _zipped(folder: Path) -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive_:
            for path in sorted(folder.rglob("*.class")):
                archive_.write(path, path.relative_to(folder))
        file.seek(0)
        return file.read()


def assets_of(bundle: Path, work: Path) -> Path:
    """A folder of assets with `bundle` in it, as the app wants it."""
    assets = work / "assets"
    shutil.copytree(bundle, assets / "bundle")
    return assets


def small_bundle(work: Path) -> Path:
    """A small bundle that is really made, of a network whose answer needs no training."""
    sys.path.insert(0, str(ROOT.parent / "tests"))
    import bundle_data
    from edgekd.bundle.make import Wishes, write_bundle
    from edgekd.bundle.manifest import Platform
    from edgekd.bundle.source import contents_of_model

    card = dataclasses.replace(bundle_data.CARD, input_px=_SMALL_PX)
    model = bundle_data.write_model(work / "model", card, px=_SMALL_PX)
    contents = contents_of_model(model, None, unverified=True)
    write_bundle(work / "bundle", Platform.ANDROID, contents, Wishes())
    return work / "bundle"


def person_bundles(folder: Path) -> None:
    """Bundles of networks that also take a person, below `folder`."""
    sys.path.insert(0, str(ROOT.parent / "tests"))
    import kotlin_person

    folder.mkdir()
    with tempfile.TemporaryDirectory() as made:
        for bundle in kotlin_person.write_person_bundles(Path(made)):
            shutil.copytree(bundle, folder / bundle.name)


def java() -> str:
    """The Java program."""
    return build.java()


def java_home() -> Path:
    """The folder of the JDK."""
    return Path(java()).resolve().parent.parent


def joined(paths: Sequence[Path]) -> str:
    """A class path."""
    return os.pathsep.join(map(str, paths))
