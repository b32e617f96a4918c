"""The report's pages in a browser, opened from disk as a reader does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, chromium, tab
from fake_comparisons import COMPARISON, METRIC
from fake_runs import count_as_confirmed, summary, write_drawn, write_geneval, write_run

from suder_bench.cli import main
from suder_bench.plots import OKABE_ITO
from suder_bench.reports.rewards.figure import _color as reward_color

NASTY = "a photo of <script>alert('x')</script> \"quoted\" & <img src=x onerror=alert(1)> \u2028\u2029 end"
PROMPTS = {
    "a photo of a star": "single_object",
    NASTY: "single_object",
    **{f"a photo of {n} stars": "counting" for n in range(2, 80)},
}
FIRST_CARDS = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("a.card")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
"""Notes when the first pictures of a gallery were painted, in milliseconds."""

FEW = {**METRIC, "few_clusters": 8}
DASH = "\u2013"
NONE = {**FEW, "low": None, "high": None}


UNJUDGED = {
    **COMPARISON,
    "benchmark": None,
    "prompts": "mine.txt",
    "pictures": {
        **COMPARISON["pictures"],
        "mean": None,
        "oracle": None,
        "rewards": {
            "dsr": {**dict.fromkeys(("best", "worst", "auc", "tau")), "length": FEW, "milliseconds": 1.5},
            "clip": {**dict.fromkeys(("best", "worst", "auc", "tau")), "length": NONE, "milliseconds": 1.5},
        },
        "curves": {},
    },
}
"""Of prompts that no benchmark judges."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on the same prompts, a training run and a comparison of rewards."""
    folder = tmp_path_factory.mktemp("site")
    data = write_geneval(folder / "data", PROMPTS)
    runs = [
        write_drawn(folder / "base", data, world=True, model="base"),
        write_drawn(folder / "tuned", data, world=True, model="tuned", wrong=range(1, 11)),
        _training(folder / "t"),
        folder / "c",
        folder / "u",
    ]
    for name, comparison in (("c", COMPARISON), ("u", UNJUDGED)):
        (folder / name).mkdir()
        (folder / name / "compare.json").write_text(json.dumps(comparison))
    with pytest.MonkeyPatch.context() as patch:
        count_as_confirmed(patch)
        assert main(["report", *map(str, runs), "--out", str(folder / "report")]) == 0
    return folder / "report" / "site" / "index.html"


def _training(folder: Path) -> Path:
    folder.mkdir()
    (folder / "recipe.yaml").write_text("model: base\nstrategy: unified\n")
    rows = [{"step": step, "gen/reward": -1 + step / 20, "und/reward": -2.0, "loss": 0.1} for step in range(1, 11)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for step in (0, 10):
        model = "base" if step == 0 else f"{folder}/checkpoint-10"
        write_run(folder / "evaluations" / f"step-{step}" / "gen", summary("geneval", model=model, value=step / 20, world=True))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def pages(browser: Any, report: Path) -> Iterator[Tab]:
    with tab(browser, report.as_uri(), viewport={"width": 1280, "height": 900}) as one:
        yield one


def go(one: Tab, place: str) -> None:
    one.page.evaluate("place => { location.hash = place; }", place)
    one.page.wait_for_selector(f"header nav [aria-current][href='{place.split('?')[0]}']")


def test_every_section_is_shown_without_a_complaint_and_without_the_network(pages: Tab, report: Path) -> None:
    sections = pages.texts("header nav a")
    assert sections == ["Summary", "Benchmarks", "Gallery", "Training", "Rewards", "Figures", "Recipes"]
    for section in sections:
        pages.page.locator("header nav a", has_text=section).click()
        pages.shows("header nav [aria-current]", section)
        pages.page.wait_for_load_state("networkidle")
        assert "cannot be shown" not in pages.page.inner_text("main")
    assert {request.split(":")[0] for request in pages.requests} <= {"file", "data"}
    assert all(request.startswith((report.parent.as_uri(), "data:")) for request in pages.requests)


def test_the_summary_has_the_tables_and_says_what_is_the_worlds(pages: Tab) -> None:
    titles = pages.texts("section.results h2")
    assert titles[0].startswith("Table 2. GenEval: measured on the embedded world, not comparable with published numbers")
    shown = pages.page.inner_text("section.results >> nth=0")
    assert "0.69" in shown  # the mean of one in two single objects and 69 of 78 counts
    assert "Over fewer than ten prompts" in shown
    assert pages.texts("table.runs .badge") == ["embedded world"] * 4


def test_benchmarks_show_intervals_of_every_run(pages: Tab) -> None:
    go(pages, "#/benchmarks")
    headline = pages.page.locator("table.metric.headline >> nth=0")
    assert "1.000 to 1.000" in headline.inner_text()
    assert "0.692" in headline.inner_text()
    assert headline.locator("tbody th").all_inner_texts()[:2] == ["base", "tuned"]
    assert "embedded world" in pages.page.inner_text("p.conditions >> nth=0")


def test_runs_stand_side_by_side_for_the_same_prompt_and_seed(pages: Tab) -> None:
    go(pages, "#/gallery")
    pages.status("1 to 24 of 80 items")
    card = pages.page.locator("a.card >> nth=1")
    assert card.locator(".run").all_inner_texts() == ["base", "tuned"]
    assert card.locator(".verdict").all_inner_texts() == ["✓ correct", "✗ wrong"]
    alternative = card.locator("img >> nth=1").get_attribute("alt")
    assert alternative == f"Drawn by tuned: {NASTY}"
    card.click()
    pages.page.wait_for_selector("dialog.item[open]")
    seeds = pages.texts("dialog.item figcaption .quiet")
    assert len(seeds) == 2
    assert len(set(seeds)) == 1
    assert "different seeds" not in pages.page.inner_text("dialog.item")


def test_filters_by_task_verdict_run_and_text(pages: Tab) -> None:
    go(pages, "#/gallery")
    pages.status("of 80 items")
    pages.page.select_option("select[name=task]", "counting")
    pages.status("of 78 items")
    pages.page.select_option("select[name=verdict]", "wrong")
    pages.status("1 to 9 of 9 items")
    pages.page.select_option("select[name=task]", "")
    pages.status("1 to 10 of 10 items")
    pages.page.select_option("select[name=verdict]", "differ")
    pages.status("1 to 10 of 10 items")
    pages.page.select_option("select[name=run]", "0")
    pages.page.select_option("select[name=verdict]", "wrong")
    pages.status("0 items; choose another filter")
    pages.page.select_option("select[name=run]", "1")
    pages.page.fill("input[type=search]", 'NONE in <i>3</i> & "more"')
    pages.status("1 to 1 of 1 item")
    assert "verdict=wrong" in pages.page.url
    pages.page.select_option("select[name=verdict]", "")
    pages.page.fill("input[type=search]", "")
    pages.page.select_option("select[name=order]", "low")
    pages.status("1 to 60 of 80 items")
    assert pages.texts("a.card .verdict")[:11] == ["✗ wrong"] * 10 + ["✓ correct"]


def test_a_filter_survives_a_reload_and_going_back(pages: Tab) -> None:
    go(pages, "#/gallery")
    pages.page.select_option("select[name=verdict]", "wrong")
    pages.status("1 to 10 of 10 items")
    pages.page.reload()
    pages.status("1 to 10 of 10 items")
    assert pages.page.input_value("select[name=verdict]") == "wrong"
    pages.page.locator("header nav a", has_text="Recipes").click()
    pages.page.wait_for_selector("h1 >> text=Recipes")
    pages.page.go_back()
    pages.status("1 to 10 of 10 items")


def test_markup_in_prompts_and_reasons_is_text(pages: Tab) -> None:
    go(pages, "#/gallery")
    pages.page.fill("input[type=search]", "<script>")
    pages.status("1 to 1 of 1 item")
    shown = pages.page.locator("a.card .prompt").evaluate("node => node.textContent")
    assert shown == NASTY
    assert '<i>1</i> & "more"' in pages.page.inner_text("a.card")
    assert pages.page.locator("main script, main i, main img[src=x]").count() == 0
    for file in pages.page.evaluate("[...document.scripts].map(script => script.src)"):
        assert file.startswith("file:")


def test_the_keyboard_reaches_everything(pages: Tab) -> None:
    press = pages.page.keyboard.press
    press("3")
    pages.status("1 to 24 of 80 items")
    press("j")
    assert pages.page.evaluate("document.activeElement.dataset.i") == "0"
    assert pages.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("ArrowRight")
    press("ArrowDown")
    below = int(pages.page.evaluate("document.activeElement.dataset.i"))
    assert below > 2
    press("ArrowUp")
    press("k")
    assert pages.page.evaluate("document.activeElement.dataset.i") == "0"
    press("Enter")
    pages.page.wait_for_selector("dialog.item[open]")
    press("j")
    press("ArrowRight")
    pages.shows("dialog.item header", "3 of 80")
    two = "for (const key of 'jj') document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
    pages.page.evaluate(two)  # the second press comes before the first item is there
    pages.shows("dialog.item header", "5 of 80")
    press("Escape")
    pages.page.wait_for_selector("a.card[data-i='4']:focus")
    press("PageDown")
    pages.status("25 to 48 of 80 items")
    press("End")
    pages.status("73 to 80 of 80 items")
    press("Home")
    pages.status("1 to 24 of 80 items")
    press("/")
    pages.page.keyboard.type("j 9 stars")
    assert pages.page.input_value("input[type=search]") == "j 9 stars"
    press("Escape")
    press("?")
    assert pages.page.locator("#keys").is_visible()
    press("Escape")
    assert not pages.page.locator("#keys").is_visible()


def test_training_draws_scores_with_bands_and_what_was_logged(pages: Tab) -> None:
    go(pages, "#/training")
    assert pages.texts(".curve figcaption:visible") == ["geneval: single object", "gen/reward", "und/reward"]
    assert pages.page.locator(".curve polygon").count() >= 1
    label = pages.page.locator(".curve svg:visible >> nth=1").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("gen/reward. ")
    assert label.endswith("from -0.950 to -0.500")


def test_rewards_figures_and_recipes(pages: Tab) -> None:
    go(pages, "#/rewards")
    assert pages.texts("main h2") == ["my-model on geneval", "my-model on mine.txt"]
    assert "0.400 to 0.600" in pages.page.inner_text("table.rewards >> nth=0")
    assert pages.page.locator("table.rewards >> nth=1").locator("thead th").all_inner_texts() == ["Reward", "length", "ms"]
    assert "embedded world" in pages.page.inner_text("main")
    go(pages, "#/figures")
    figure = pages.page.locator("figure img")
    assert figure.get_attribute("src") == "figures/figure-8-world.svg"
    assert figure.evaluate("img => img.decode().then(() => img.naturalWidth)") > 100
    assert pages.texts("figcaption")[0].startswith("Figure 8. ")
    go(pages, "#/recipes")
    assert '"temperature": 1' in pages.page.locator("pre >> nth=0").evaluate("node => node.textContent")


def test_a_reward_has_one_colour_on_the_page_and_in_the_picture(pages: Tab) -> None:
    go(pages, "#/rewards")
    shade = "nodes => nodes.map(node => [node.parentNode.innerText.trim(), getComputedStyle(node).backgroundColor])"
    found = dict(pages.page.locator(".legend .swatch").evaluate_all(shade))
    names = list(COMPARISON["pictures"]["rewards"])
    for place, name in enumerate(names):
        red, green, blue = (int(OKABE_ITO[place][i : i + 2], 16) for i in (1, 3, 5))
        assert found[name] == f"rgb({red}, {green}, {blue})"
        assert reward_color(name, names) == OKABE_ITO[place]
    assert found["random"] == found["oracle"]


def test_intervals_over_few_prompts_are_marked_and_the_signs_explained(pages: Tab) -> None:
    go(pages, "#/rewards")
    cells = pages.page.locator("table.rewards >> nth=1").locator("tbody td:first-of-type small").all_inner_texts()
    assert cells == ["0.400 to 0.600~", f"{DASH}~"]
    notes = pages.texts("main .notes li")
    assert notes[0].startswith("~ over fewer than ten prompts, pictures or question groups: the interval is Student's t")
    assert notes[1].startswith(f"{DASH} no number, or no interval")
    go(pages, "#/benchmarks")
    few = pages.page.locator("table.metric", has=pages.page.locator("td:nth-child(4)", has_text="~"))
    assert [text.strip() for text in few.locator("caption").all_inner_texts()] == ["single object"]  # of two prompts
    assert pages.texts("main .notes li")[0].startswith("~ over fewer than ten prompts")


def test_signs_and_footnotes_of_a_table_are_explained_below_it(pages: Tab) -> None:
    parts = {"signs": [["=", "Tied"], ["-", "None"]], "footnotes": [["a", "Few"]], "notes": ["Published"], "recipes": []}
    table = {"name": "t", "title": "T", "columns": [["A", "", "a"]], "groups": [], **parts}
    notes = pages.page.evaluate(
        "table => [...tableSection(table).querySelectorAll('.notes li')].map(li => li.textContent)", table
    )
    assert notes == ["= Tied", "- None", "a Few", "Published"]


def test_following_a_link_by_keyboard_draws_no_frame_around_the_page(pages: Tab) -> None:
    pages.page.keyboard.press("2")
    pages.page.wait_for_selector("h1 >> text=geneval")
    assert pages.page.evaluate("document.activeElement.id") == "main"
    assert pages.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none"


def test_skipping_to_the_content_stays_on_the_page(pages: Tab) -> None:
    go(pages, "#/recipes")
    pages.page.locator(".skip").focus()
    pages.page.keyboard.press("Enter")
    assert pages.page.evaluate("document.activeElement.id") == "main"
    assert pages.texts("h1") == ["Recipes"]


@pytest.mark.parametrize(
    "place", ["#/summary", "#/benchmarks", "#/gallery", "#/gallery/0?item=1", "#/training", "#/rewards", "#/recipes/0"]
)
def test_a_phone_never_scrolls_sideways(browser: Any, report: Path, place: str) -> None:
    with tab(browser, report.as_uri() + place, viewport={"width": 360, "height": 740}, has_touch=True) as one:
        one.page.wait_for_load_state("networkidle")
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_dark_follows_the_system_and_the_button(browser: Any, report: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).reduce((a, b) => +a + +b, 0)"
    with tab(browser, report.as_uri(), color_scheme="dark") as one:
        assert one.page.evaluate(paper) < 150
        one.page.click("#theme")
        assert one.page.evaluate(paper) > 600
        one.page.click("#theme")
        assert one.page.evaluate(paper) < 150
        one.page.reload()
        assert one.page.inner_text("#theme") == "● dark"
    with tab(browser, report.as_uri(), color_scheme="light") as one:
        assert one.page.evaluate(paper) > 600


@pytest.mark.slow
def test_twenty_thousand_pictures_page_at_once(browser: Any, tmp_path: Path) -> None:
    """First paint under a second, and every page and filter shows up soon."""
    data = write_geneval(tmp_path / "data", {f"a photo of star {i}": "counting" if i % 2 else "colors" for i in range(5_000)})
    run = write_drawn(tmp_path / "run", data, repeats=4, wrong=range(4_990, 5_000))
    assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0
    page = tmp_path / "report" / "site" / "index.html"
    with tab(browser, page.as_uri() + "#/gallery", FIRST_CARDS, viewport={"width": 1280, "height": 900}) as one:
        one.status("1 to 60 of 20,000 items")
        assert one.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 1_000
        assert one.page.evaluate("window.painted") < 1_000
        assert one.page.locator("a.card img[loading=lazy]").count() == 60
        one.page.keyboard.press("End")
        one.status("19,981 to 20,000 of 20,000 items")
        assert len([request for request in one.requests if "/data/" in request]) == 3  # the index, the first and the last part
        one.page.select_option("select[name=verdict]", "wrong")
        one.status("1 to 40 of 40 items")
