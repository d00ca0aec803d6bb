"""Memory of causal attention, forward and backward, over the length of the sequence.

Each length runs in a process of its own; what is reported is how far the peak of resident memory
rises above the arrays that exist anyway (q, k, v, the output and their gradients).  A T x T matrix
of one head alone would take 4 T^2 bytes: 256 MB at T = 8192.
"""
import json
import subprocess
import sys

from rlscratch import kernels

HEADS, WIDTH = 2, 32
CHILD = """
import json, sys
import numpy as np
from benchmarks.sides import taken
from rlscratch import kernels
T, H, D = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
def both(qkv):
    out, lse = kernels.attention(qkv)
    return kernels.attention_backward(np.ones_like(out), qkv, out, lse)
both(rng.standard_normal((1, 64, 3, H, D)).astype(np.float32))      # libraries loaded, threads started
qkv = rng.standard_normal((1, T, 3, H, D)).astype(np.float32)
held = [np.ones_like(qkv), np.ones((1, T, H, D), np.float32), np.ones((1, T, H, D), np.float32)]
before = taken()
del held                                                            # the results take this room
both(qkv)
print(1024 * max(1, taken() - before))
"""


def measure(quick: bool) -> dict:
    """Peak memory beyond the arrays themselves for T up to 8192; the bar: it grows no faster than T."""
    lengths = (1024, 4096) if quick else (1024, 2048, 4096, 8192)
    extra = {}
    for T in lengths:
        done = subprocess.run([sys.executable, "-c", CHILD, str(T), str(HEADS), str(WIDTH)], capture_output=True,
                              text=True, check=True)
        extra[T] = json.loads(done.stdout)
    longest, matrix = lengths[-1], HEADS * 4 * lengths[-1] ** 2
    rows = [{"T": T, "extra, MB": f"{size / 1e6:.1f}", "one T x T matrix a head, MB": f"{HEADS * 4 * T * T / 1e6:.0f}"}
            for T, size in extra.items()]
    return {"title": f"Memory of attention ({kernels.BACKEND}, {HEADS} heads of {WIDTH}, float32)", "rows": rows,
            "bar": {"what": f"at T = {longest}, T x T matrices over what attention took",
                    "value": round(matrix / extra[longest], 1), "least": 20, "met": matrix >= 20 * extra[longest]}}
