"""The judge of code answers: whatever an answer does becomes a verdict with a reason.

Document 003's five ways to sort a list, called with [3, 1, 2]: the first, second and fifth return
[1, 2, 3] (the second sorts its argument in place), the third raises NameError, the fourth returns
None.  Its three Fibonacci functions agree.  The rest of the sheet is what an answer can do to its
judge: never return, eat memory, exit, crash, print, forge the report.
"""
import os
import signal
import sys
import time

import pytest

from rlscratch.tasks import code

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

SORT = [(([3, 1, 2],), [1, 2, 3]), (([],), [])]


def judge(source, cases=SORT, **limits):
    return code.run(source, "f", cases, **{"seconds": 5.0, "megabytes": 64, **limits})


@pytest.mark.parametrize(("source", "right", "mutates", "reason"), [
    ("def f(x): return sorted(x)", True, False, "right"),
    ("def f(x): x.sort(); return x", True, True, "right"),
    ("def f(x): return bubble_sort(x)", False, False, "NameError: name 'bubble_sort' is not defined, in call 1"),
    ("def f(x): return x.sort()", False, True, "f([3, 1, 2]) returned None; expected [1, 2, 3]"),
    ("def f(x): return sorted(x, reverse=False)", True, False, "right")])
def test_the_document_s_five_ways_to_sort(source, right, mutates, reason):
    assert judge(source) == code.Verdict(right, reason, mutates)


@pytest.mark.parametrize("source", [
    "def f(n):\n    if n <= 1:\n        return n\n    return f(n - 1) + f(n - 2)",
    "def f(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
    "def f(n, memo={}):\n    if n not in memo:\n        memo[n] = n if n <= 1 else f(n - 1, memo) + f(n - 2, memo)\n"
    "    return memo[n]"])
def test_the_document_s_three_ways_to_fibonacci(source):
    assert judge(source, [((n,), value) for n, value in enumerate((0, 1, 1, 2, 3, 5, 8, 13))]).right
    assert not judge(source, [((7,), 14)]).right


@pytest.mark.parametrize(("source", "reason"), [
    ("while True: pass", "no result within 0.3 s"),
    ("def f(x):\n    while True: pass", "no result within 0.3 s"),
    ("def f(x): return 10 ** 10 ** 8", "no result within 0.3 s"),
    ("import time\ntime.sleep(1000)", "no result within 0.3 s"),
    ("def f(x):\n    while True:\n        try:\n            f(x)\n        except BaseException: pass",
     "no result within 0.3 s"),
    ("while True: print('noise' * 1000)", "no result within 0.3 s")])
def test_an_answer_that_never_returns_is_ended(source, reason):
    assert judge(source, seconds=0.3) == code.Verdict(False, reason)


# macOS cannot interrupt one huge allocation before it has been filled; see the module.
AT_ONCE = [] if sys.platform == "darwin" else ["def f(x): return [0] * 10 ** 10"]


@pytest.mark.parametrize("source", [
    *AT_ONCE,
    "hoard = []\nwhile True: hoard.append(' ' * 10 ** 6)",
    "chain = None\nwhile True: chain = (chain,)"])
def test_an_answer_that_eats_memory_is_ended(source):
    assert judge(source, seconds=20.0) == code.Verdict(False, "more than 64 MB of memory")


def test_memory_is_watched_where_the_address_space_cannot_be_limited(tmp_path, monkeypatch):
    """The way of macOS, taken here by refusing the limit: resource number 10^6 does not exist."""
    runner = tmp_path / "runner.py"
    runner.write_text("import resource, runpy\nresource.RLIMIT_AS = 10 ** 6\n"
                      f"runpy.run_path({str(code.RUNNER)!r}, run_name='__main__')\n", "utf-8")
    monkeypatch.setattr(code, "RUNNER", runner)
    assert judge("def f(x): return sorted(x)").right
    verdict = judge("hoard = []\nwhile True: hoard.append(bytearray(10 ** 5))", seconds=20.0)
    assert verdict == code.Verdict(False, "more than 64 MB of memory")


@pytest.mark.parametrize(("source", "reason"), [
    ("def f(x): return 1 / 0", "ZeroDivisionError: division by zero, in call 1"),
    ("raise RuntimeError('early')\ndef f(x): return x", "RuntimeError: early, in the definition"),
    ("def f(x):\n    return sorted(x) if x else x[0]", "IndexError: list index out of range, in call 2"),
    ("def f(): return 1", "TypeError: f() takes 0 positional arguments but 1 was given, in call 1"),
    ("def g(x): return sorted(x)", "NameError: no function named 'f', in the definition"),
    ("f = 3", "NameError: no function named 'f', in the definition"),
    ("", "NameError: no function named 'f', in the definition"),
    ("def f(x): return input()", "EOFError: EOF when reading a line, in call 1"),
    ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E",
     "an error without a description, in the definition"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt, in the definition"),
    ("import sys\nsys.exit()", "SystemExit, in the definition"),
    ("import sys\ndef f(x): sys.exit('bye')", "SystemExit: bye, in call 1"),
    ("import os\nos._exit(0)", "the process left no readable result (exit status 0)"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "the process left no readable result (SIGSEGV)"),
    ("import os\nos.closerange(3, 100)\ndef f(x): return sorted(x)",
     "the process left no readable result (exit status 1)"),
    ("import numpy_is_not_here", "ModuleNotFoundError: No module named 'numpy_is_not_here', in the definition"),
    ("raise ValueError('long ' * 10 ** 6)", "ValueError: " + "long " * 37 + "..."),
])
def test_an_answer_that_fails_has_a_reason(source, reason):
    verdict = judge(source)
    assert not verdict.right
    assert verdict.reason == reason


def test_recursion_without_end_has_a_reason():
    assert judge("def f(x): f(x)").reason.startswith("RecursionError: ")


@pytest.mark.parametrize("source", ["def f(x", "  return", "def f(x): return \0", "ff ff", "(" * 500, "\ud800"])
def test_text_that_is_no_program_has_a_reason(source):
    verdict = judge(source)
    assert not verdict.right
    assert verdict.reason.startswith(("SyntaxError", "IndentationError", "ValueError", "UnicodeEncodeError"))


@pytest.mark.parametrize(("source", "shown"), [
    ("def f(x): return tuple(sorted(x))", "(1, 2, 3)"),
    ("def f(x): return iter(x)", "<list_iterator object at"),
    ("class Yes(list):\n    def __eq__(self, other): return True\ndef f(x): return Yes()", "[]"),
    ("class Text(list):\n    def __repr__(self): return 'anything'\ndef f(x): return Text(sorted(x))", "anything"),
    ("def f(x): return 'a' * 5000", "'aaaa"), ("def f(x): return [[" + "[" * 150 + "]" * 150 + "]]", "[[[[")])
def test_a_wrong_value_is_shown(source, shown):
    verdict = judge(source)
    assert not verdict.right
    assert verdict.reason.startswith(f"f([3, 1, 2]) returned {shown}")
    assert verdict.reason.endswith("; expected [1, 2, 3]")
    assert len(verdict.reason) < 200


def test_types_and_floats_are_compared_exactly():
    assert not judge("def f(): return True", [((), 1)]).right
    assert not judge("def f(): return 0.1 + 0.2", [((), 0.3)]).right
    assert judge("def f(): return {'b': {2, 1}, 'a': b'x'}", [((), {"a": b"x", "b": {1, 2}})]).right


def test_a_result_too_large_to_report_is_not_right():
    assert judge("def f(): return 'a' * 10 ** 7", [((), "a")]).reason == "returned more than can be reported"


def test_noise_on_every_stream_is_thrown_away(capfd):
    source = ("import os, sys\nprint('x' * 10 ** 6)\nprint('y', file=sys.stderr)\n"
              "os.write(1, b'{}')\nos.write(2, b'ready')\n"
              "def f(x):\n    print('{\"right\": true}')\n    return sorted(x)")
    assert judge(source).right
    assert capfd.readouterr() == ("", "")


def test_a_forged_report_has_to_name_the_right_values():
    """The answer finds the channel and writes a report of its own; the expected values are not in its process."""
    forged = ("import json, os\n"
              "for fd in range(3, 20):\n"
              "    try: os.write(fd, json.dumps(%s).encode())\n"
              "    except OSError: pass\n"
              "os._exit(0)")
    whole = {"returned": ["True", "True"], "error": None, "mutates": False}
    for report in (whole, {**whole, "returned": []}, {"returned": 3}, {"right": True}, []):
        assert not judge(forged % report).right


DISARM = "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"


@pytest.mark.parametrize(("source", "start", "ended_by"), [
    ("import time\ntime.sleep(1000)", 100.0, -signal.SIGALRM),
    (DISARM + "while True: pass", 100.0, -signal.SIGXCPU),
    (DISARM + "time.sleep(1000)", 1.0, None)])
def test_the_alarm_has_two_stand_ins(source, start, ended_by, monkeypatch):
    """Processor time, and this process, which waits `start` seconds longer than the answer may take."""
    statuses = []
    execute = code._execute
    monkeypatch.setattr(code, "START", start)
    monkeypatch.setattr(code, "_execute", lambda *order: statuses.append(execute(*order)) or statuses[0])
    assert judge(source, seconds=0.1) == code.Verdict(False, "no result within 0.1 s")
    assert statuses == [ended_by]


def test_an_answer_cannot_fill_the_disk():
    assert judge("open('large', 'wb').write(bytes(2 ** 21))").reason.startswith("OSError: [Errno 27] File too large")


def test_a_process_that_an_answer_leaves_behind_is_ended(tmp_path):
    note = tmp_path / "pid"
    source = ("import subprocess\nleft = subprocess.Popen(['sleep', '1000'])\n"
              f"open({str(note)!r}, 'w').write(str(left.pid))\ndef f(x): return sorted(x)")
    assert judge(source).right
    pid = int(note.read_text())
    for _ in range(500):                                    # its new parent has yet to collect it
        if not _alive(pid):
            break
        time.sleep(0.01)
    assert not _alive(pid)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not sys.platform.startswith("linux")


def test_an_answer_sees_no_environment_and_an_empty_folder(monkeypatch):
    monkeypatch.setenv("RLSCRATCH_TEST_VALUE", "1")
    source = "import os\ndef f(): return ['RLSCRATCH_TEST_VALUE' in os.environ, os.listdir()]"
    assert judge(source, [((), [False, []])]) == code.Verdict(True, "right")


def test_cases_run_in_order_in_one_process_and_their_arguments_are_fresh():
    source = "seen = []\ndef f(x):\n    seen.append(len(x))\n    x.append(0)\n    return list(seen)"
    assert judge(source, [(([],), [0]), (([],), [0, 0])]) == code.Verdict(True, "right", mutates=True)


def test_a_set_of_texts_whose_order_no_two_processes_share_is_not_changed_by_reading_it():
    words = {"one", "two", "three", "four", "five", "six", "seven"}
    for keep, mutates in (("len(words)", False), ("(words.add('eight'), 7)[1]", True)):
        source = f"def f(words, more): return {keep}"
        assert judge(source, [((words, [words]), 7)]) == code.Verdict(True, "right", mutates)


def test_the_arguments_here_are_never_touched():
    cases = [(([3, 1, 2],), [1, 2, 3])]
    judge("def f(x): x.clear(); return x", cases)
    assert cases == [(([3, 1, 2],), [1, 2, 3])]


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"answer_source": b"x"}, TypeError, "answer_source is b'x'; expected source text"),
    ({"function": "no name"}, ValueError, "function is 'no name'; expected a name"),
    ({"function": 3}, TypeError, "function is 3; expected a name"),
    ({"cases": []}, ValueError, r"cases is \[\]; expected a sequence of at least one"),
    ({"cases": [([1], 1)]}, TypeError, r"cases\[0\] is \(\[1\], 1\); expected a pair"),
    ({"cases": [((1,), 1), ((object,), 1)]}, TypeError, r"cases\[1\] .* expected plain values"),
    ({"cases": [((1,), float("nan"))]}, TypeError, r"cases\[0\] .* expected plain values"),
    ({"seconds": 0}, ValueError, r"seconds is 0; expected a number in \[0.001, 86400\]"),
    ({"megabytes": 0}, ValueError, "megabytes is 0; expected an integer in"),
    ({"megabytes": 1.5}, TypeError, "megabytes is 1.5; expected an integer")])
def test_bad_arguments_are_the_caller_s_errors(change, error, message):
    good = {"answer_source": "def f(x): return x", "function": "f", "cases": [((1,), 1)]}
    with pytest.raises(error, match=message):
        code.run(**{**good, **change})


def test_a_judge_that_cannot_start_raises_instead_of_judging(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "RUNNER", tmp_path / "nowhere.py")
    with pytest.raises(RuntimeError, match=r"did not start: .*nowhere\.py"):
        judge("def f(x): return sorted(x)")
