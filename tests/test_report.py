"""The tour: a ladder of examples run as processes, and one page that needs nothing but itself.

Where chromium is installed, the page is opened in it: nothing may be broken, fetched or wider than the screen.
"""
import argparse
import functools
import html.parser
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from rlscratch.documents import entries, ledger
from rlscratch.documents.entry import VERDICTS
from rlscratch.documents.errata import errata
from rlscratch.report.tour import command as tour
from rlscratch.report.tour import ladder, library, page, questions

LONGEST = 60                # seconds of any rung's budget

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

GOOD = '''"""A first rung: it prints and draws.

Document 002 has this.

Look for the <b>line</b>.
"""
BUDGET = 5  # seconds of processor time
from rlscratch.report import figures
from rlscratch.formulas.ppo import ratio
print("ratio", round(ratio([-0.5], [-1.0])[0], 3), "<script>alert(1)</script> ≈")
fig, ax = figures.new()
ax.plot([0, 1], [0, 1])
figures.save(fig, "01_line", "A line, from 0 to 1 & back.")
'''
BAD = '"""A second rung"""\nBUDGET = 5\nprint("so far")\nraise SystemExit("it <broke>")\n'


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "01_line.py").write_text(GOOD, "utf-8")
    (folder / "02_bad.py").write_text(BAD, "utf-8")
    (folder / "notes.py").write_text("no rung", "utf-8")
    return folder


@pytest.fixture(scope="module")
def results(examples):
    return ladder.run_all(ladder.rungs(examples), quiet=True)


@pytest.fixture(scope="module")
def rows():
    return ledger.table()


@pytest.fixture(scope="module")
def built(rows, results):
    return page.build(rows, results, questions=ladder.run_all(questions.shipped(), quiet=True))


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and all text outside style and script."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        self.open.append("/" + tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


# ---------------------------------------------------------------- the ladder

def test_a_rung_is_read_without_being_run(examples):
    first, second = ladder.rungs(examples)
    assert (first.name, first.title, first.budget) == ("01_line", "A first rung: it prints and draws", 5)
    assert first.lesson == "Document 002 has this.\n\nLook for the <b>line</b>."
    assert (second.title, second.lesson, second.source) == ("A second rung", "", BAD)


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
def test_a_rung_shows_what_it_printed_and_drew(results):
    result = results[0]
    assert result.output == "ratio 1.649 <script>alert(1)</script> ≈" and result.error == ""
    (figure,) = result.figures
    assert figure.name == "01_line" and figure.caption == "A line, from 0 to 1 & back." and b"<svg" in figure.svg
    assert 0 < result.seconds <= result.rung.budget and not result.recorded


def test_a_failure_is_a_result_and_the_others_are_run(results):
    assert [result.rung.name for result in results] == ["01_line", "02_bad"]
    assert results[1].output == "so far" and "exit status 1" in results[1].error and "it <broke>" in results[1].error


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
def test_a_rung_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "LEAST", 1)
    script = tmp_path / "01_endless.py"
    script.write_text('"""Endless"""\nBUDGET = 0.1\nprint("begun", flush=True)\nwhile True: pass\n')
    result = ladder.run(ladder.read(script))
    assert result.output == "begun" and result.error == "stopped by signal 9; patience ends after 2 s"


@pytest.mark.parametrize("source, expected", [
    ("BUDGET = 3\n", "has no docstring; expected a title in its first line"),
    ('"""T"""\n', "BUDGET in .* is missing; expected one line, BUDGET = seconds > 0"),
    ('"""T"""\nBUDGET = "long"\n', r"BUDGET in .* is \['long'\]; expected"),
    ('"""T"""\nBUDGET = 0\n', r"BUDGET in .* is \[0\]; expected"),
    ('"""T\n', "is not Python"),
])
def test_a_script_that_is_no_rung_says_what_is_missing(tmp_path, source, expected):
    script = tmp_path / "01_x.py"
    script.write_text(source)
    with pytest.raises(ValueError, match=expected):
        ladder.read(script)
    (broken,) = ladder.run_all(ladder.rungs(tmp_path), quiet=True)
    assert re.search(expected, broken.error)


def test_the_project_s_own_rungs_are_well_made():
    rungs = ladder.rungs(ladder.folder())
    numbers = [rung.name[:2] for rung in rungs]
    assert len(set(numbers)) == len(numbers) and {"04", "11", "12"} <= set(numbers)
    for rung in rungs:
        assert not rung.fault, rung.fault
        assert rung.budget <= LONGEST, rung.name
        assert page.cited(rung.lesson), f"{rung.name} names no document"


def test_the_tour_takes_a_minute_on_two_cores():
    rungs = [*ladder.rungs(ladder.folder()), *questions.shipped()]
    assert sum(rung.budget for rung in rungs if rung.budget <= ladder.LONG) <= 110


def test_the_chapters_hold_the_whole_ladder_and_have_the_names_of_its_readme():
    rungs = ladder.rungs(ladder.folder())
    chapters = [ladder.in_chapter(rungs, str(i)) for i in range(1, len(ladder.CHAPTERS) + 1)]
    assert [rung for chapter in chapters for rung in chapter] == rungs and all(chapters)
    assert chapters == [ladder.in_chapter(rungs, name) for name in ladder.CHAPTERS]
    readme = ladder.folder() / "README.md"
    if readme.exists():
        assert re.findall(r"^## (.+)", readme.read_text("utf-8"), re.MULTILINE) == list(ladder.CHAPTERS)


def test_rungs_are_chosen_by_number_and_by_chapter():
    rungs = ladder.rungs(ladder.folder())
    assert [rung.name[:2] for rung in ladder.numbered(rungs, "38, 5")] == ["05", "38"]
    assert [rung.name[:2] for rung in ladder.in_chapter(rungs, "frozen LAKE")] == ["03", "04", "05", "06"]
    with pytest.raises(ValueError, match=r"only is '5,99'; expected numbers of examples, .* there is no 99"):
        ladder.numbered(rungs, "5,99")
    for unclear in ("20", "lake", "nowhere"):
        with pytest.raises(ValueError, match=f"chapter is '{unclear}'; expected one of 1 Sampling from a model; 2"):
            ladder.in_chapter(rungs, unclear)


STOPPED = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell's background jobs inherit that it is ignored
from rlscratch.report.tour import ladder
print("ready", flush=True)
ladder.run_all(ladder.rungs(Path(sys.argv[1])), quiet=True)
"""


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_tour_that_is_stopped_leaves_no_child_behind(sent, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    endless = f"""'An endless rung'
BUDGET = 1
import os, time
open(f"{pids}/{{os.getpid()}}", "w").close()
time.sleep(600)
"""
    for number in "123":
        (tmp_path / f"0{number}_endless.py").write_text(endless)
    stopped = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    running = min(2, os.cpu_count())
    while len(begun := list(pids.iterdir())) < running:
        assert stopped.poll() is None
        time.sleep(0.05)
    stopped.send_signal(sent)
    _, err = stopped.communicate(timeout=60)
    assert "KeyboardInterrupt" in err and stopped.returncode != 0
    assert len(list(pids.iterdir())) == running         # and no other was begun
    for path in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


# ---------------------------------------------------------------- the page

def test_every_entry_is_on_the_page_with_its_verdict_or_kind(built, rows):
    shown = Tags(built)
    counted = {attributes["id"]: attributes["data-counted"] for tag, attributes in shown.tags
                if tag == "tr" and "data-counted" in attributes}
    assert counted == {page._slug(entry.id): entry.counted for entry in entries()}
    text = re.sub(r"\s+", " ", "".join(shown.text))
    for entry in entries():
        for part in (entry.claim, entry.note, entry.formula, entry.proof):
            assert re.sub(r"\s+", " ", part) in text, entry.id
    assert len(counted) == len(rows)


def test_every_claim_that_differs_is_among_the_findings(built):
    text = re.sub(r"\s+", " ", "".join(Tags(built.split('id="findings"')[1].split('id="idea"')[0]).text))
    parting = [finding for finding in errata() if finding.verdict == "differs"]
    assert len(parting) >= 9 and all(finding.printed in text and finding.holds in text for finding in parting)


def test_every_formula_is_on_the_shelf_with_its_derivation(built, rows):
    text = "".join(Tags(built.split('id="shelf"')[1]).text)
    shelf = library.derivations([row.entry for row in rows], [])
    assert {d.module.split(".")[-1] for d in shelf} >= {"distribution", "ppo", "grpo", "kl", "td", "process"}
    for derivation in shelf:
        assert derivation.text in text, derivation.module
        assert (ladder.ROOT / derivation.file).is_file() and (ladder.ROOT / derivation.tests).is_file()
        assert derivation.formulas and all(f.signature in text and f.summary in text for f in derivation.formulas)
    ppo = next(d for d in shelf if d.module == "rlscratch.formulas.ppo")
    assert ppo.formulas[0].signature == "ratio(logp, logp_old)" and ppo.formulas[0].anchor == "f-ppo-ratio"


def test_an_example_knows_the_formulas_it_calls_and_the_documents_it_cites(built):
    shelf = built.split('id="shelf"')[1]
    assert '<a href="#01_line">' in shelf.split('id="f-ppo-ratio"')[1].split("data-item")[1]
    assert '<a href="#01_line">' in built.split('id="document-002"')[1].split('id="document-003"')[0]


def test_every_finding_is_on_the_page_with_its_answer_and_what_its_script_printed(built):
    shown = built.split('<section id="questions"')[1].split('<section id="documents"')[0]
    text = "".join(Tags(shown).text)
    asked = questions.shipped()
    assert len(asked) >= 10
    for question in asked:
        assert all(part in text for part in (question.title, question.lesson, question.shown, question.source))
        assert shown.count(f'href="#{question.name}"') == shown.count(f' id="{question.name}"') == 1
    assert shown.count("Back to the questions") == len(asked) and "Recorded" not in shown
    assert '<a href="#loss_of_zero">' in built.split('id="f-ppo-ppo_clip_grad"')[1].split("data-item")[1]


def test_a_finding_that_fails_is_told_and_one_that_lacks_a_part_is_named(rows, tmp_path):
    question = replace(questions.shipped()[0], source="raise SystemExit('it <broke>')")
    one = page.build(rows[:1], [], questions=[ladder.run(question)])
    assert "Something failed" in one and "This script failed" in one and "it &lt;broke&gt;" in one
    (tmp_path / "bad.md").write_text("# A question?\n\nAn answer.\n", "utf-8")
    with pytest.raises(ValueError, match=r"bad\.md is no finding; expected a question"):
        questions.read(tmp_path / "bad.md")


def test_where_docs_is_not_there_the_page_has_no_findings(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "ROOT", tmp_path)
    assert questions.shipped() == []
    assert "#questions" not in page.build(rows[:1], [])


def test_what_an_example_says_is_text_and_never_markup(built, results):
    assert "<script>alert(1)" not in built and "&lt;script&gt;alert(1)" in built
    assert "it <broke>" not in built and "it &lt;broke&gt;" in built
    row = ledger.table(document="001")[0]
    planted = replace(row, entry=replace(row.entry, claim='<img src=x onerror="alert(2)">'))
    one = page.build([planted], [])
    assert "<img src=x" not in one and "&lt;img src=x" in one


def test_the_api_reference_is_linked_where_it_stands(rows, tmp_path):
    assert tour._reference(tmp_path / "tour") == ""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").touch()
    assert tour._reference(tmp_path / "tour") == "../docs/index.html"
    assert "../docs/index.html" in Tags(page.build(rows[:1], [], reference="../docs/index.html")).attributes("href")
    assert "make docs" in page.build(rows[:1], [])


def test_every_figure_is_inside_the_page(built, results):
    (figure,) = results[0].figures
    images = [attributes for tag, attributes in Tags(built).tags if tag == "img"]
    assert {image["src"] for image in images} == {page._data(figure)} and len(images) == 1
    assert all(image["alt"] and int(image["width"]) > 0 and int(image["height"]) > 0 for image in images)
    assert built.count("A line, from 0 to 1 &amp; back.</figcaption>") == 2         # in the ladder and in document 002
    assert 'data-copy="figure-01_line"' in built.split('id="document-002"')[1].split('id="document-003"')[0]


def outside(source):
    """Whatever in a page would be fetched or leads out of it."""
    tags = Tags(source)
    links = [value for name in ("src", "href", "srcset", "action", "poster", "data") for value in tags.attributes(name)]
    return [value for value in links if not value.startswith(("#", "data:"))] + re.findall(
        r"@import[^;]*|url\((?!['\"]?data:)[^)]*\)|\bfetch\(|XMLHttpRequest|importScripts", source)


def test_the_page_refers_to_nothing_outside_itself(built):
    assert outside(built) == []
    assert "default-src 'none'" in built
    for planted in ('<img src="https://a.b/c.png">', '<link href="style.css">', "<style>@import 'x';</style>",
                    "<style>p { background: url(http://a.b) }</style>"):
        assert outside(built + planted) != [], planted


def test_ids_are_unique_and_every_link_arrives(built):
    tags = Tags(built)
    ids = tags.attributes("id")
    assert len(ids) == len(set(ids)), sorted(i for i in ids if ids.count(i) > 1)
    named = {value.removeprefix("#") for value in tags.attributes("href") if value.startswith("#")}
    labels = {name for value in tags.attributes("aria-labelledby") for name in value.split()}
    assert named | labels <= set(ids), (named | labels) - set(ids)


def test_tables_have_captions_and_headings_have_an_order(built):
    tags = Tags(built)
    assert dict(tags.tags)["html"]["lang"] == "en"
    names = [tag for tag, _ in tags.tags]
    assert names.count("table") == names.count("caption") > 5
    assert all("scope" in attributes for tag, attributes in tags.tags if tag == "th")
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels))


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_from_its_ground_in_light_and_in_dark(built):
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5
    palettes = re.findall(r"color-scheme: (?:light|dark);\s*(--paper:[^}]*)\}", built)
    assert len(palettes) >= 3
    for palette in palettes:
        colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", palette))
        pairs = [(name, f"{name}-bg") for name in map(str.lower, VERDICTS) if name in colour]
        pairs += [(ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "raised", "sunken")
                  if {ink, ground} <= set(colour)]
        for ink, ground in pairs:
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground, palette)


def test_numbers_that_do_not_hold_are_shown_as_failed(rows):
    row = replace(rows[0], complaints=["computed 3, pinned 16"])
    one = page.build([row], [])
    assert "Something failed" in one and "computed 3, pinned 16" in one
    assert "Something failed" not in page.build(rows[:1], [])


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    index = tmp_path / "new" / "index.html"
    page.write(index, "first")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        page.write(index, "second")
    assert [path.name for path in index.parent.iterdir()] == ["index.html"] and index.read_text() == "first"


# ---------------------------------------------------------------- the command

def command(*argv):
    parser = argparse.ArgumentParser()
    tour.add_arguments(parser)
    return tour.run(parser.parse_args([*argv, "--quiet"]))


def test_the_tour_writes_the_page_and_tells_of_an_example_that_failed(tmp_path, examples, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "folder", lambda: examples)
    assert command("--out", str(tmp_path / "tour"), "--json") == 1
    out, err = capsys.readouterr()
    said = json.loads(out.splitlines()[-1])
    assert said["entries"] == len(entries()) == sum(map(sum, (of.values() for of in said["counts"].values())))
    assert said["failed_rungs"] == ["02_bad"] and said["failed_entries"] == []
    assert [*said["rungs"]] == ["01_line", "02_bad"]
    assert "02_bad failed" in err
    written = (tmp_path / "tour" / "index.html").read_text("utf-8")
    assert "This example failed" in written and "it &lt;broke&gt;" in written and "A first rung" in written


def test_without_examples_the_tour_is_the_ledger_and_says_where_the_ladder_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "folder", lambda: None)
    assert command("--out", str(tmp_path)) == 0
    written = (tmp_path / "index.html").read_text("utf-8")
    assert ladder.ABSENT in written and 'id="document-004"' in written
    assert "0 examples" in capsys.readouterr().out


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
def test_long_examples_wait_for_all_and_are_shown_as_recorded(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "examples"
    (folder / "expected").mkdir(parents=True)
    (folder / "01_long.py").write_text('"""Long"""\nBUDGET = 300\nprint("ran")\n')
    (folder / "02_short.py").write_text('"""Short"""\nBUDGET = 0.001\nprint("ran, too")\n')
    (folder / "expected" / "01_long.txt").write_text("ran once\n")
    monkeypatch.setattr(ladder, "folder", lambda: folder)

    def shown(*options):
        assert command("--out", str(tmp_path), *options) == 0
        return (tmp_path / "index.html").read_text("utf-8")

    written = shown()
    assert ">ran once</pre>" in written and ">ran, too</pre>" in written
    assert written.count("Recorded, not run for this") == 1
    assert "shown as recorded: 01." in written and "tour --only 01</code> runs it" in written
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith(f"1 examples and {len(questions.shipped())} findings in")
    assert re.fullmatch("over budget, in seconds of processor time: 02_short 0\\.. of 0.001", out[-1])
    written = shown("--all")
    assert ">ran</pre>" in written and ">ran, too</pre>" in written and "Recorded" not in written
    written = shown("--only", "1")
    assert written.count("Recorded, not run for this page.") == len(questions.shipped())
    assert ">ran</pre>" in written and ">ran, too</pre>" not in written and "shown as recorded: 02." in written


def test_a_file_where_the_folder_should_be_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "run_all", None)
    file = tmp_path / "file"
    file.write_text("mine")
    assert command("--out", str(file)) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err and file.read_text() == "mine"
    assert command("--out", str(file / "tour")) == 1
    assert f"cannot write {file / 'tour' / 'index.html'}" in capsys.readouterr().err and file.read_text() == "mine"


# ---------------------------------------------------------------- in a browser

FRAME = """<!doctype html><link rel="icon" href="data:,"><body><script>
const report = {};
const look = (name, width) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement, seen = {};
    const click = (selector) => { const at = page.querySelector(selector); if (at) at.click(); };
    const count = (selector) => page.querySelectorAll(selector).length;
    const wide = () => {
      const inside = (node) => { for (; node && node !== root; node = node.parentElement)
        if (["auto", "scroll", "hidden"].includes(getComputedStyle(node).overflowX)) return true; return false; };
      return [...page.body.querySelectorAll("*")].filter((node) => node.getClientRects().length &&
        node.getBoundingClientRect().right > root.clientWidth + 1 && !inside(node)).map((node) => node.outerHTML);
    };
    page.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    seen.width = root.clientWidth;
    seen.scroll = root.scrollWidth;
    seen.wide = wide().slice(0, 5);
    seen.images = [...page.images].every((image) => image.complete && image.naturalWidth > 0);
    click("#theme");
    seen.theme = root.dataset.theme;
    const search = page.querySelector("#search");
    if (search) {
      const finds = (words) => {
        search.value = words;
        search.dispatchEvent(new Event("input"));
        return count("#shelf [data-item]:not([hidden])");
      };
      seen.copies = count("[data-copy] img") === count("[data-copy]") && count("[data-copy]") > 0;
      seen.found = [finds("xyzzy"), finds("Clip PPO"), finds("clip"), finds("")];
      seen.formulas = count("#shelf [data-item]");
      click('#choices [data-counted="differs"]');
      seen.parting = count("#documents tr[data-item]:not([hidden])");
      click('#choices [data-counted=""]');
      seen.all = count("#documents tr[data-item]:not([hidden])");
    }
    report[`${name} ${width}`] = seen;
    done();
  };
  frame.src = name;
  document.body.append(frame);
});
(async () => {
  for (const name of PAGES) for (const width of [390, 1280]) await look(name, width);
  document.body.textContent = "REPORT" + JSON.stringify(report) + "END";
})();
</script>"""


def opened(pages, folder):
    """Open pages in chromium at 390 and 1280 pixels: measurements, what the console said, what was asked for."""
    for name, source in pages.items():
        (folder / name).write_text(source, "utf-8")
    (folder / "frame.html").write_text(FRAME.replace("PAGES", json.dumps(list(pages))), "utf-8")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--window-size=1400,1000",
             "--virtual-time-budget=20000", "--dump-dom", f"http://127.0.0.1:{server.server_port}/frame.html"],
            capture_output=True, timeout=120, check=True)
        server.shutdown()
    text = html.unescape(done.stdout.decode("utf-8"))
    report = json.loads(text[text.rindex("REPORT{") + 6:text.rindex("}END") + 1])
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    return report, console, sorted(set(asked))


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed to open the page in")


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
@needs_browser
def test_in_a_browser_nothing_is_broken_overflows_or_is_fetched(built, tmp_path):
    report, console, asked = opened({"index.html": built}, tmp_path)
    assert console == [] and asked == ["/frame.html", "/index.html"]
    parting = sum(entry.counted == "differs" for entry in entries())
    for width in (390, 1280):
        seen = report[f"index.html {width}"]
        assert seen["width"] <= width and seen["scroll"] <= seen["width"] and seen["wide"] == [] and seen["images"]
        assert seen["theme"] in ("light", "dark")
        none, both, one, every = seen["found"]
        assert none == 0 < both < one < every == seen["formulas"]
        assert seen["copies"]
        assert seen["parting"] == parting and seen["all"] == len(entries())


@pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")
@needs_browser
def test_the_browser_would_show_a_page_that_is_broken_too_wide_or_fetches(tmp_path):
    bad = '<!doctype html><div style="width: 3000px">wide</div><img src="other.png"><script>missing()</script>'
    report, console, asked = opened({"bad.html": bad}, tmp_path)
    narrow, broad = report["bad.html 390"], report["bad.html 1280"]
    assert narrow["scroll"] > 390 and broad["wide"] and not narrow["images"]
    assert any("missing is not defined" in line for line in console) and "/other.png" in asked
