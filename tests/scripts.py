"""Running a script as `python -W error script` does, in a process of its own, and reading what it prints.

To begin with nothing costs most of a short script's time.  So on Linux the process is forked from one that has imported
what they need.  Elsewhere it begins with nothing: a library of the system may not survive a fork.
"""
import gc
import multiprocessing
import os
import runpy
import sys
import traceback
import warnings
from functools import partial

from rlscratch import kernels

FORKED = sys.platform == "linux"
FRESH = multiprocessing.get_context("forkserver" if FORKED else "spawn")
if FORKED:
    FRESH.set_forkserver_preload(["rlscratch.report.figures", "rlscratch.train.language.command", "gymnasium"])


def run(script, folder, seconds, only=None):
    """What the script prints, with its figures in the folder.

    Any warning is an error, and so is to last longer, or to call another kernel than `only`, if they are named.
    """
    streams = [folder / "stdout", folder / "stderr"]
    process = FRESH.Process(target=alone, args=(script, folder, *streams, only))
    process.start()
    process.join(seconds)
    hangs = process.is_alive()
    process.kill()
    process.join()
    printed, errors = (stream.read_text("utf-8") if stream.exists() else "" for stream in streams)
    for stream in streams:
        stream.unlink(missing_ok=True)
    assert not hangs, f"{script.name} was not done after {seconds} seconds"
    assert process.exitcode == 0, errors
    return printed


def alone(script, folder, stdout, stderr, only=None):
    """In the new process."""
    for name in {*kernels.reference.__all__} - {*only, "MARGIN"} if only is not None else ():
        setattr(kernels, name, partial(refuse, name, only))
    gc.freeze()                                 # what was imported before the fork is no garbage
    os.environ["RLSCRATCH_OUT"] = str(folder)
    os.chdir(folder)
    sys.argv[:], sys.path[:0] = [str(script)], [str(script.parent)]
    warnings.simplefilter("error")
    with stdout.open("w", encoding="utf-8") as sys.stdout, stderr.open("w", encoding="utf-8") as sys.stderr:
        try:
            runpy.run_path(str(script), run_name="__main__")
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None


def refuse(name, only, *args, **kwargs):
    raise AssertionError(f"the kernel {name} was called; expected one of {only}")
