"""How many threads pay: one for each core that this process may really use.

A machine may have more cores than it gives to a process: an affinity mask names some of them, and a
container's quota caps the processor time of all its processes together.  More threads than that take
turns on the same cores, and each waits for the others.
"""
import os
from pathlib import Path

MOST = 64       # RLS_MOST_THREADS in csrc/rlscratch.h


def wanted(environ: "os._Environ[str] | dict[str, str]" = os.environ, root: Path = Path("/")) -> int:
    """The number in OMP_NUM_THREADS (of a list, the first), else the cores of this process, a quota's rounded down."""
    chosen = environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if chosen.isdecimal() and int(chosen) > 0:
        return min(int(chosen), MOST)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(quota(root)), MOST))


def quota(root: Path = Path("/")) -> float:
    """Cores that Linux' control groups allow, of this process's group and those above it; MOST where none is set.

    Version 2 writes "quota period" into one file, cpu.max; version 1 has a file for each.
    """
    allowed = float(MOST)
    for line in _words(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        base = root / "sys/fs/cgroup" / ("cpu" if "cpu" in controllers.split(",") else "")
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            limit = " ".join(_words(folder / "cpu.max") or [*_words(folder / "cpu.cfs_quota_us"),
                                                            *_words(folder / "cpu.cfs_period_us")]).split()
            if len(limit) == 2 and limit[0].isdecimal() and limit[1].isdecimal() and int(limit[1]):
                allowed = min(allowed, int(limit[0]) / int(limit[1]))
            if folder == base:
                break
    return allowed


def _words(file: Path) -> list[str]:
    """The lines of a file, none where there is no such file."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
