from __future__ import annotations

import subprocess
import sys

import pytest

import tutelage

VERBS = ["list", "show", "check", "run", "evaluate", "export", "report", "compare", "compress"]


@pytest.mark.slow
def test_help_and_list_load_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from tutelage.cli import app\n"
        "for words in (['--help'], ['run', '--help'], ['list'], ['list', '--json'], ['--version']):\n"
        "    assert CliRunner().invoke(app, words).exit_code == 0\n"
        "heavy = {'torch', 'datasets', 'accelerate', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_every_option_a_text(cli, verb: str):
    answer = cli(verb, "--help")
    assert answer.code == 0
    assert f"tutelage {verb} " in answer.stdout.partition("Example")[2]
    from typer.main import get_command

    for option in get_command(tutelage.cli.app).commands[verb].params:
        assert getattr(option, "help", None), option.name


def test_help_names_every_verb(cli):
    answer = cli("--help")
    assert all(verb in answer.stdout for verb in VERBS)


def test_the_version_is_printed(cli):
    expected = f"tutelage {tutelage.__version__}\n"
    assert cli("--version").stdout == expected
    words = [sys.executable, "-m", "tutelage", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize("words", [["nonsense"], ["run"], ["list", "recipess"], ["run", "x", "--seeds", "0"]])
def test_wrong_use_ends_with_2(cli, words: list[str]):
    answer = cli(*words)
    assert answer.code == 2
    assert answer.stdout == ""
    assert answer.stderr


@pytest.mark.slow
def test_names_of_the_package_come_when_they_are_asked_for():
    code = (
        "import sys, tutelage as tl\n"
        "assert set(tl.__all__) <= set(dir(tl))\n"
        "assert issubclass(tl.TutelageWarning, UserWarning)\n"
        "assert 'torch' not in sys.modules\n"
        "assert tl.losses.response.SoftTarget\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(getattr(tutelage, name) is not None for name in tutelage.__all__)
    assert tutelage.distill is tutelage.runs.distill


@pytest.mark.parametrize("name", ["nonsense", "_private"])
def test_a_name_that_is_not_there_is_an_attribute_error(name: str):
    with pytest.raises(AttributeError, match=f"module 'tutelage' has no attribute '{name}'"):
        getattr(tutelage, name)
