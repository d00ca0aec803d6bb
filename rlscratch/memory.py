"""Keep freed memory for the next step of training, instead of giving it back after each.

A step allocates its arrays, many of them megabytes, and frees them all at its end.  The C library then
returns the memory to the system, which hands it out again page by page, zeroed, in the next step: at
small shapes a third of a step's time.  Told to keep what was freed, the library finds it warm.

This changes the whole process: it may hold on to as much memory as it once used until it ends.  So it is
never done at import.  The commands that train do it, and so may a program of yours:

    from rlscratch import memory
    memory.keep_freed()
"""
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3       # malloc.h of glibc
_NEVER, _MOST = 2**31 - 1, 32 * 2**20               # bytes; glibc takes no higher threshold for its maps


def keep_freed() -> bool:
    """Let the C library keep freed blocks, each up to 32 MB; False where it cannot be told (not glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
