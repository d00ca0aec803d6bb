"""People rank answers: the file, the server, and `rlscratch rank` as a shell calls it.

What is asked: two prompts, three answers and two.  The page itself is opened in tests/test_rank_page.py.
"""
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rlscratch import checkpoint, files
from rlscratch.__main__ import main
from rlscratch.bpe import CharacterTokenizer
from rlscratch.cli import rank
from rlscratch.report.rank import judgements, server
from rlscratch.report.rank.judgements import Judgements, Question
from rlscratch.train.language import chat, data
from rlscratch.transformer import Config, Transformer

pytestmark = pytest.mark.compiled_only("what people say, whichever backend answered")

ASKED = [Question("1+1=", ("2", "3", "two")), Question("say hello", ("hello", "<b>ho</b>"))]


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def kept(tmp_path):
    """Judgements in an empty folder."""
    found = Judgements(tmp_path / "said.jsonl", ASKED)
    yield found
    found.close()


def again(kept, asked=ASKED, seed=0):
    """The same file, opened once more."""
    kept.close()
    return Judgements(kept.path, asked, seed)


# ---------------------------------------------------------------- the file

def test_a_judgement_is_one_line_of_preferences_in_the_order_of_the_file(kept):
    told = kept.next(" Ann ")
    assert (told["who"], told["done"], told["total"], told["number"]) == ("Ann", 0, 2, 0)
    place = {"2": 1, "two": 1, "3": 3}                                  # a tie, and places with a gap
    kept.add("Ann", 0, [place[text] for text in told["answers"]])
    kept.add("Ann", 1, None)
    one, other = lines_of(kept.path)
    assert (one["prompt"], one["completions"], one["ranking"], one["who"]) == (
        "1+1=", ["2", "3", "two"], [1, 2, 1], "Ann")
    assert [one["completions"][i] for i in one["shown"]] == told["answers"] and one["when"].endswith("+00:00")
    assert other["ranking"] is None and kept.next("Ann")["number"] is None and kept.next("Ben")["number"] == 0
    assert data.read_preferences(kept.path) == [("1+1=", ["2", "3"], "Ann"), ("1+1=", ["two", "3"], "Ann")]


def test_orders_differ_between_people_and_prompts_and_not_between_visits(kept):
    orders = {tuple(kept.next(f"p{n}")["answers"]) for n in range(40)}
    assert len(orders) == 6                                             # of 3 answers, all there are
    first = kept.next("Ann")
    reopened = again(kept)
    assert reopened.next("Ann") == first
    others = [again(reopened, seed=seed) for seed in (1,)]
    assert any(others[0].next(f"p{n}")["answers"] != kept.next(f"p{n}")["answers"] for n in range(9))
    others[0].close()


def test_who_comes_back_goes_on_and_nothing_is_written_twice(kept):
    for _ in range(2):                                                  # a browser that asks twice
        kept.add("Ann", 0, [1, 2, 3])
    kept.add("Ben", 1, None)
    reopened = again(kept)
    assert reopened.next("Ann")["number"] == 1 and reopened.next("Ben")["number"] == 0 and reopened.count == 2
    reopened.add("Ann", 0, [3, 2, 1])
    assert len(lines_of(kept.path)) == 2
    reopened.close()


def test_many_people_at_once_lose_no_line(kept):
    def person(name):
        while (told := kept.next(name))["number"] is not None:
            kept.add(name, told["number"], list(range(1, 1 + len(told["answers"]))))

    threads = [threading.Thread(target=person, args=(f"p{n % 8}",)) for n in range(16)]     # each name in two tabs
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = lines_of(kept.path)
    assert len(said) == 16 == len({(line["who"], line["prompt"]) for line in said})


WHOLE = {"prompt": "1+1=", "completions": ["2", "3", "two"], "ranking": [1, 2, 3], "who": "Ann"}


@pytest.mark.parametrize("half", [json.dumps(WHOLE)[:n] for n in (1, 30, -1)])
def test_a_half_written_last_line_is_cut_off_with_a_warning_and_its_prompt_asked_again(half, tmp_path, capsys):
    path = written(tmp_path / "said.jsonl", WHOLE, WHOLE | {"who": "Ben"})
    before = path.read_bytes()
    path.write_bytes(before + half.encode())
    found = Judgements(path, ASKED)
    assert "said.jsonl, line 3 is half written, and left out" in capsys.readouterr().err
    assert path.read_bytes() == before and found.count == 2 and found.next("Cal")["number"] == 0
    assert (tmp_path / "said.jsonl.half").read_text() == half + "\n"             # nothing is lost
    found.add("Cal", 0, [1, 1, 2])
    assert [line["who"] for line in lines_of(path)] == ["Ann", "Ben", "Cal"]
    found.close()


def test_a_file_that_is_no_file_of_judgements_is_left_as_it_is(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("my only copy of a poem", "utf-8")
    with pytest.raises(ValueError, match=r"poem.txt, line 1: 'my only copy of a poem' is no JSON"):
        Judgements(path, ASKED)
    assert path.read_text("utf-8") == "my only copy of a poem" and [*tmp_path.iterdir()] == [path]


def test_a_file_of_half_a_line_begins_anew_and_a_last_line_without_its_end_is_kept(tmp_path, capsys):
    path = tmp_path / "said.jsonl"
    path.write_text('{"prom', "utf-8")
    found = Judgements(path, ASKED)
    assert path.read_bytes() == b"" and "line 1 is half written" in capsys.readouterr().err
    found.close()
    path.write_text(json.dumps(WHOLE), "utf-8")
    found = Judgements(path, ASKED)
    found.add("Ben", 0, None)
    assert [line["who"] for line in lines_of(path)] == ["Ann", "Ben"]
    found.close()


@pytest.mark.parametrize(("wrong", "says"), [
    ({"prompt": "2+2="}, "the prompt '2+2=' is unknown; expected one of the 2 that are asked now"),
    ({"completions": ["2", "3", "four"]}, "the answers to '1+1=' are not those of now; expected the prompts, the"),
    ({"ranking": [1, 2]}, 'the field "ranking" is [1, 2]; expected 3 whole numbers'),
    ({"ranking": [1, 2, "3"]}, 'the field "ranking" is [1, 2, "3"]; expected 3 whole numbers'),
    ({"ranking": 1}, 'the field "ranking" is 1; expected 3 whole numbers'),
    ({"who": None}, 'the field "who" is null; expected a text')])
def test_a_file_that_does_not_fit_is_named_with_its_line_and_left_as_it_is(wrong, says, tmp_path):
    path = written(tmp_path / "said.jsonl", WHOLE, WHOLE | wrong)
    path.write_bytes(path.read_bytes() + b'{"half')
    before = path.read_bytes()
    with pytest.raises(ValueError) as error:
        Judgements(path, ASKED)
    assert str(error.value).startswith(f"{path}, line 2: {says}") and path.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_file_whole(kept, monkeypatch):
    kept.add("Ann", 0, [1, 2, 3])
    before = kept.path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*said\.jsonl"):
            kept.add("Ann", 1, [1, 2])
    assert kept.path.read_bytes() == before and kept.next("Ann")["number"] == 1
    kept.add("Ann", 1, [1, 2])
    assert len(lines_of(kept.path)) == 2


def test_two_processes_do_not_write_to_one_file(kept):
    with pytest.raises(ValueError, match=r"out is '.*; expected a file that no other process writes to"):
        Judgements(kept.path, ASKED)


@pytest.mark.parametrize(("said", "says"), [
    (("", 0, None), "who is ''; expected a name of 1 to 60 letters"),
    (("x" * 61, 0, None), "expected a name of 1 to 60"), (("a\x00b", 0, None), "expected a name"),
    ((7, 0, None), "who is 7; expected a name"), (("Ann", 2, None), r"number is 2; expected an integer in \[0, 1\]"),
    (("Ann", True, None), "number is True"), (("Ann", 0, [1, 2]), r"places is \[1, 2\]; expected 3 whole numbers"),
    (("Ann", 0, [-5, 9, 0]), "expected 3 whole numbers from 1 to 3"), (("Ann", 0, [1, 2, 4]), "from 1 to 3"),
    (("Ann", 0, [1, 2, 2.5]), "expected 3 whole numbers"), (("Ann", 0, "123"), "expected 3 whole numbers")])
def test_what_is_no_judgement_is_refused_and_not_written(said, says, kept):
    with pytest.raises((ValueError, TypeError), match=says):
        kept.add(*said)
    assert kept.path.read_bytes() == b"" and kept.count == 0


@pytest.mark.parametrize(("lines", "says"), [
    ([{"prompt": "a"}, {"prompt": "a"}], "line 2: the prompt 'a' has come before; expected prompts that differ"),
    ([{"prompt": "a", "completions": ["b"]}], 'line 1: the field "completions" is ["b"]; expected a list of at least'),
    ([{"prompt": "a", "completions": ["b", "b"]}], "expected answers that differ"),
    ([{"prompt": "a", "completions": ["b", 7]}], 'the field "completions[1]" is 7; expected a text'), ([], "no line")])
def test_prompts_that_cannot_be_asked_are_named(lines, says, tmp_path):
    with pytest.raises(ValueError) as error:
        judgements.questions(written(tmp_path / "asked.jsonl", *lines))
    assert says in str(error.value)


def test_a_table_has_who_said_what_and_nothing_where_nobody_spoke(kept):
    kept.add("Ann", 0, [1, 2, 3])
    kept.add("Ben", 0, None)
    found = list(judgements.read(kept.path))
    names, asked, places = judgements.table(found)
    assert names == ["Ann", "Ben"] and asked == ASKED[:1]
    order = lines_of(kept.path)[0]["shown"]
    np.testing.assert_array_equal(places, [[np.argsort(order) + 1, [np.nan] * 3]])
    kept.add("Ann", 1, [1, 2])
    with pytest.raises(ValueError, match=r"the numbers of answers is \[2, 3\]; expected one"):
        judgements.table(list(judgements.read(kept.path)))


# ---------------------------------------------------------------- the server

@pytest.fixture
def served(kept):
    """A server of these judgements, in a thread of its own."""
    with running(kept) as one:
        yield one


class running:
    """A server, as long as the context lasts."""

    def __init__(self, kept, **options):
        self.server = server.Server(kept, **{"port": 0, **options})
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self.server

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def ask(served, method, path, body=None, **headers):
    """(status, the JSON or the text that comes back)."""
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    link.request(method, path, None if body is None else json.dumps(body), sent if body is not None else headers)
    reply = link.getresponse()
    content = reply.read().decode()
    link.close()
    return reply.status, json.loads(content) if reply.headers.get_content_type() == "application/json" else content


def test_the_page_and_what_it_asks_are_served_on_the_machine_itself(served, kept):
    assert served.server_address[0] == "127.0.0.1" and served.address == f"http://127.0.0.1:{served.port}/"
    status, text = ask(served, "GET", "/")
    assert status == 200 and "<title>rlscratch: rank the answers</title>" in text and "://" not in text
    status, told = ask(served, "GET", "/next?who=Ann%20Lee")
    assert (status, told["who"], told["number"]) == (200, "Ann Lee", 0) and sorted(told["answers"]) == ["2", "3", "two"]
    status, told = ask(served, "POST", "/judge", {"who": "Ann Lee", "number": 0, "places": [1, 2, 2]})
    assert (status, told["number"], told["done"]) == (200, 1, 1)
    assert sorted(lines_of(kept.path)[0]["ranking"]) == [1, 2, 2]
    assert ask(served, "GET", "/other")[0] == ask(served, "POST", "/other", {})[0] == 404


def test_another_site_in_the_same_browser_reaches_nothing(served, kept):
    body = {"who": "Eve", "number": 0, "places": None}
    assert ask(served, "GET", "/next?who=Eve", Host="evil.example")[0] == 403          # a name that leads here
    assert ask(served, "POST", "/judge", body, Host=f"evil.example:{served.port}")[0] == 403
    assert ask(served, "POST", "/judge", body, Content_Type="text/plain")[0] == 415    # what a form may send unasked
    assert ask(served, "GET", "/next?who=Eve", Host=f"localhost:{served.port}")[0] == 200
    assert kept.path.read_bytes() == b""


def test_from_outside_every_address_needs_the_token(kept):
    with running(kept, host="0.0.0.0") as one, running(kept, host="0.0.0.0") as other:
        assert len(one.token) >= 20 and one.token != other.token and one.address.endswith(f":{one.port}/{one.token}/")
        for method, path, body in (("GET", "", None), ("GET", "next?who=Ann", None),
                                   ("POST", "judge", {"who": "Ann", "number": 0, "places": None})):
            for prefix in ("/", f"/{other.token}/", f"/{one.token[:-1]}/", f"/{one.token}", f"/{one.token[:-1]}x/"):
                assert ask(one, method, prefix + path, body)[0] == 404
        assert kept.path.read_bytes() == b""
        assert ask(one, "GET", one.path)[0] == ask(one, "GET", f"{one.path}next?who=Ann")[0] == 200
        assert ask(one, "POST", f"{one.path}judge", {"who": "Ann", "number": 0, "places": None})[0] == 200


@pytest.mark.parametrize(("body", "says"), [
    ({"who": "", "number": 0, "places": None}, "expected a name"), ({"who": "Ann"}, "the judgement lacks a field"),
    ({"who": "Ann", "number": 0, "places": [1]}, "expected 3 whole numbers"), ([], "the judgement lacks a field"),
    ({"who": "Ann", "number": "0", "places": None}, "number is '0'")])
def test_a_judgement_that_will_not_do_is_answered_with_what_is_wrong(body, says, served, kept):
    status, told = ask(served, "POST", "/judge", body)
    assert status == 400 and says in told["error"] and kept.path.read_bytes() == b""


def test_a_body_that_is_no_json_or_too_large_or_of_no_length_is_refused(served, kept):
    for said, status in ((b"Content-Length: 3\r\n\r\n{7}", b"400"), (b"Content-Length: 999999\r\n\r\n", b"413"),
                         (b"\r\n", b"413"), (b"Content-Length: -1\r\n\r\n", b"413")):
        head = f"POST /judge HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n".encode()
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as link:
            link.sendall(head + said)
            assert link.recv(100).split()[1] == status
    assert kept.path.read_bytes() == b""


def test_a_browser_that_goes_away_in_the_middle_ends_its_own_request_alone(served, kept, capsys):
    whole = json.dumps({"who": "Ann", "number": 0, "places": [1, 2, 3]}).encode()
    head = (f"POST /judge HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(whole)}\r\n\r\n").encode()
    for sent in (b"", b"POST /ju", head, head + whole[:20]):
        link = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        link.sendall(sent)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")         # gone, without goodbye
        link.close()
    assert ask(served, "GET", "/next?who=Ann")[1]["number"] == 0 and kept.path.read_bytes() == b""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as link:          # gone before the answer
        link.sendall(head + whole)
    deadline = time.monotonic() + 10
    while not kept.count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ask(served, "GET", "/next?who=Ann")[1]["number"] == 1                            # said is said
    assert ask(served, "POST", "/judge", json.loads(whole))[1]["number"] == 1 and len(lines_of(kept.path)) == 1
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_told_to_the_person_who_can_try_again(served, kept, monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        status, told = ask(served, "POST", "/judge", {"who": "Ann", "number": 0, "places": [1, 2, 3]})
    assert (status, told) == (507, {"error": "not saved: No space left on device"}) and kept.path.read_bytes() == b""
    assert capsys.readouterr().err == f"rlscratch: {kept.path}: No space left on device; a judgement is not saved\n"
    assert ask(served, "POST", "/judge", {"who": "Ann", "number": 0, "places": [1, 2, 3]})[0] == 200


def test_a_host_that_is_none_and_a_port_in_use_are_named(served, kept):
    with pytest.raises(RuntimeError, match=rf"port {served.port} of 127.0.0.1: .*in use; --port 0 takes one that is"):
        server.Server(kept, port=served.port)
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(ValueError, match=f"host is '{host}'; expected an address of this machine"):
            server.Server(kept, host=host, port=0)
    with pytest.raises(ValueError, match=r"port is 70000; expected an integer in \[0, 65535\]"):
        server.Server(kept, port=70_000)


# ---------------------------------------------------------------- the command

@pytest.fixture
def asked_file(tmp_path):
    """The questions of this page as --prompts takes them."""
    return written(tmp_path / "asked.jsonl", *({"prompt": q.prompt, "completions": q.completions} for q in ASKED))


def test_the_command_goes_on_where_people_stopped_and_ctrl_c_is_one_line(asked_file, tmp_path):
    said = written(tmp_path / "said.jsonl", WHOLE)
    argv = [sys.executable, "-m", "rlscratch", "rank", "--prompts", asked_file, "--out", said, "--port", "0", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        assert (told["prompts"], told["judgements"], told["out"]) == (2, 1, str(said))
        link = http.client.HTTPConnection("127.0.0.1", int(told["address"].split(":")[2].strip("/")), timeout=20)
        link.request("GET", "/next?who=Ann")
        assert json.loads(link.getresponse().read())["number"] == 1
        link.request("POST", "/judge", json.dumps({"who": "Ben", "number": 0, "places": None}),
                     {"Content-Type": "application/json"})
        assert json.loads(link.getresponse().read())["done"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == (f"rlscratch: interrupted; {said} has 2 judgements of 2 people, and the same "
                                         "command goes on from there\n")
    assert [line["who"] for line in lines_of(said)] == ["Ann", "Ben"]


def test_a_port_in_use_and_a_file_in_use_are_one_line(asked_file, served, kept, tmp_path, capsys):
    argv = ["rank", "--prompts", str(asked_file), "--port", str(served.port), "--out"]
    assert main([*argv, str(tmp_path / "other.jsonl")]) == 1
    assert capsys.readouterr().err == (f"rlscratch: port {served.port} of 127.0.0.1: Address already in use; --port 0 "
                                       "takes one that is free\n")
    assert main([*argv, str(kept.path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rlscratch: --out is ") and said.count("\n") == 1


@pytest.fixture
def answering(tmp_path):
    """A run's folder: an untrained model that answers prompts of letters to p."""
    tokenizer = CharacterTokenizer("abcdefghijklmnop", chat.SPECIAL)
    checkpoint.save(tmp_path / "run", Transformer(Config(tokenizer.vocab_size, 16, 16, 1, 2), np.random.default_rng(0)))
    tokenizer.save(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def asked_of(monkeypatch):
    """What `rlscratch rank` would ask; it ends before it serves."""
    found = []

    def stop(kept, *_):
        found.append(kept.asked)
        kept.close()
        raise RuntimeError("enough")

    monkeypatch.setattr(rank, "Server", stop)

    def call(*argv):
        assert main(["rank", *map(str, argv)]) == 1
        return {question.prompt: question.completions for question in found.pop()}

    return call


def test_a_model_s_answers_differ_and_depend_on_seed_and_prompt_alone(answering, asked_of, tmp_path):
    some = written(tmp_path / "some.jsonl", {"prompt": "ab"}, {"prompt": "c", "completions": ["a", "b"]})
    more = written(tmp_path / "more.jsonl", {"prompt": "cc"}, {"prompt": "ab"})
    run = ["--run-dir", answering, "--out", tmp_path / "said.jsonl", "--answers", 3]
    first = asked_of("--prompts", some, *run)
    assert len(set(first["ab"])) == 3 and first["c"] == ("a", "b")
    assert asked_of("--prompts", more, *run)["ab"] == first["ab"]
    assert asked_of("--prompts", some, *run, "--seed", 1)["ab"] != first["ab"]
    assert all(len(text) <= 2 for text in asked_of("--prompts", some, *run, "--max-new-tokens", 2)["ab"])


@pytest.mark.parametrize(("line", "argv", "says"), [
    ({"prompt": "a"}, [], "--run-dir is None; expected a run that answers the prompts of asked.jsonl, or completions"),
    ({"prompt": "a", "completions": ["b", "c"]}, ["--run-dir", "run"], "--run-dir is 'run'; expected no model: the f"),
    ({"prompt": "a"}, ["--run-dir", "run", "--answers", "1"], "--answers is 1; expected an integer >= 2"),
    ({"prompt": "a"}, ["--run-dir", "run", "--max-new-tokens", "16"], "--max-new-tokens is 16; expected an integer in"),
    ({"prompt": "a"}, ["--run-dir", "run", "--temperature", "0"], "--temperature is 0.0; expected"),
    ({"prompt": "a", "completions": ["b", "c"]}, ["--temperature", "nan"], "--temperature is nan; expected"),
    ({"prompt": "a", "completions": ["b", "c"]}, ["--max-new-tokens", "0"], "--max-new-tokens is 0; expected"),
    ({"prompt": "a" * 20}, ["--run-dir", "run"], "--max-new-tokens is "),
    ({"prompt": "a", "completions": ["b", "c"]}, ["--host", "no such host"], "--host is 'no such host'; expected an "),
    ({"prompt": "a"}, ["--run-dir", "plain"], "--run-dir is 'plain'; expected a run that answers prompts, such as one"),
])
def test_bad_arguments_are_one_line(line, argv, says, answering, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path / "plain", Transformer(Config(3, 16, 16, 1, 2), np.random.default_rng(0)))
    CharacterTokenizer("abc").save(tmp_path / "plain")
    written(tmp_path / "asked.jsonl", line)
    assert main(["rank", "--prompts", "asked.jsonl", "--out", "said.jsonl", "--port", "0", *argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rlscratch: {says}") and said.count("\n") == 1


def test_prompts_to_which_a_model_has_one_answer_alone_are_left_out(answering, asked_of, tmp_path, capsys):
    said = {"completions": ["b", "c"]}
    path = written(tmp_path / "asked.jsonl", {"prompt": "a"}, {"prompt": "b", **said})
    argv = ["--prompts", path, "--run-dir", answering, "--out", tmp_path / "said.jsonl", "--temperature", 1e-6]
    assert asked_of(*argv) == {"b": ("b", "c")}
    assert "left out: 1 prompts to which all answers are equal" in capsys.readouterr().err
    assert main(["rank", "--prompts", str(written(path, {"prompt": "a"})), *map(str, argv[2:])]) == 2
    assert capsys.readouterr().err == (
        "rlscratch: --temperature is 1e-06; expected a higher one, such as 4: to each of the 1 prompts the model has "
        "one answer alone, as to 'a', and two are needed to rank\n")


def test_the_line_is_on_the_disk_before_anybody_is_told(kept, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), real(handle)))
    kept.add("Ann", 0, [1, 2, 3])
    assert synced == [kept.path.stat().st_size] and synced[0] > 0
