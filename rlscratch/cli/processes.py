"""A command on many processes: how they are started, and how they end.

    rlscratch train sft --processes 4                   starts mpiexec, that of the environment if it has one
    mpiexec -n 4 python -m rlscratch train sft          the same, on the hosts that you name

The first process speaks; what the others would say is kept back.  A process that fails ends all of them (MPI_Abort):
the first at once, with its line, another after GRACE seconds, in which the first may have failed at the same place.
Of a process that was killed mpiexec hears, and ends the others; with --processes its report becomes one line.  Each
process tells who started it that it has come to its end, or has said what ended it: one that goes without a word, as
os._exit(0) in a reward does, is not taken for success.
"""
import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from rlscratch import check
from rlscratch.train import distributed

GRACE = 2.0                                             # seconds
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")            # how many processes mpiexec started: MPICH and Intel, Open MPI
STREAMS = "RLSCRATCH_STREAMS"       # standard output and error of who started mpiexec, and two pipes from and to there
DONE, SAID = b"d", b"s"             # what a process writes into the second: it is done; it has said why it ends


def run(args: argparse.Namespace, argv: Sequence[str], explain: Callable[[BaseException], int]) -> int:
    """Run a command that can be shared: in this process, as one of many, or by starting them; its exit status.

    explain  what ended the command -> its exit status, with one line on standard error
    """
    here = next((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), None)
    wanted = args.processes if args.processes is not None else here
    if wanted is None and getattr(args, "shards", None) is None:
        return args.run(args)
    count = check.integer(1, distributed.SHARDS, processes=1 if wanted is None else wanted)     # 1 goes on with many's
    if here is None and count > 1:
        return _start(count, argv)
    if here not in (None, count):
        check.fail("processes", count, f"{here}, as many as mpiexec has started")
    args.processes = count
    if count == 1:
        with distributed.among(distributed.Alone()):
            return args.run(args)
    return _one_of_many(args, explain)


# ---------------------------------------------------------------- one of many

def _one_of_many(args: argparse.Namespace, explain: Callable[[BaseException], int]) -> int:
    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")
    word = None
    if STREAMS in os.environ:
        *streams, pipe, word = map(int, os.environ.pop(STREAMS).split(","))
        for target, stream in enumerate(streams, 1):
            os.dup2(stream, target)
        threading.Thread(target=lambda: os.read(pipe, 1) or os.kill(os.getpid(), signal.SIGKILL), daemon=True).start()
    group = distributed.Mpi()
    kept = io.StringIO()
    if group.rank:
        args.quiet, args.page, args.live = True, False, None
        sys.stdout, sys.stderr = io.StringIO(), kept
    try:
        with distributed.among(group):
            status = args.run(args)
            sys.stdout.flush()
            _tell(word, DONE)
            return status
    except BaseException as ended:
        status = _status(ended, explain)
    sys.stdout.flush()
    sys.stderr.flush()
    if group.rank:
        time.sleep(GRACE)
        os.write(2, kept.getvalue().encode())
    _tell(word, SAID)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)        # all is said; MPI would add that it ends
    group.abort(status)


def _tell(word: int | None, what: bytes) -> None:
    if word is not None:
        os.write(word, what)


def _status(ended: BaseException, explain: Callable[[BaseException], int]) -> int:
    try:
        return explain(ended)
    except BaseException:                               # a fault of ours
        traceback.print_exc()
        return 1


# ---------------------------------------------------------------- who starts them

def _start(count: int, argv: Sequence[str]) -> int:
    """Start mpiexec and wait for its end; the exit status."""
    env = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)), **os.environ}
    pipe, ours = os.pipe()                                  # our end closes when this process ends, however it does
    words, word = os.pipe()
    streams = [os.dup(1), os.dup(2), pipe, word]
    command = [_mpiexec(), "-n", str(count), sys.executable, "-m", "rlscratch", *argv]
    with tempfile.TemporaryFile() as noise:
        child = subprocess.Popen(command, env={**env, STREAMS: ",".join(map(str, streams))}, pass_fds=streams,
                                 stdin=subprocess.DEVNULL, stdout=noise, stderr=noise, start_new_session=True)
        status = _waited(child)
        noise.seek(0)
        said = noise.read().decode(errors="replace")
    for handle in (*streams, ours):
        os.close(handle)
    told = os.read(words, 2 * count)
    os.close(words)
    early = list(dict.fromkeys(line for line in said.splitlines() if line.startswith("rlscratch: ")))
    for line in early:                                      # of processes that had not begun
        print(line, file=sys.stderr)
    if told.count(DONE) == count or (status in (1, 2) and (SAID in told or early)) or status == 130:
        return status
    print(f"rlscratch: a process ended ({_ended(status, said)}), and with it the others; what was saved is whole, and "
          "--resume goes on from there", file=sys.stderr)
    return 1


def _waited(child: subprocess.Popen) -> int:
    """Its exit status.  It hears of Ctrl-C, and of a request to end, and then has some seconds."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        child.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
              if signal.getsignal(number) != signal.SIG_IGN}
    try:
        while True:
            try:
                status = child.wait(timeout=3 * GRACE if asked else None)
                return 130 if asked else status
            except subprocess.TimeoutExpired:
                child.kill()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(status: int, noise: str) -> str:
    """How, in mpiexec's words: of a signal, or of what it could not do itself."""
    killed = re.search("EXIT STRING: (.*)", noise)
    return killed[1] if killed else next(filter(str.strip, noise.split("\n")), "").strip("= ") or f"status {status}"


def _mpiexec() -> str:
    """The environment's own, or the first on the path.  Raises ValueError where there is none."""
    own = Path(sys.executable).parent / "mpiexec"
    found = str(own) if own.exists() else shutil.which("mpiexec")
    if found is None or find_spec("mpi4py") is None:
        check.fail("processes", None, "mpi4py and an mpiexec; pip install 'rlscratch[distributed]'")
    return found
