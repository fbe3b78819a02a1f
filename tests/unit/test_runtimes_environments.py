"""Making environments, with a script in place of uv: what is proved is our side of it, and locking."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from edgekd.errors import MissingError, UnknownNameError
from edgekd.runtimes import environments
from edgekd.runtimes.environments import ENVIRONMENTS, Recipe, cache_folder, environment, find_python, is_made

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
RECIPE = Recipe(pythons=(HERE,), requirements=("some-runtime==1.0",), module="json", distribution="pip")

UV = """\
#!/bin/sh
echo "$*" >> {log}
case "$1" in
  venv) for last; do :; done; mkdir -p "$last/bin"; ln -s "$4" "$last/bin/python";;
  pip) {install};;
esac
"""


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """An empty cache, one recipe "some" and a script `uv`; the function sets what installing does."""
    cache, folder = tmp_path / "cache", tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("EDGEKD_CACHE", str(cache))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"some": RECIPE, "here": ENVIRONMENTS["litert-2"]})

    def put(install):
        script = folder / "uv"
        script.write_text(UV.format(log=tmp_path / "log", install=install))
        script.chmod(0o755)
        return tmp_path / "log"

    return put


def _made(tmp_path):
    return [path.name for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()]


def test_an_environment_is_made_once(maker, tmp_path):
    log = maker("true")
    assert not is_made("some")
    python = environment("some")
    assert is_made("some") and python.name == "python" and python.exists()
    assert python.is_relative_to(tmp_path / "cache" / "environments")
    assert environment("some") == python
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["venv", "pip"]
    assert "--only-binary :all: some-runtime==1.0" in lines[1]
    assert len(_made(tmp_path)) == 1


def test_two_that_ask_at_once_make_one(maker, tmp_path):
    log = maker("true")
    answers: list[Path] = []
    threads = [threading.Thread(target=lambda: answers.append(environment("some"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1 and len(answers) == 4
    assert len(log.read_text().splitlines()) == 2


def test_offline_is_one_line_and_nothing_looks_finished(maker, tmp_path):
    maker('echo "error: could not connect to example.org" >&2; echo "hint: wait" >&2; exit 1')
    with pytest.raises(MissingError) as caught:
        environment("some")
    message = str(caught.value)
    assert "error: could not connect to example.org" in message and "some-runtime==1.0" in message
    assert "connect to the network" in message and "EDGEKD_CACHE" in message and "\n" not in message
    assert not is_made("some") and _made(tmp_path) == []
    maker("true")
    assert environment("some").exists()


def test_a_runtime_that_does_not_import_is_no_environment(maker, monkeypatch):
    maker("true")
    recipe = Recipe(pythons=(HERE,), requirements=("x==1",), module="no_such_module", distribution="x")
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"some": recipe})
    with pytest.raises(MissingError, match="no_such_module"):
        environment("some")
    assert not is_made("some")


def test_an_environment_whose_python_went_away_is_made_anew(maker):
    log = maker("true")
    environment("some").unlink()
    assert not is_made("some")
    assert environment("some").exists()
    assert len(log.read_text().splitlines()) == 4


def test_another_recipe_is_another_folder(maker, monkeypatch):
    maker("true")
    first = environment("some")
    other = Recipe(pythons=(HERE,), requirements=("some-runtime==2.0",), module="json", distribution="pip")
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"some": other})
    assert environment("some") != first


def test_this_environment_needs_no_making(maker):
    assert is_made("here") and environment("here") == Path(sys.executable)


def test_no_fitting_python(tmp_path, monkeypatch):
    broken = tmp_path / "python9.9"
    broken.write_text("#!/bin/sh\nexit 127\n")  # a shim of pyenv for a version that is not chosen
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"old needs CPython 9\.9 or 9\.8 .* pyenv install 9\.9"):
        find_python(("9.9", "9.8"), "old")
    assert find_python(("9.9", HERE), "old").exists()


def test_an_unknown_name():
    with pytest.raises(UnknownNameError, match="tflite-runtime-2.14"):
        environment("tflite-runtime-2.1")
    with pytest.raises(UnknownNameError):
        is_made("nothing")


def test_where_environments_lie(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEKD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "edgekd"
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_every_recipe_is_pinned():
    for name, recipe in ENVIRONMENTS.items():
        assert all("==" in requirement for requirement in recipe.requirements), name
        assert bool(recipe.pythons) is bool(recipe.requirements), name


def test_a_cache_that_cannot_be_written(maker, tmp_path):
    maker("true")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(MissingError, match="a file is in its way: set EDGEKD_CACHE"):
        environment("some")
