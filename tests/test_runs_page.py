"""The page of a run: what stands on it, two runs on one, and the same page served while a run trains."""
import html
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from rlscratch.__main__ import main
from rlscratch.report.runs import live, page
from rlscratch.report.runs.objective import ADVANTAGES, KNOWN, WEIGHTS, objective
from rlscratch.train import variants

pytestmark = pytest.mark.compiled_only("pages and processes, whichever backend trains")

PPO = {"command": "train ppo", "task": "addition", "seed": 0, "steps": 40, "lr": 0.001, "clip": 0.1, "lam": 0.9,
       "entropy": 0.01, "value_weight": 0.25, "beta": 0.05, "kl_target": 0.0, "kl_penalty": "k1-reward"}


@pytest.fixture
def run(tmp_path):
    """Write a run's folder, ended or under way; its path."""
    def write(name, config=PPO, steps=40, result=None, samples=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config | {"goal": None, "said": {}, "version": "0"}), "utf-8")
        (folder / "metrics.jsonl").write_text("".join(
            json.dumps({"step": n, "reward": n / 40, "kl": 0.1 if n % 2 else None}) + "\n"
            for n in range(1, steps + 1)), "utf-8")
        if result is not None:
            (folder / "result.json").write_text(json.dumps(config | result), "utf-8")
        if samples is not None:
            (folder / "samples.json").write_text(json.dumps(samples), "utf-8")
        return folder
    return write


ENDED = {"run_dir": "runs/x", "reward": 0.61, "reward_error": 0.0154, "measured_answers": 1000}
SAID = [{"prompt": "1+1=", "before": "<b>3</b>", "reward_before": 0.0, "after": "2", "reward_after": 1.0}]


def squeezed(source):
    """The letters of formulas, without a space."""
    return re.sub(r"[\s\u00a0\u2009]", "", html.unescape(re.sub(r"<[^>]*>", "", source))).replace("−", "-")


def words(source):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", source.partition("<main")[2])).split())


def test_a_run_s_page_has_objective_figures_curves_samples_and_every_choice(run):
    source = page.build([run("first", result=ENDED, samples=SAID)])
    text = words(source)
    assert "rlscratch train ppo , task addition, seed 0; 40 steps." in text
    assert "min(ρA,clip(ρ,0.9,1.1)A)" in squeezed(source) and "+0.25timesthemeanof(V-R)2/2" in squeezed(source)
    assert "reward 0.610 ± 0.015 (1000 answers)" in text and "before: 0 <b>3</b> after: 1 2" in text
    assert all(f"{name.replace('_', ' ')} {value}" in text for name, value in PPO.items()
               if name not in ("command", "kl_target", "steps"))
    assert re.findall(r'<svg [^>]*class="(\w+)"', source) == ["wide", "narrow"]
    assert "<b>3</b>" not in source and "http-equiv=\"refresh\"" not in source


def test_two_runs_stand_side_by_side_and_what_differs_is_marked(run):
    source = page.build([run("first", result=ENDED, samples=SAID),
                         run("second", PPO | {"clip": 0.3}, 20, samples=SAID)])
    text = words(source)
    assert "second: rlscratch train ppo , task addition, seed 0; 20 of 40 steps, not finished." in text
    assert "clip(ρ,0.9,1.1)" in squeezed(source) and "clip(ρ,0.7,1.3)" in squeezed(source)
    marked = re.findall(r'<tr class="parts"><th scope="row">(.*?)</th>', source)
    assert marked == ["reward", "clip"] and "clip 0.1 0.3" in text
    assert "first, after: 1 2" in text and "second, after: 1 2" in text


def test_before_a_run_s_first_step_its_page_shows_the_stage_that_it_is_in(run, tmp_path):
    folder = run("first", steps=0)
    assert "0 of 40 steps, not finished." in words(page.build([folder])) and page.read(folder).stage is None
    run("first/sft", PPO | {"command": "train sft", "steps": 90}, 30)
    source = page.build([folder])
    assert "0 of 40 steps, not finished. Before them come those of sft : 30 of 90 steps." in words(source)
    assert "What the steps wrote down" in words(source) and page.read(folder).drawn[0] == "first/sft"
    (folder / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5}\n', "utf-8")
    assert "Before them" not in words(page.build([folder])) and page.read(folder).drawn[0] == "first"


def test_a_run_under_way_has_a_page_and_a_line_that_is_half_written_is_waited_for(run):
    folder = run("young", steps=0)
    assert "0 of 40 steps, not finished" in words(page.build([folder])) and "<svg" not in page.build([folder])
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 1, "reward": 0.5}\n{"step": 2, "rew')
    source = page.build([folder], refresh=True)
    assert "1 of 40 steps" in words(source) and "<svg" in source
    assert '<meta http-equiv="refresh" content="3">' in source


def test_what_makes_two_runs_hard_to_compare_is_said(run):
    grpo = PPO | {"command": "train grpo", "task": "spelling", "variant": "grpo"}
    first, same, other = run("a"), run("b"), run("c", grpo)
    text = words(page.build([first, other]))
    assert "Two methods, train ppo and train grpo: their" in text and "Two tasks, addition and spelling: a" in text
    lake = run("d", {"command": "train q-learning", "map": "4x4", "alpha": 0.1, "gamma": 0.99, "alpha_decay": 0})
    assert "Two tasks" not in words(page.build([first, lake]))             # of which one has none by name
    notes = [page._notes([*map(page.read, folders)]) for folders in ([first], [first, same])]
    (same / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n', "utf-8")
    (said,) = page._notes([*map(page.read, [first, same])])
    assert notes == [[], []] and said.startswith("No figure of a step was written down by both")


def test_what_a_model_wrote_on_its_way_says_at_which_step(run):
    folder = run("text", {"command": "pretrain", "seed": 0}, steps=0)
    for step, wanted in ((5, "step 5 one"), (1000, "step 5 one step 1,000 two")):
        with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "sample": wanted.split()[-1]}) + "\n")
        assert wanted in words(page.build([folder])) and "before:" not in words(page.build([folder]))


def test_a_curve_of_words_is_refused_by_its_line(run):
    folder = run("a")
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 9, "loss": "hi"}\n')
    with pytest.raises(ValueError, match=r"loss in line \d+ of .*metrics.jsonl is 'hi'; expected a number"):
        page.build([folder])


def test_runs_of_one_name_are_told_apart_by_their_paths(run, tmp_path):
    (tmp_path / "a").mkdir()
    one, two = run("a/ppo"), run("ppo")
    assert f"{one} and {two}" in words(page.build([one, two]))


# ---------------------------------------------------------------- objectives

@pytest.mark.parametrize("name", variants.VARIANTS)
def test_every_variant_of_grpo_has_terms_for_its_weight_and_its_advantage_and_its_numbers(name):
    one = variants.VARIANTS[name]
    lines = objective({"command": "train grpo", "variant": name, "beta": None})
    assert lines[1] == WEIGHTS[one.weight] and lines[2] == ADVANTAGES[one.advantage] and name not in lines[0]
    clipped = re.search(r"clip\}\((?:s|\\rho), ([\d.]+), ([\d.]+)\)", lines[0])
    assert (clipped is None) == (one.eps_low is None)
    if clipped is not None:
        assert [*map(float, clipped.groups())] == pytest.approx([1 - one.eps_low, 1 + one.eps_high], 1e-5)
    in_loss = bool(one.beta) and one.kl_in_loss                 # then it belongs to L, else to A
    assert len(lines) == 3 + (bool(one.beta) and not in_loss)
    assert not one.beta or f" {one.beta:g} " in lines[0 if in_loss else 3]


@pytest.mark.parametrize(("config", "said"), [
    ({"command": "train q-learning", "alpha": 0.1, "gamma": 0.9, "alpha_decay": 0.5},
     "Q(s,a)←Q(s,a)+0.1[r+0.9maxQ(s′,·)-Q(s,a)]over 1+0.5(n-1) at the n-th visit"),
    ({"command": "train dqn", "delta": 2.0, "gamma": 0.9}, "with δ=2y=r+0.9maxQtarget(s′,·)"),
    ({"command": "train reinforce", "gamma": 0.9, "baseline": "batch_mean", "entropy": 0.1},
     "b:batch meanGt=rt+0.9Gt+1-0.1 times the mean entropy"),
    (PPO | {"kl_penalty": "k3-loss", "kl_target": 2.0}, "+0.05 times the mean of k3steered to 2 nats"),
    (PPO, "min(ρA,clip(ρ,0.9,1.1)A)-0.01 times the mean entropy"),
    (PPO, "rtloses0.05logππrefρ=ππoldAt=δt+1·0.9At+1δt=rt+1Vt+1-Vt"),
    (PPO, "rt loses 0.05logππref"),
    ({"command": "train dpo", "loss": "ipo", "beta": 0.25}, "(m-2)2"),
    ({"command": "train dpo", "loss": "dpo", "beta": 0.25}, "m=0.25[logππref(chosen)-logππref(rejected)]"),
    ({"command": "train reward-model", "loss": "pairs"}, "logσ(sbetter-sworse)"),
    ({"command": "train reward-model", "loss": "pairs", "belief": 0.3}, "s=w·h+0.3logπ(answer)"),
    ({"command": "train reward-model", "loss": "ratings"}, "(s-grade)22"),
    ({"command": "train reward-model", "loss": "plackett-luce"}, "of the best of each rest"),
    ({"command": "train grpo", "variant": "grpo", "beta": 0.5, "eps_high": 0.3}, "A)+0.5∑wk3ρ=ππold"),
    ({"command": "train expert-iteration", "kept": 2, "group": 8}, "of the 2 best of 8 answers"),
])
def test_an_objective_has_the_numbers_of_the_configuration(config, said):
    source = page.typeset(objective(config))
    assert source.count("<math") >= len(objective(config)) and "merror" not in source
    assert said.replace(" ", "") in squeezed(source), squeezed(source)


def test_every_training_command_has_an_objective():
    from rlscratch.__main__ import TRAIN
    assert set(KNOWN) == {*TRAIN, "pretrain"} and objective({"command": "train something"}) == []


# ---------------------------------------------------------------- the commands

def test_the_command_writes_the_page_and_names_it(run, capsys, tmp_path):
    folder = run("first", result=ENDED)
    assert main(["report", str(folder)]) == 0 and capsys.readouterr().out == f"{folder / 'index.html'}\n"
    own = (folder / "index.html").read_text("utf-8")
    assert main(["report", str(folder), str(run("second"))]) == 0
    assert capsys.readouterr().out == f"{folder / 'beside-second.html'}\n"
    assert (folder / "index.html").read_text("utf-8") == own != (folder / "beside-second.html").read_text("utf-8")
    assert main(["report", str(folder), str(folder), "--out", str(tmp_path / "both.html")]) == 0
    assert "What was measured" in (folder / "index.html").read_text("utf-8") and (tmp_path / "both.html").exists()


def test_bad_runs_are_one_line(run, tmp_path, capsys):
    run("first")
    run("whole", {"command": "rlhf"})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    for argv, said in (([str(tmp_path)], f"RUN is '{tmp_path}'; expected the folder of a run, such as runs/grpo"),
                       ([str(tmp_path / "whole")], f"RUN is '{tmp_path / 'whole'}'; expected the run of one method"),
                       ([str(tmp_path / "foreign")], f"RUN is '{tmp_path / 'foreign'}'; expected the folder of a"),
                       ([str(tmp_path / "first"), "--out", "."], "--out is '.'; expected a file, not a folder"),
                       ([str(tmp_path / "first")] * 3, "RUN is 3; expected one folder or two"),
                       ([str(tmp_path / "first"), "--live", "70000"], "--live is 70000; expected an integer in [0")):
        assert main(["report", *argv]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"rlscratch: {said}") and err.count("\n") == 1


@contextmanager
def in_a_thread(monkeypatch, folders, listener):
    """The page is served, and no longer: a server whose socket was closed under it asks for it without a pause."""
    begun = []

    class Server(live.ThreadingHTTPServer):
        def serve_forever(self):
            begun.append(self)
            super().serve_forever(poll_interval=0.02)

    monkeypatch.setattr(live, "ThreadingHTTPServer", Server)
    thread = threading.Thread(target=live.serve, args=(folders, listener))
    thread.start()
    try:
        yield
    finally:
        for server in begun:
            server.shutdown()
        thread.join()


def test_a_page_follows_its_run_and_its_half_lines_and_a_file_that_cannot_be_read_is_a_line_and_no_traceback(
        run, capsys, monkeypatch):
    folder = run("first", result=ENDED)
    whole = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(whole + b'{"half')                  # a run that is resumed
    monkeypatch.setattr(page, "REFRESH", 0)
    with live.listening(0) as listener, in_a_thread(monkeypatch, [folder], listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert "40 steps" in words(asked(url))
        first = json.loads(whole.splitlines()[0])
        (folder / "metrics.jsonl").write_bytes(whole + json.dumps(first | {"step": 41}).encode() + b"\n")
        assert "41 of 40 steps" in words(asked(url))
        (folder / "metrics.jsonl").write_bytes(b'{"half\n' + whole)
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(url)
        assert refused.value.code == 503 and "line 1 of" in refused.value.read().decode()
        refused.value.close()
    capsys.readouterr()
    assert main(["report", str(folder)]) == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_training_command_writes_its_page(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "q-learning", "--steps", "50", "--save-every", "10", "--page", "--run-dir", str(folder)]) == 0
    assert f"page: {folder / 'index.html'}\n" in capsys.readouterr().err
    text = words((folder / "index.html").read_text("utf-8"))
    assert "likeliest moves" in text and "probability of the goal" in text and "50 steps." in text


def test_a_port_in_use_is_one_line_before_anything_begins(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["train", "clone", "--live", str(port), "--quiet", "--run-dir", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err == f"rlscratch: --live is {port}; expected a port that is free (Address already in use); 0 takes any\n"
    assert not (tmp_path / "run").exists()


def asked(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.read().decode()


def test_the_page_is_served_while_a_run_trains_and_no_longer(tmp_path):
    argv = ["train", "q-learning", "--steps", "100000000", "--save-every", "1000", "--quiet", "--live", "0",
            "--run-dir", str(tmp_path / "run")]
    training = subprocess.Popen([sys.executable, "-m", "rlscratch", *argv], text=True, stderr=subprocess.PIPE)
    try:
        url = re.fullmatch(r"live: (http://127\.0\.0\.1:\d+/)\n", training.stderr.readline())[1]
        first = asked(url)
        assert "not finished" in words(first) and '<meta http-equiv="refresh"' in first
        for place, headers, status in (("etc/passwd", {}, 404), ("", {"Host": "evil.example"}, 403)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                asked(url + place, **headers)
            assert refused.value.code == status
            refused.value.close()
    finally:
        training.kill()                             # without a word: the child sees its input end
        training.wait()
        training.stderr.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            asked(url)
        except OSError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the page is still served")


def test_without_live_nothing_is_told_and_nothing_listens(monkeypatch, tmp_path):
    monkeypatch.setattr(live, "listening", lambda port: pytest.fail("a port was opened"))
    assert main(["train", "clone", "--steps", "2", "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    assert not (tmp_path / "run" / "index.html").exists()


def test_in_a_browser_nothing_is_broken_overflows_or_is_fetched(browser, run, tmp_path):
    ended = run("first", result=ENDED, samples=SAID)
    for name, folders in (("one", [ended]), ("two", [ended, run("second", PPO | {"clip": 0.3}, 20)])):
        browser.open(page.write(folders, tmp_path / f"{name}.html"), width=390, scheme="dark")
        for how in ({"width": 390, "scheme": "dark"}, {"width": 1280}):
            browser.show(**how)
            assert browser.overflow() == browser.console() == browser.requests() == []
            assert browser.smallest_text()[0] >= 10.99 and len(browser.find("figure").text) > 100
