"""The page of a search in headless Chromium: it renders, asks the network for nothing, and is accessible.

Needs Debian's chromium; axe-core (`axe/package-lock.json`) comes from npm's registry.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from asd_ray.report.render import rebuild
from tests.fabricated import fabricate, few

pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of six machine types, with pruned, failed, complete and confirmed trials."""
    folder = tmp_path_factory.mktemp("report") / "run"
    fabricate(folder, few(), settings=["search.trials=40", "search.confirm=3", "search.seeds=2"])
    rebuild(folder)
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium is installed here: apt-get install chromium")
    with sync_playwright() as playwright:
        # root, as containers have it, may not use Chromium's sandbox
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, as text to run on a page."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("no npm is installed here, which axe-core comes by: apt-get install npm")
    shutil.copytree(Path(__file__).with_name("axe"), folder, dirs_exist_ok=True)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot fetch axe-core: {done.stderr.strip().splitlines()[0]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def page(chromium: Browser, index: Path) -> Iterator[Page]:
    """The page, open."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(index.as_uri())
    yield page
    context.close()


def test_the_page_says_nothing_on_the_console_and_asks_for_nothing_but_itself(
    chromium: Browser, index: Path
) -> None:
    context, said, asked = chromium.new_context(), [], []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(index.as_uri(), wait_until="networkidle")
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [index.as_uri()]


def test_every_figure_is_drawn(page: Page) -> None:
    boxes = [figure.bounding_box() for figure in page.locator("figure").all()]
    assert len(boxes) >= 12
    assert all(box is not None and box["width"] > 100 and box["height"] > 60 for box in boxes)


@pytest.mark.parametrize("width", [360, 1280])
def test_only_tables_scroll_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_phone_shows_the_whole_answer_without_scrolling_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for label in ("Choosing", "Reporting", "Published loss", "Against it", "How sure"):
        boxes = [cell.bounding_box() for cell in page.locator(f'.cards td[data-label="{label}"]').all()]
        assert len(boxes) >= 6
        assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert page.get_by_role("table").first.get_by_role("rowheader").count() == 7  # still a table to be read aloud


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_violation(page: Page, axe: str, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


def test_on_paper_the_text_is_black_on_white_whatever_the_screen_is(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    colours = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
