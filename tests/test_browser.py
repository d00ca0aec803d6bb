"""The browser that other tests look through sees what is wrong with a page, and that nothing is wrong with another."""
import functools
import http.server
import threading

import pytest

pytestmark = pytest.mark.compiled_only("pages, whichever backend their numbers come from")

GOOD = """<!doctype html><meta name="viewport" content="width=device-width"><style>
  body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }
  svg { width: 200px } b { display: none } @media print { b { display: block } }
</style><p>fits<b>ink</b><svg viewBox="0 0 100 10"><text y="8" font-size="6">drawn</text></svg>"""
BAD = """<!doctype html><div id="wide" style="width: 3000px">wide</div><img src="other.png">
<div id="slides" style="overflow-x: auto; width: 90px"><pre>a line that is longer than ninety pixels</pre></div>
<div style="overflow: hidden; width: 90px"><p style="width: 900px">cut off on purpose</p></div>
<script>console.log("chatter"); missing()</script>"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a folder with both pages."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "good.html").write_text(GOOD, "utf-8")
    (folder / "bad.html").write_text(BAD, "utf-8")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("again", [False, True], ids=["opened", "shown again"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(0, 0, 0)")])
def test_a_good_page_has_the_width_and_the_colours_that_were_asked_for_and_no_complaint(
        browser, server, width, scheme, colour, again):
    how = {"width": width, "scheme": scheme}
    browser.open(f"{server}/good.html#here", **({"width": 800, "medium": "print"} if again else how))
    if again:
        browser.show(**how)
    assert browser.run("return innerWidth") == width
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == colour
    assert browser.overflow() == browser.console() == browser.requests() == []
    assert browser.smallest_text() == (12.0, "drawn")                  # 6 units of a drawing at twice its size


def test_what_a_bad_page_does_is_seen(browser, server):
    browser.open(f"{server}/bad.html", width=390)
    slides, wide, page = browser.overflow()
    assert 'id="wide"' in wide and 'id="slides"' in slides and page == "the page is 3008 px wide"
    assert any("missing is not defined" in message for message in browser.console())
    assert f"{server}/other.png" in browser.requests()
    assert browser.console() == browser.requests() == []               # told once


def test_a_file_is_opened_on_paper_and_photographed(browser, tmp_path):
    (tmp_path / "good.html").write_text(GOOD, "utf-8")
    browser.open(tmp_path / "good.html", medium="print")
    assert "ink" in browser.find("p").text and browser.requests() == []
    browser.screenshot(tmp_path / "good.png")
    assert (tmp_path / "good.png").read_bytes().startswith(b"\x89PNG")
