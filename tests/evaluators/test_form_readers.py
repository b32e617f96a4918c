"""However rows and columns stand, and whatever is beside them, the same questions are read; what is damaged is told in a line."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from forms_of_world import FORMS, Row, parquet, table
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from suder_bench.data.folder import WORLD_FILE
from suder_bench.data.source import write_world
from suder_bench.errors import PictureError, UserError
from suder_bench.records import Sample, content
from suder_bench.runs.plan import build

pyarrow = pytest.importorskip("pyarrow")
files = pytest.importorskip("pyarrow.parquet")
TABLE = {"pope": "POPE", "hallusionbench": "HallusionBench", "llavabench": "LLaVABench", "seedbench": "SEEDBench_IMG"}
TABLE |= {"mmbench": "MMBench_DEV_EN"}
SPLIT = {"pope": "test", "hallusionbench": "image", "llavabench": "train", "mmbench": "dev", "seedbench": "test"}
ALL = [(benchmark, form) for benchmark in TABLE for form in ("table", "hub")]
MOST = 24
"""Rows of a set: more say nothing new."""

VALUES = st.one_of(
    st.none(), st.sampled_from(["", " ", "nan", "None", "yes", "5", "A", "image"]), st.text(max_size=12), st.integers()
)
RELAXED = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
Home = Callable[[str, str], tuple[Path, list[Row]]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """home(benchmark, form): a data folder, and the rows of its one file."""
    world = tmp_path_factory.mktemp("readers") / "world"
    write_world(world, size="quick", benchmarks=list(TABLE))
    made: dict[tuple[str, str], tuple[Path, list[Row]]] = {}

    def home(benchmark: str, form: str) -> tuple[Path, list[Row]]:
        if (benchmark, form) not in made:
            data = tmp_path_factory.mktemp("data")
            (data / benchmark).mkdir()
            shutil.copy(world / WORLD_FILE, data)
            if (benchmark, form) == ("mmbench", "table"):
                shutil.copy(world / "mmbench" / "MMBench_DEV_EN.tsv", data / benchmark)
            else:
                FORMS[benchmark][form](world / benchmark, data / benchmark)
            made[benchmark, form] = data, first(rows_of(data / benchmark, benchmark, form), benchmark)
        return made[benchmark, form]

    return home


def rows_of(folder: Path, benchmark: str, form: str) -> list[Row]:
    if form == "table":
        csv.field_size_limit(1 << 30)
        return list(csv.DictReader(io.StringIO((folder / f"{TABLE[benchmark]}.tsv").read_text(), newline=""), delimiter="\t"))
    return [row for file in sorted(folder.rglob(f"{SPLIT[benchmark]}-*.parquet")) for row in files.read_table(file).to_pylist()]


def first(rows: list[Row], benchmark: str) -> list[Row]:
    """MMBench's in whole questions."""
    if benchmark != "mmbench":
        return rows[:MOST]
    mains = {int(row["index"]) % 1_000_000 for row in rows[:6]}
    return [row for row in rows if int(row["index"]) % 1_000_000 in mains]


def questions(data: Path, benchmark: str, form: str, rows: list[Row], columns: list[str]) -> list[Sample]:
    folder = data / benchmark
    if form == "table":
        table(folder / f"{TABLE[benchmark]}.tsv", [{name: row.get(name, "") for name in columns} for row in rows])
    else:
        place = folder / ("en" if benchmark == "mmbench" else "data")
        for file in folder.rglob("*.parquet"):
            file.unlink()
        try:
            parquet(place, SPLIT[benchmark], [{name: row.get(name) for name in columns} for row in rows], shards=1)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError, UnicodeEncodeError):
            assume(False)  # no parquet file can hold these values in one column
    return list(build(benchmark, data, "official").samples())


def asked(samples: list[Sample], benchmark: str, form: str) -> Counter[str]:
    """What is asked about which picture. The numbers of POPE's questions follow their order in VLMEvalKit's table, and pictures
    without names are numbered in theirs."""
    kept = [one.id if (benchmark, form) != ("pope", "table") else "" for one in samples]
    truths = [{name: value for name, value in one.truth.items() if name != "set_rows"} for one in samples]
    pictures = [content(one.images[0]) for one in samples]
    return Counter(
        repr((name, one.prompt, sorted(truth.items(), key=str), picture))
        for name, one, truth, picture in zip(kept, samples, truths, pictures, strict=True)
    )


@pytest.mark.parametrize(("benchmark", "form"), ALL)
@given(data=st.data())
@RELAXED
def test_order_and_company_of_rows_and_columns_change_nothing(home: Home, benchmark: str, form: str, data: st.DataObject) -> None:
    folder, rows = home(benchmark, form)
    expected = asked(questions(folder, benchmark, form, rows, list(rows[0])), benchmark, form)
    extra = data.draw(st.lists(st.from_regex(r"[a-z]{5,8} ?[0-9]", fullmatch=True), max_size=2, unique=True))
    extra = [name for name in extra if name not in rows[0]]
    more = [row | dict.fromkeys(extra, str(number)) for number, row in enumerate(data.draw(st.permutations(rows)))]
    columns = data.draw(st.permutations([*rows[0], *extra]))
    assert asked(questions(folder, benchmark, form, more, columns), benchmark, form) == expected


@pytest.mark.parametrize(("benchmark", "form"), ALL)
@given(data=st.data())
@RELAXED
def test_a_damaged_set_is_read_whole_or_told(home: Home, benchmark: str, form: str, data: st.DataObject) -> None:
    """A cell of another value, a column that is gone, a row twice or a row that is gone: never fewer questions than rows."""
    folder, rows = home(benchmark, form)
    changed, columns = [dict(row) for row in rows], list(rows[0])
    way = data.draw(st.sampled_from(["cell", "column", "twice"]))
    name = data.draw(st.sampled_from(columns))
    if way == "cell":
        data.draw(st.sampled_from(changed))[name] = data.draw(VALUES)
    elif way == "column":
        columns.remove(name)
    else:
        changed.append(dict(data.draw(st.sampled_from(changed))))
    whole = len(questions(folder, benchmark, form, rows, list(rows[0])))
    try:
        found = questions(folder, benchmark, form, changed, columns)
    except (UserError, PictureError) as error:
        told = str(error)
        assert "\n" not in told
        return
    passed_over = {"hallusionbench": {"filename", "image"}, "seedbench": {"data_type"}, "pope": {"category"}}
    if name not in passed_over.get(benchmark, ()):
        assert len(found) == whole
    assert all(isinstance(one.id, str) and isinstance(one.prompt, str) for one in found)
