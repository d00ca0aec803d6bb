"""Chromium without a window, driven by selenium: the fixture `browser` of conftest.py hands out a Browser.

    def test_a_page(browser, tmp_path):
        browser.open(tmp_path / "index.html", width=390, scheme="dark")
        assert browser.overflow() == [] and browser.console() == [] and browser.requests() == []
        browser.run("return document.title")                # JavaScript; arguments are arguments[0], ...
        browser.find("#search").send_keys("agent")          # selenium's element; browser.driver is its driver

Its profile is a new, empty folder, and it is told to ask nobody for anything that a page does not ask for.
"""
import base64
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = " and no ".join(
    name for name, path in (("chromium", CHROMIUM), ("chromedriver", CHROMEDRIVER)) if path is None)

FORGET = "try { localStorage.clear() } catch { /* a page without storage */ }"    # what an earlier test chose

ICON = "/favicon.ico"       # chromium asks a server for it when it likes, whatever the page

# Elements that reach beyond the page, and those that scroll sideways; what is cut off on purpose does not count.
OVERFLOW = """
const root = document.documentElement, style = (node) => getComputedStyle(node);
const within = (node, ways) => {
  for (node = node.parentElement; node && node !== root; node = node.parentElement)
    if (ways.includes(style(node).overflowX)) return true;
  return false;
};
const shown = [...document.body.querySelectorAll("*")].filter((node) => node.getClientRects().length);
const scrolls = shown.filter((node) => ["auto", "scroll"].includes(style(node).overflowX)
  && node.scrollWidth > node.clientWidth + 1);
const beyond = shown.filter((node) => {
  const box = node.getBoundingClientRect();
  return (box.right > root.clientWidth + 1 || box.left < -1) && style(node).clipPath === "none"
    && !within(node, ["auto", "scroll", "hidden", "clip"]);
});
const found = [...scrolls, ...beyond].map((node) => node.outerHTML.slice(0, 200));
if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} px wide`);
return found;
"""

# Each size of text that is shown, in pixels of the screen, with one text that has it; svg may shrink its own.
SIZES = """
const sizes = {}, walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const node = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
  if (!text || !node.getClientRects().length || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
  const turned = node.ownerSVGElement?.contains(node) && node.getScreenCTM();
  const scale = turned ? Math.hypot(turned.a, turned.b) : 1;
  sizes[(parseFloat(getComputedStyle(node).fontSize) * scale).toFixed(2)] ??= text.slice(0, 60);
}
return sizes;
"""


class Browser:
    """One window.  `console` and `requests` tell what came since the page was opened or they were last asked."""

    def __init__(self, driver):
        self.driver = driver
        self.address = ""
        self.shown = {}                     # tab -> how wide, ... it is: to be told again would lay out the page again

    def open(self, page, **how):
        """Load a file or an address, and show it as `show` says."""
        self.show(**how)
        self.console(), self.requests()
        self.address = page.resolve().as_uri() if isinstance(page, Path) else page
        self.driver.get(self.address)

    def show(self, *, width=1280, height=900, scheme="light", medium=""):
        """The page that is open: so wide, "light" or "dark", on the screen or as medium="print" has it."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        colours = {"media": medium, "features": [{"name": "prefers-color-scheme", "value": scheme}]}
        tab = self.driver.current_window_handle
        was, self.shown[tab] = self.shown.get(tab, (None, None)), (size, colours)
        for command, before, wanted in zip(("setDeviceMetricsOverride", "setEmulatedMedia"), was, (size, colours),
                                           strict=True):
            if wanted != before:
                self.driver.execute_cdp_cmd(f"Emulation.{command}", wanted)

    def run(self, script, *arguments):
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        """The first element of this CSS selector; an exception if there is none."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def console(self):
        """Warnings and errors: of scripts, of the content security policy, of files that are not there."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING") and ICON not in entry["message"]]

    def requests(self):
        """Addresses that the page asked for, but for itself and for what it carries (data:)."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        asked = (event["params"]["request"]["url"] for event in events
                 if event["method"] == "Network.requestWillBeSent")
        return [address for address in asked if address.split("#")[0] != self.address.split("#")[0]
                and not address.startswith("data:") and not address.endswith(ICON)]

    def overflow(self):
        """The beginnings of elements that are wider than the page, or that scroll sideways within it."""
        return self.run(OVERFLOW)

    def smallest_text(self):
        """(size in pixels, a text of that size)."""
        return min((float(size), text) for size, text in self.run(SIZES).items())

    def screenshot(self, path):
        """The whole page as a PNG, for a person to look at."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        Path(path).write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def opened():
    """A Browser; it and its profile are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FORGET})
        try:
            yield Browser(driver)
        finally:
            driver.quit()
