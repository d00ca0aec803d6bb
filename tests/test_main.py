"""The command line itself: help, exit statuses, info.  Each command's own work is tested with its module."""
import json

import pytest

from rlscratch import __version__, kernels
from rlscratch.__main__ import COMMANDS, TRAIN, main


def status_of(argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code


@pytest.mark.parametrize("argv", [[name] for name in COMMANDS] + [["train", name] for name in TRAIN] + [["info"]])
def test_every_command_has_help_with_an_example(argv, capsys):
    assert status_of([*argv, "--help"]) == 0
    assert f"example: rlscratch {' '.join(argv)}" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["dance"], ["train"], ["train", "dance"], ["info", "--loud"]])
def test_bad_arguments_exit_with_2(argv, capsys):
    assert status_of(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("rlscratch")
    assert said.endswith("--help\n")
    assert said.count("\n") == 1


def test_version(capsys):
    assert status_of(["--version"]) == 0
    assert capsys.readouterr().out == f"rlscratch {__version__}\n"


def test_info_names_what_this_runs_on(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == kernels.BACKEND
    assert facts["threads"] == kernels.threads() >= 1
    assert set(facts) >= {"rlscratch", "instruction set", "numpy", "blas", "openmp"}
    assert main(["info"]) == 0
    assert "backend               " + kernels.BACKEND in capsys.readouterr().out
