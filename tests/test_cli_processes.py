"""--processes N and mpiexec: the same bits on real processes, and how such a run ends."""
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from letters import metrics
from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.cli import processes
from rlscratch.report import curves
from test_train_distributed import assert_same_bits

MPIEXEC = Path(sys.executable).parent / "mpiexec"
pytestmark = pytest.mark.compiled_only("processes know no backend; test_train_distributed.py compares bits on both")
needs_mpi = pytest.mark.skipif(find_spec("mpi4py") is None or not MPIEXEC.exists(),
                               reason="mpi4py or mpiexec is missing: pip install 'rlscratch[distributed]'")
# What BREAKS says happens in process 1 alone, after the first save of the run itself.
MINE = '''
import os, signal
from pathlib import Path
from rlscratch.tasks.task import Task
HERE, BREAKS = os.environ.get("PMI_RANK") == "1", os.environ.get("BREAKS", "")

def breaks(how):
    return HERE and BREAKS.startswith(how) and Path(BREAKS.split(":")[1], "checkpoint.json").exists()

def reward(prompt, answer):
    if breaks("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if breaks("leave"):
        os._exit(int(BREAKS.split(":")[0][-1]))
    return float("nan") if breaks("nan") else len(answer) / 8

def teacher(prompt, rng):
    if HERE and BREAKS == "teacher":
        raise ArithmeticError("in process 1 alone")
    return prompt + "a" * int(rng.integers(3))

def task():
    return Task("mine", tuple("abcdef"), reward, lambda prompt, answer: prompt in answer, teacher=teacher)
'''
SHAPE, GROUPS = ("--width", "16", "--layers", "1"), ("--groups", "2", "--group", "4")


@pytest.fixture(autouse=True)
def _still(monkeypatch, tmp_path):
    monkeypatch.setattr(curves, "training", lambda folder: folder / "none.svg")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("os.fsync", lambda _: None)
    for name in processes.SIZES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mine.py").write_text(MINE)


def words(tmp_path, folder, *more, method="grpo", steps=4):
    return ["train", method, "--task", f"{tmp_path}/mine.py:task", "--run-dir", str(tmp_path / folder), "--steps",
            str(steps), "--save-every", "2", "--quiet", *map(str, more)]


def sft(tmp_path, folder, *more, **steps):
    return words(tmp_path, folder, *SHAPE, "--shown", "2", "--batch", "13", *more, method="sft", **steps)


def grpo(tmp_path, folder, *more):
    return words(tmp_path, folder, "--init", tmp_path / "sft", *GROUPS, *more)


@pytest.fixture
def begun(tmp_path, _still):
    """A policy that has learned for two steps, on one process."""
    assert main(sft(tmp_path, "sft", steps=2)) == 0


@pytest.fixture
def started(monkeypatch, capfd):
    """(exit status, standard error) of a command that starts processes, in which something breaks; it is this one."""
    def start(said, breaks):
        with monkeypatch.context() as patch:
            patch.setenv("BREAKS", breaks)
            return main(said), capfd.readouterr().err

    return start


@needs_mpi
def test_a_killed_process_ends_the_run_which_goes_on_with_another_number_to_the_same_bits(tmp_path, begun, started):
    assert main(grpo(tmp_path, "whole", "--processes", 1)) == 0
    status, said = started(grpo(tmp_path, "broken", "--processes", 3), f"kill:{tmp_path / 'broken'}")
    assert status == 1
    assert re.fullmatch(r"rlscratch: a process ended \(Killed \(signal 9\)\), and with it .*\n", said)
    assert checkpoint.load(tmp_path / "broken").step == 2
    resumed = subprocess.run([MPIEXEC, "-n", "2", sys.executable, "-m", "rlscratch", "train", "grpo", "--resume",
                              "--run-dir", tmp_path / "broken", "--quiet"], capture_output=True, text=True, timeout=60)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("reward") == 1                 # one process speaks
    assert_same_bits(tmp_path / "whole", tmp_path / "broken")


@needs_mpi
@pytest.mark.parametrize("status", [0, 2])
def test_a_process_that_leaves_without_a_word_is_no_success(status, tmp_path, begun, started):
    ended, said = started(grpo(tmp_path, "run", "--processes", 2), f"leave{status}:{tmp_path / 'run'}")
    assert ended == 1
    assert re.fullmatch(r"rlscratch: a process ended \(.+\), and with it the others; what was saved .*\n", said)
    assert checkpoint.load(tmp_path / "run").step == 2


@needs_mpi
def test_a_nan_in_one_process_is_one_line(tmp_path, begun, started):
    status, said = started(grpo(tmp_path, "run", "--processes", 2), f"nan:{tmp_path / 'run'}")
    assert status == 1
    assert re.fullmatch(r"rlscratch: the reward of the answer .* is nan; expected a finite number\n", said)
    assert checkpoint.load(tmp_path / "run").step == 2


@needs_mpi
def test_an_error_that_one_process_has_alone_is_said_by_it(tmp_path, started):
    status, said = started(sft(tmp_path, "run", "--processes", 2), "teacher")
    assert status in (1, 2)
    assert said.count("\n") == 1 and "in process 1 alone" in said


@needs_mpi
def test_ctrl_c_is_one_line_and_status_130(tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-m", "rlscratch", *sft(tmp_path, "run", "--processes", 2, steps=9999)],
                               stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoint.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == (f"rlscratch: interrupted; what {folder} has saved is whole, and rlscratch train sft --resume "
                    f"--run-dir {folder} goes on from there\n")
    assert checkpoint.load(folder).step >= 2 and metrics(folder)


@pytest.mark.parametrize(("more", "message"), [
    (("--processes", "13"), "--processes is 13; expected an integer in [1, 12]"),
    (("--processes", "0"), "--processes is 0; expected an integer in [1, 12]"),
])
def test_numbers_that_will_not_do_are_refused(more, message, tmp_path, capsys):
    assert main(words(tmp_path, "run", *more)) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_without_the_extra_it_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    assert main(words(tmp_path, "run", "--processes", 2)) == 2
    assert "pip install 'rlscratch[distributed]'" in capsys.readouterr().err


def test_tables_and_runs_that_were_begun_without_are_refused(tmp_path, capsys, begun):
    assert main(["train", "ppo", "--run-dir", str(tmp_path / "run"), "--processes", "1"]) == 2
    assert "--processes is 1; expected no such option with --task frozen-lake" in capsys.readouterr().err
    assert main(["train", "sft", "--resume", "--run-dir", str(tmp_path / "sft"), "--processes", "1"]) == 2
    assert "--processes is 1; expected none: the run in" in capsys.readouterr().err


def test_a_shared_run_that_is_resumed_without_a_word_stays_shared(tmp_path, capsys):
    assert main(sft(tmp_path, "run", "--processes", 1, steps=2)) == 0
    assert main(["train", "sft", "--resume", "--run-dir", str(tmp_path / "run"), "--quiet"]) == 0
    assert '"shards": 12' in (tmp_path / "run" / "config.json").read_text()


def test_another_number_than_mpiexec_has_started_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "3")
    assert main(words(tmp_path, "run", "--processes", "2")) == 2
    assert "--processes is 2; expected 3, as many as mpiexec has started" in capsys.readouterr().err
