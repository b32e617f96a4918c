"""The table at the end of a run: short, complete, honest about where its numbers come from, and 80 columns wide."""

from __future__ import annotations

import pytest

from suder_bench.runs.table import interval, number, render

WORLD = {"backend": "world", "exact": False, "fingerprint": "w1"}
OWN = {"backend": "official", "exact": True, "fingerprint": "o1"}


def metric(value, low=None, high=None, n=24):
    return {"value": value, "low": low, "high": high, "n": n}


def entry(metrics, headline="overall", paper=(), judges=None, skipped=0, failed=0):
    return {
        "headline": headline,
        "paper_metrics": list(paper),
        "protocol": "official",
        "judges": judges or {},
        "n_samples": 6,
        "n_responses": 24,
        "skipped": skipped,
        "failed": failed,
        "metrics": metrics,
    }


def summary(world=True, **benchmarks):
    data = (
        {"source": "world", "size": "quick", "folder": None} if world else {"source": "folder", "size": None, "folder": "my/data"}
    )
    return {
        "schema": 1,
        "run": "first",
        "model": "tiny-janus",
        "suite": "gen",
        "world": world,
        "recipe": {"data": data, "seed": 7},
        "benchmarks": benchmarks,
    }


GENEVAL = entry(
    {"overall": metric(0.5123, 0.48, 0.5449, 1200), "counting": metric(0.25, 0.2, 0.3), "strict": metric(0.1)},
    paper=["counting", "overall"],
    judges={"detector": WORLD, "color": WORLD},
)


def test_the_table_as_people_see_it():
    assert render(summary(geneval=GENEVAL), width=80) == "\n".join(
        [
            "geneval      value       95 % interval       n",
            "----------------------------------------------",
            "  counting   0.250      0.200 to 0.300      24",
            "* overall    0.512      0.480 to 0.545   1,200",
            "  (1 more metric in summary.json)",
            "",
            "*       the headline of its benchmark",
            "model   tiny-janus",
            "data    scored on the embedded world, not comparable with published numbers",
            "seed    7",
            "judges  not the benchmarks' own: world (detector, color)",
        ]
    )


def test_metrics_over_few_prompts_are_marked_and_the_signs_explained():
    conv = {**metric(0.5, n=5), "few_clusters": 5}
    few = {**metric(0.25, 0.11, 0.39), "few_clusters": 4}
    lines = render(summary(llavabench=entry({"overall": metric(0.4, 0.3, 0.5), "conv": conv, "few": few})), width=80).splitlines()
    assert lines[2].split() == ["*", "overall", "0.400", "0.300", "to", "0.500", "24"]
    assert lines[3].split() == ["conv", "0.500", "-~", "5"]
    assert lines[4].split() == ["few", "0.250", "0.110", "to", "0.390~", "24"]
    assert lines[6].startswith("~       over fewer than ten prompts, pictures or question groups")
    assert any(line.startswith("-       no number, or no interval") for line in lines)


def test_zero_has_no_sign():
    assert (number(-0.0), number(-0.0004), number(-0.0006)) == ("0.000", "0.000", "-0.001")
    assert interval(-1e-17, 0.5) == "0.000 to 0.500"


def test_verbose_shows_every_metric():
    table = render(summary(geneval=GENEVAL), verbose=True)
    assert "strict" in table
    assert "more" not in table


def test_the_headline_is_shown_even_when_the_paper_leaves_it_out():
    table = render(summary(pope=entry({"f1": metric(0.8), "accuracy": metric(0.7)}, headline="f1", paper=["accuracy"])))
    assert "* f1" in table


def test_without_metrics_of_a_paper_all_are_shown():
    table = render(summary(mine=entry({"a": metric(1), "b": metric(0)}, headline="a")))
    assert "* a " in table
    assert "  b " in table


def test_metrics_that_were_not_measured_are_no_rows():
    assert "position" not in render(summary(geneval=entry({"overall": metric(1)}, paper=["position", "overall"])))


def test_nothing_judged_still_counts():
    assert "(40 skipped, 2 failed)" in render(summary(geneval=entry({}, skipped=40, failed=2)))


def test_one_cluster_shows_a_dash_for_the_interval():
    row = next(line for line in render(summary(pope=entry({"overall": metric(0.5)}))).splitlines() if "overall" in line)
    assert row.split() == ["*", "overall", "0.500", "-", "24"]


def test_real_data_and_the_benchmarks_own_judges_carry_no_mark():
    table = render(summary(world=False, geneval=entry({"overall": metric(0.5)}, judges={"detector": OWN})))
    assert "data    folder my/data" in table
    assert "judges" not in table
    assert "embedded world" not in table


def test_a_foreign_judge_is_named_beside_an_own_one():
    table = render(summary(world=False, geneval=entry({"overall": metric(0.5)}, judges={"detector": OWN, "vqa": WORLD})))
    assert "judges  not the benchmarks' own: world (vqa)" in table


def test_a_judge_whose_digest_nobody_published_is_told_apart_from_another():
    unknown = {"backend": "unidet-rs200", "exact": False, "fingerprint": "u1", "weights": "digest unknown"}
    other = {"backend": "blip:mine.pth", "exact": False, "fingerprint": "b1", "weights": "another file"}
    own = OWN | {"weights": "exact"}
    judges = {"clip": own, "vqa": other, "detector-2d": unknown}
    lines = render(summary(world=False, geneval=entry({"overall": metric(0.5)}, judges=judges)), width=120).splitlines()
    assert lines[-2:] == [
        "judges  not the benchmarks' own: blip:mine.pth (vqa)",
        "judges  official by name, digest unknown (suder-bench judges verify): unidet-rs200 (detector-2d)",
    ]


def test_where_the_other_metrics_are_is_said_truly():
    assert "(2 more metrics in summary.json)" in render(
        summary(geneval=entry({"a": metric(1), "b": metric(0), "c": metric(0)}, "a", ["a"]))
    )
    many = summary(geneval=entry({"a": metric(1), "b": metric(0)}, "a", ["a"]))
    assert "(1 more metric with --verbose)" in render(many, rest="with --verbose")


def test_deviations_are_marked_under_the_table():
    lost = entry({"overall": metric(0.5)}) | {"deviations": ["1 sample left out (--allow-missing)"]}
    assert "marked  pope: 1 sample left out (--allow-missing); not comparable with published" in render(summary(False, pope=lost))


def test_rows_stay_within_the_width():
    names = {"vlmevalkit/" + "very " * 30: metric(0.5, 0.4, 0.6), "overall": metric(88.123, 80, 90)}
    lines = render(summary(hallusionbench=entry(names)), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(".. " in line for line in lines)


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.500"), (88.25, "88.2"), (-0.01, "-0.010"), (None, "-"), (float("nan"), "-")]
)
def test_numbers(value, text):
    assert number(value) == text


def test_an_interval_needs_both_ends():
    assert interval(0.1, 0.2) == "0.100 to 0.200"
    assert interval(0.1, None) == "-"
