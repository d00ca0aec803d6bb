"""The inside of rlscratch.tasks.code: runs one answer under limits, and reports what it returned.

A script for `python -I`, with the standard library alone.  Its order comes on standard input, its
report goes to standard output, both as JSON; "ready" on standard error is the last word before the
answer runs.  From then on the answer has no way to the error pipe, and the report is not believed:
the results in it are compared elsewhere.
"""
import ast
import json
import os
import resource
import signal
import sys
import threading


def limit(order: dict) -> None:
    """Set every limit of the order; those that a system refuses stay as they are."""
    size = order["bytes"] + occupied()
    watched = not lower(resource.RLIMIT_AS, size) or sys.platform == "darwin"
    lower(resource.RLIMIT_FSIZE, order["largest"])
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_CPU, int(order["seconds"]) + 2, more=1)     # a signal first, the end a second later
    if watched:
        threading.Thread(target=watch, args=(order["bytes"] + resident(), order["out_of_memory"]), daemon=True).start()
    signal.setitimer(signal.ITIMER_REAL, order["seconds"])     # its default action ends the process


def lower(which: int, size: int, more: int = 0) -> bool:
    """Set the limit, and `more` above it the one that no process may lift; whether this system took it."""
    try:
        hard = resource.getrlimit(which)[1]
        top = size + more if hard == resource.RLIM_INFINITY else min(size + more, hard)
        resource.setrlimit(which, (min(size, top), top))
    except (ValueError, OSError):
        return False
    return True


def occupied() -> int:
    """Bytes of address space in use now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def resident() -> int:
    """The most bytes that were ever resident; kilobytes on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def watch(size: int, status: int) -> None:
    while resident() <= size:
        threading.Event().wait(0.01)
    os._exit(status)


def call_all(order: dict, report: dict) -> None:
    """Define the answer's function and call it; the report grows as it goes."""
    namespace = {"__name__": "answer"}
    exec(compile(order["source"], "<answer>", "exec"), namespace)
    if not callable(namespace.get(order["function"])):
        raise NameError(f"no function named {order['function']!r}")
    for i, text in enumerate(order["arguments"]):
        report["at"] = f"call {i + 1}"
        arguments = ast.literal_eval(text)
        given = repr(arguments)             # not `text`: the order of a set differs from process to process
        report["returned"].append(repr(namespace[order["function"]](*arguments)))
        report["mutates"] |= repr(arguments) != given


def described(error: BaseException, report: dict) -> str:
    """One line: the error, and where it happened."""
    try:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except BaseException:
        text = "an error without a description"
    if isinstance(error, SyntaxError) and error.filename == "<answer>":
        return f"SyntaxError: {error.msg}, line {error.lineno}"
    return f"{text[:1000]}, in {report['at']}"


def main() -> None:
    order = json.load(sys.stdin)
    channel, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    report = {"returned": [], "error": None, "mutates": False, "at": "the definition"}
    sys.set_int_max_str_digits(0)
    limit(order)
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        call_all(order, report)
    except MemoryError:
        os._exit(order["out_of_memory"])
    except BaseException as error:
        report["error"] = described(error, report)
    try:
        text = json.dumps(report).encode()
        if len(text) > order["largest"]:
            text = json.dumps({**report, "returned": [], "error": "returned more than can be reported"}).encode()
        os.write(channel, text)
    except MemoryError:
        os._exit(order["out_of_memory"])
    os._exit(0)


if __name__ == "__main__":
    main()
