"""The page of `rlscratch rank` in a real browser: two people, one with a finger on a phone, one with a keyboard."""
import json
import threading

import pytest

from rlscratch.report.rank.judgements import Judgements, Question
from rlscratch.report.rank.server import Handler, Server

pytestmark = pytest.mark.compiled_only("a page, whichever backend answered")

ASKED = [Question("Name a colour.", ("Red.", "Red is a colour,\n  as is blue.", "", "<b>Green</b> & " + "so on " * 60)),
         Question("1+1=", ("2", "3")), Question("x" * 300, ("y" * 300, "no"))]


@pytest.fixture
def served(tmp_path):
    """(the server, and what its file says by now)."""
    kept = Judgements(tmp_path / "said.jsonl", ASKED)
    server = Server(kept, port=0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server, lambda: [json.loads(line) for line in kept.path.read_text("utf-8").splitlines()]
    server.shutdown()
    thread.join()
    server.server_close()
    kept.close()


def wait(browser, script, expected):
    """Until JavaScript returns that."""
    from selenium.webdriver.support.ui import WebDriverWait
    try:
        WebDriverWait(browser.driver, 10, 0.02).until(lambda _: browser.run(script) == expected)
    except Exception:
        raise AssertionError(f"{script}: {browser.run(script)!r}, expected {expected!r}") from None


def progress(browser, said):
    wait(browser, "return document.getElementById('progress').textContent", said)


def finger(browser, *selectors):
    """Scroll to each of these elements and touch it."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
    from selenium.webdriver.common.actions.pointer_input import PointerInput
    for selector in selectors:
        browser.run("arguments[0].scrollIntoView({block: 'center'})", browser.find(selector))
        touch = ActionBuilder(browser.driver, mouse=PointerInput(POINTER_TOUCH, "finger"), duration=0)
        touch.pointer_action.move_to(browser.find(selector)).pointer_down().pointer_up()
        touch.perform()


def keys(browser, *pressed):
    from selenium.webdriver.common.action_chains import ActionChains
    ActionChains(browser.driver).send_keys(*pressed).perform()


def answer(n):
    return f"#answers li:nth-child({n}) button"


def shown(browser):
    return browser.run("return [...document.querySelectorAll('#answers .text')].map((node) => node.textContent)")


def placed(browser):
    return browser.run("return [...document.querySelectorAll('#answers .place')].map((node) => node.textContent)")


def fits(browser, width):
    """Nothing is wider than the screen, small, or too small for a finger, in light and dark; no complaint."""
    for scheme in ("light", "dark"):
        browser.show(width=width, height=800, scheme=scheme)
        assert browser.run("return innerWidth") == width and browser.overflow() == [] and browser.console() == []
        assert browser.smallest_text()[0] >= 14
        low = browser.run("return Math.min(99, ...[...document.querySelectorAll('button, input')].map((node) => "
                          "node.getBoundingClientRect()).filter((box) => box.width).map((box) => box.height))")
        assert low >= 44


def test_two_people_rank_at_once_with_a_finger_and_with_keys(browser, served):
    from selenium.webdriver.common.keys import Keys
    server, said = served
    browser.open(server.address, width=390, height=800)
    ann = browser.driver.current_window_handle
    fits(browser, 390)
    browser.find("#who").send_keys("Ann Lee")
    finger(browser, "#start button")
    progress(browser, "Ann Lee: 0 of 3 done")
    fits(browser, 390)
    first = shown(browser)
    assert sorted(first) == sorted(text or "(no text)" for text in ASKED[0].completions)       # as text, not as markup
    browser.driver.switch_to.new_window("tab")
    ben = browser.driver.current_window_handle
    browser.open(server.address, width=1280, height=800, scheme="dark")
    keys(browser, Keys.TAB, "Ben", Keys.ENTER)
    progress(browser, "Ben: 0 of 3 done")
    fits(browser, 1280)
    keys(browser, "3", "1", Keys.BACKSPACE, "=", "2", "1", Keys.ENTER)          # one is still to place: not saved yet
    assert placed(browser) == ["place 2", "= place 1", "= place 1", ""] and said() == []
    keys(browser, "4", Keys.ENTER)
    progress(browser, "Ben: 1 of 3 done")
    for_ben = dict(zip(said()[0]["shown"], [2, 1, 1, 3], strict=True))
    assert said()[0]["ranking"] == [for_ben[i] for i in range(4)] and said()[0]["who"] == "Ben"
    browser.driver.switch_to.window(ann)
    finger(browser, answer(2), answer(1), answer(2), answer(4))                 # the second one is taken back
    assert placed(browser) == ["place 1", "", "", "place 2"]
    finger(browser, answer(3), "#undo", "#tie", answer(3), answer(2), "#save")
    progress(browser, "Ann Lee: 1 of 3 done")
    for_ann = dict(zip(said()[1]["shown"], [1, 3, 2, 2], strict=True))
    assert said()[1]["ranking"] == [for_ann[i] for i in range(4)] and said()[1]["who"] == "Ann Lee"
    finger(browser, "#skip")
    progress(browser, "Ann Lee: 2 of 3 done")
    browser.driver.refresh()                                                    # and goes on where she stopped
    progress(browser, "Ann Lee: 2 of 3 done")
    fits(browser, 390)                                                          # words of 300 letters, too
    finger(browser, answer(1), answer(2), "#save")
    wait(browser, "return document.getElementById('end').hidden", False)
    browser.driver.switch_to.window(ben)
    for _ in range(2):
        keys(browser, "s")
        wait(browser, "return busy", False)
    progress(browser, "Ben: 3 of 3 done")
    fits(browser, 1280)
    assert set(browser.requests()) == {                                         # of both tabs
        f"{server.address}{path}" for path in ("judge", "next?who=Ben", "next?who=Ann%20Lee")}
    browser.driver.close()
    browser.driver.switch_to.window(ann)
    assert [(line["who"], line["ranking"] is None) for line in said()] == [
        ("Ben", False), ("Ann Lee", False), ("Ann Lee", True), ("Ann Lee", False), ("Ben", True), ("Ben", True)]


def test_what_is_not_saved_is_said_and_can_be_saved_again(browser, served, monkeypatch):
    from selenium.webdriver.common.keys import Keys
    server, said = served
    browser.open(server.address)
    browser.run("sessionStorage.clear()")
    browser.open(server.address)
    keys(browser, Keys.TAB, "  ", Keys.ENTER)
    wait(browser, "return document.getElementById('error').textContent",
         "who is ''; expected a name of 1 to 60 letters")
    keys(browser, "Cal", Keys.ENTER)
    progress(browser, "Cal: 0 of 3 done")
    with monkeypatch.context() as gone:
        gone.setattr(Handler, "do_POST", lambda handler: handler.connection.close())
        keys(browser, *"1234", Keys.ENTER)
        wait(browser, "return document.getElementById('error').textContent",
             "The server does not answer, and this is not saved. Try again.")
    assert said() == [] and "place 4" in placed(browser)
    keys(browser, Keys.ENTER)
    progress(browser, "Cal: 1 of 3 done")
    assert len(said()) == 1
