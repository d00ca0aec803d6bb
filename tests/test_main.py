"""The command line itself: help, exit statuses, info.  Each command's own work is tested with its module."""
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys

import pytest

from rlscratch import __version__, kernels
from rlscratch.__main__ import COMMANDS, TRAIN, main
from rlscratch.bpe import CharacterTokenizer
from rlscratch.train.pretraining import text


def status_of(argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code


@pytest.mark.parametrize("argv", [[name] for name in COMMANDS] + [["train", name] for name in TRAIN]
                         + [["train"], ["info"]])
def test_every_command_has_help_with_an_example(argv, capsys):
    assert status_of([*argv, "--help"]) == 0
    assert f"example: rlscratch {' '.join(argv)}" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["pretrain"], ["rlhf"], *(["train", name] for name in TRAIN)])
def test_every_training_command_says_how_long_its_default_takes(argv, capsys):
    assert status_of([*argv, "--help"]) == 0
    assert re.search(r"processor time: \d+ (s|minutes?)\b", " ".join(capsys.readouterr().out.split()))


@pytest.mark.parametrize(("argv", "offered"), [(["trian"], [*COMMANDS, "train"]), (["train", "grop"], TRAIN)])
def test_who_asks_for_what_there_is_not_is_offered_all(argv, offered, capsys):
    assert status_of(argv) == 2
    said = capsys.readouterr().err
    assert argv[-1] in said and all(re.search(rf"\b{name}\b", said) for name in offered)


@pytest.mark.parametrize("argv", [["life", "--page", "x"], ["train", "grpo", "--taks", "addition"]])
def test_an_option_that_there_is_not_names_the_help_of_its_command(argv, capsys):
    assert status_of(argv) == 2
    said = capsys.readouterr().err
    assert f"{argv[-2]} {argv[-1]}" in said and f"rlscratch {' '.join(argv[:-2])} --help" in said


def test_alone_it_prints_its_help(capsys):
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("usage: rlscratch") and all(name in said.out for name in COMMANDS) and said.err == ""


@pytest.mark.parametrize(("argv", "said"), [
    (["pretrain", "--text", "none.txt"], "none.txt: No such file or directory; give the path of a file or"),
    (["pretrain", "--text", "."], ".: Is a directory; give the path of a file in it"),
    (["pretrain", "--text", "file/x"], "file/x: Not a directory; a part of this path is a file; give a"),
    (["pretrain", "--steps", "1", "--run-dir", "file/x"], "file/x: Not a directory; a part of this path is a file"),
    (["tokenize", "--train", "file", "--out", "file"], "file: File exists; give a path where nothing is yet, or"),
])
def test_a_bad_path_gets_one_line_with_what_to_do(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("she sells sea shells", "utf-8")
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rlscratch: {said}") and err.count("\n") == 1


@pytest.mark.parametrize("argv", [["dance"], ["train"], ["train", "dance"], ["info", "--loud"]])
def test_bad_arguments_exit_with_2(argv, capsys):
    assert status_of(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("rlscratch")
    assert said.endswith("--help\n")
    assert said.count("\n") == 1


def test_an_environment_that_asks_for_what_is_not_there_gets_one_line():
    asked = {"RLSCRATCH_PURE": "1", "RLSCRATCH_REQUIRE_C": "1"}
    done = subprocess.run([sys.executable, "-m", "rlscratch", "info"], env=os.environ | asked, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("rlscratch: RLSCRATCH_PURE=1 and RLSCRATCH_REQUIRE_C=1 contradict")
    assert done.stderr.count("\n") == 1


def test_a_terminal_without_unicode_shows_question_marks():
    done = subprocess.run([sys.executable, "-m", "rlscratch", "ledger", "--document", "001"], capture_output=True,
                          env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert done.returncode == 0 and done.stderr == b""
    assert b"?" in done.stdout and done.stdout.isascii()


UNDRAWN = """
import sys, types
sys.modules['rlscratch.report.curves'] = types.SimpleNamespace(of_finished=lambda *_: None, training=print)
from rlscratch.__main__ import main
sys.exit(main())
"""


@pytest.mark.compiled_only("a stream is closed, whichever backend wrote to it")
@pytest.mark.parametrize(("closed", "draws"), [
    (">&-", False), ("2>&-", False), ("<&-", False), ("<&- >&- 2>&-", True)])
def test_a_stream_that_is_closed_stops_nothing(closed, draws, tmp_path):
    python = [sys.executable, *(["-m", "rlscratch"] if draws else ["-c", UNDRAWN])]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *python, "train", "q-learning", "--steps", "50",
                           "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "learning_curve.svg").exists() == draws
    assert bool(done.stdout) == (">&-" not in closed.split())


def test_a_text_from_standard_input_keeps_its_line_ends(tmp_path):
    CharacterTokenizer("a\r\n").save(tmp_path)
    done = subprocess.run([sys.executable, "-m", "rlscratch", "tokenize", "--ids", "--tokenizer", str(tmp_path)],
                          input=b"a\r\na\ra\n", capture_output=True, check=False)
    assert done.stdout.split() == [b"0", b"1", b"2", b"0", b"1", b"0", b"2"] and done.returncode == 0


def test_a_file_is_no_folder_for_a_run(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    assert main(["train", "q-learning", "--steps", "10", "--quiet", "--run-dir", str(file)]) == 2
    assert "expected a folder; this is a file" in capsys.readouterr().err and file.read_text() == "mine"


def test_version(capsys):
    assert status_of(["--version"]) == 0
    assert capsys.readouterr().out == f"rlscratch {__version__}\n"


def test_info_names_what_this_runs_on(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == kernels.BACKEND
    assert facts["threads"] == kernels.threads() >= 1
    assert set(facts) >= {"rlscratch", "instruction set", "numpy", "blas", "threads"}
    assert main(["info"]) == 0
    assert "backend               " + kernels.BACKEND in capsys.readouterr().out


# ---------------------------------------------------------------- Ctrl-C, and what else ends a command

INTERRUPTED = """
import os, signal, sys, threading, time
from rlscratch.__main__ import main
after, file, *argv = sys.argv[1:]
def interrupt():
    while file and not os.path.exists(file):
        time.sleep(0.002)
    time.sleep(float(after))
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main(argv))
"""


@pytest.mark.compiled_only("Ctrl-C is answered before a backend is asked")
@pytest.mark.parametrize(("file", "after"), [         # so many seconds after this file is there, or from the beginning
    ("", 0.02), ("", 0.1), ("", 0.2), ("", 0.4), ("config.json", 0), ("state.npz", 0), ("state.npz", 0.2)])
def test_ctrl_c_is_one_line_at_any_moment(file, after, tmp_path):
    folder = tmp_path / "run"
    argv = ["train", "q-learning", "--steps", "100000000", "--save-every", "1000", "--quiet", "--run-dir", str(folder)]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(after), file and str(folder / file), *argv],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130 and done.stderr.count("\n") == 1, done.stderr
    said = done.stderr.removeprefix("rlscratch: interrupted; ")
    if (folder / "config.json").exists():
        assert said == (f"what {folder} has saved is whole, and rlscratch train q-learning --resume --run-dir {folder} "
                        "goes on from there\n")
    else:
        assert said in ("nothing had begun\n", "nothing was finished\n")


def test_ctrl_c_is_answered_as_before_when_a_command_has_ended():
    before = signal.getsignal(signal.SIGINT)
    assert main(["info"]) == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("fails", "status", "says"), [
    (OSError(errno.ENOSPC, "No space left on device", "runs/a/state.npz"), 1,
     "runs/a/state.npz: No space left on device; make room; nothing was finished"),
    (MemoryError("Unable to allocate 7 TiB"), 1, "memory ran out: Unable to allocate 7 TiB; a smaller model or batch "),
    (KeyboardInterrupt(), 130, "interrupted; nothing was finished")])
def test_what_ends_a_command_is_one_line(fails, status, says, monkeypatch, capsys):
    def run(*_):
        raise fails

    monkeypatch.setattr("rlscratch.train.tabular.q_learning.run", run)
    assert main(["train", "q-learning"]) == status
    said = capsys.readouterr().err
    assert said.startswith(f"rlscratch: {says}") and said.count("\n") == 1


@pytest.mark.parametrize(("argv", "option"), [
    ("pretrain --width 100000 --heads 1", "--batch x context x width x layers is (16, 128, 100000, 4)"),
    ("pretrain --layers 1000000", "--batch x context x width x layers is (16, 128, 192, 1000000)"),
    ("pretrain --batch 1000000000", "--batch x"), ("train dqn --hidden 10000000000", "--hidden"),
    ("train dqn --buffer 1000000000000", "--buffer"), ("train dqn --batch 1000000000000", "--batch"),
    ("train sft --task ice-cream-text --shown 100000000000", "--shown"),
    ("train sft --task ice-cream-text --batch 1000000000000", "--batch"),
    ("train reward-model --task ice-cream-text --rankings 1000000000000", "--rankings"),
    ("train grpo --task ice-cream-text --group 1000000000000", "--group"),
    ("train reinforce --episodes 1000000000000", "--episodes"), ("train grpo --groups 1000000000000", "--groups")])
def test_what_memory_cannot_hold_is_said_before_anything_is_made(argv, option, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(text, "reference", lambda: "to be or not to be, that is the question. " * 50)
    assert main([*argv.split(), "--quiet", "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rlscratch: {option}") and said.count("\n") == 1
    assert re.search(r"expected less: it would take [\d,.e+]+ GiB of memory at the least, and there are [\d.]+\n", said)
    assert not (tmp_path / "run").exists()


@pytest.mark.compiled_only("files know no backend")
@pytest.mark.parametrize(("argv", "bytes_", "file"), [
    (("q-learning", "--steps", "300", "--save-every", "1"), 8000, "metrics.jsonl"),
    (("q-learning", "--steps", "20", "--save-every", "10"), 1500, "state.npz"),
    (("sft", "--task", "ice-cream-text", "--steps", "1"), 9000, "model-1.safetensors")])
def test_where_no_more_can_be_written_one_line_names_the_file_and_no_half_of_it_stays(argv, bytes_, file, tmp_path):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))         # of each file

    # -B: Python would cut off the files of compiled modules, too, and all later processes would fail on them
    done = subprocess.run([sys.executable, "-B", "-m", "rlscratch", "train", *argv, "--quiet", "--run-dir",
                           str(tmp_path)], capture_output=True, text=True, check=False, preexec_fn=small)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert f"{tmp_path / file}: File too large; make room; what {tmp_path} has saved is whole" in done.stderr
    assert not list(tmp_path.glob(".*.part"))
