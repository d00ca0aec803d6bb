"""A run's folder has one process at a time, and keeps nothing half-written: locks, stray files, what damage says."""
import gc
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rlscratch.__main__ import main
from rlscratch.train import run as runs

pytestmark = [pytest.mark.usefixtures("undrawn", "unsynced"),
              pytest.mark.compiled_only("locks and files know no backend")]

HOLDS = """
import os, sys
from pathlib import Path
from rlscratch.train import run
lock = run._locked(Path(sys.argv[1]))
if sys.argv[2:] and os.fork():              # the parent ends, as if killed; its child lives on
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def begun(tmp_path):
    """A run of 20 steps with a save."""
    assert train(tmp_path / "run") == 0
    return tmp_path / "run"


def train(folder, *more):
    return main(["train", "q-learning", "--run-dir", str(folder), "--steps", "20", "--save-every", "10", "--quiet",
                 *more])


def held(folder, *forked):
    """A process that holds the lock on a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder), *forked], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def left(process, sign=None):
    if sign is not None:
        process.send_signal(sign)
    process.communicate()
    return process.returncode


def test_a_folder_in_which_a_process_runs_is_refused_until_it_ends_also_by_kill(begun, capsys):
    before = (begun / "metrics.jsonl").read_bytes()
    process = held(begun)
    assert train(begun, "--resume") == 2
    assert f"expected a folder in which no other process runs; process {process.pid} does" in capsys.readouterr().err
    assert (begun / "metrics.jsonl").read_bytes() == before
    assert left(process, signal.SIGKILL) == -signal.SIGKILL
    assert train(begun, "--resume") == 0


def test_a_new_run_is_refused_in_a_folder_where_another_process_begins(tmp_path, capsys):
    process = held(tmp_path)
    assert train(tmp_path) == 2
    assert "expected a folder in which no other process runs" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}
    left(process)
    assert train(tmp_path) == 0


def test_a_child_of_the_process_that_ran_holds_no_lock(begun):
    child = held(begun, "forked")               # whoever started it is gone by now
    assert train(begun, "--resume") == 0
    left(child)


def test_a_process_may_go_on_with_a_run_of_its_own_that_failed(begun):
    first = runs._locked(begun)                 # kept by the traceback of the failure, say
    again = runs._locked(begun)
    assert first is again and train(begun, "--resume") == 0
    del first, again
    gc.collect()
    handles = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        assert train(begun, "--resume") == 0
    gc.collect()
    assert handles == (len(os.listdir("/proc/self/fd")) if handles else 0)


def test_the_next_start_removes_what_killed_processes_left(begun):
    for name in (".state.npz.77.part", ".metrics.jsonl.78.part", ".config.json.79.part"):
        (begun / name).write_bytes(b"half")
    (begun / "notes.part").write_text("mine", "utf-8")
    assert train(begun, "--resume") == 0
    assert {path.name for path in begun.iterdir() if path.suffix == ".part"} == {"notes.part"}


@pytest.mark.parametrize("told", ["result.json", "metrics.jsonl"])
def test_a_state_that_is_lost_is_named_and_nothing_begins_anew(told, begun, capsys):
    (begun / "state.npz").unlink()
    if told == "metrics.jsonl":                             # lines of steps 10 and 20: 10 was saved before 20
        (begun / "result.json").unlink()
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    capsys.readouterr()
    assert train(begun, "--resume") == 2
    said = capsys.readouterr().err
    assert f"{begun / 'state.npz'} is 'missing'; expected the last save, of which" in said and told in said
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


def test_killed_before_its_first_save_a_run_begins_again_and_may_save_more_rarely_then(begun):
    whole = (begun / "metrics.jsonl").read_bytes()
    for every, lines in (("10", 1), ("20", 1), ("5", 1)):   # a line is written before its save
        for name in ("state.npz", "result.json"):
            (begun / name).unlink()
        (begun / "metrics.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
        assert train(begun, "--resume", "--save-every", every) == 0
        assert json.loads((begun / "config.json").read_text("utf-8"))["said"]["save_every"] == int(every)


# ---------------------------------------------------------------- damage

def flipped(whole, place):
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


@pytest.mark.parametrize("name", ["config.json", "state.npz", "metrics.jsonl"])
def test_a_flipped_bit_is_one_line_that_names_the_file_or_changes_nothing_that_trains(name, begun, capsys):
    path, kept = begun / name, {file.name: file.read_bytes() for file in begun.iterdir() if file.is_file()}
    result = json.loads(kept["result.json"])
    capsys.readouterr()
    for place in np.random.default_rng(0).integers(8 * len(kept[name]), size=60):
        for file, content in kept.items():
            (begun / file).write_bytes(content)
        path.write_bytes(flipped(kept[name], place))
        status = train(begun, "--resume")
        said = capsys.readouterr().err
        if status:
            assert status == 2 and said.count("\n") == 1 and str(path) in said
        else:                                           # white space, say, or a figure that is drawn and not trained on
            now = json.loads((begun / "result.json").read_text("utf-8"))
            assert {**now, "seconds": 0} == {**result, "seconds": 0}


@pytest.mark.parametrize(("facts", "says"), [
    ({"step": 20}, "the field 'rng' of facts in .*state.npz is missing"), ({}, "the field 'step' of facts in"),
    ({"step": "20"}, "the field 'step' of facts in .* is .20.; expected an int"), ([], r"facts in .* is \[\]; exp")])
def test_facts_that_are_missing_are_named(facts, says, begun, capsys):
    with np.load(begun / "state.npz") as saved:
        arrays = {name: saved[name] for name in saved.files}
    np.savez(begun / "state.npz", **arrays | {"facts": np.array(json.dumps(facts))})
    capsys.readouterr()
    assert train(begun, "--resume") == 2
    assert re.search(says, capsys.readouterr().err)
