"""The example notebook runs as it is, in a kernel of its own, and the page about the interface too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import suder_bench

REPOSITORY = Path(__file__).parents[2]
NOTEBOOK = REPOSITORY / "examples/first_run.ipynb"
PAGE = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8")

pytest.importorskip("pandas")


@pytest.mark.slow
def test_the_notebook_runs_and_shows_tables(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)  # committed without outputs
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [shows(cell) for cell in code]
    assert ["text/html" in one for one in shown] == [True, True, True, False, True]
    assert "image/png" in shown[3]
    assert "geneval" in shown[0]["text/html"]
    run = suder_bench.load_run(tmp_path / "runs/notebook")
    for row in run.frame("metrics").query("headline").itertuples():
        assert f"<td>{row.metric}</td>" in shown[1]["text/html"]
        assert f"{row.value:.3f}"[:4] in shown[1]["text/html"]


def shows(cell: Any) -> Any:
    [data] = [output.data for output in cell.outputs if output.output_type == "execute_result"]
    return data


@pytest.mark.slow
def test_the_page_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), names)
    assert len(names["pictures"]) == len(names["wrong"])
    assert set(names["difference"].document["benchmarks"]) == {"geneval"}
