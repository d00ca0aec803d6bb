"""After keep_freed, arrays of megabytes that come and go cost no new pages.  Counted in a process of its own."""
import subprocess
import sys

from rlscratch import memory

COUNT = """
import resource, sys
import numpy as np
from rlscratch import memory
assert not sys.argv[1:] or memory.keep_freed()
def step():
    arrays = [np.ones(200_000) for _ in range(20)]          # 32 MB in all
step(); step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments):
    done = subprocess.run([sys.executable, "-c", COUNT, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_kept_memory_is_used_again_where_the_library_can_be_told():
    probe = "from rlscratch import memory; print(memory.keep_freed())"
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    if told == "True":
        assert faults("keep") < 100 < faults()
    else:
        assert told == "False"


def test_a_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed() is False
