"""The samples of a comparison with their rewards, kept as a line for each prompt or picture, for whoever shows them later."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from suder_bench.errors import UserError
from suder_bench.rewards.regions import Region, Regions
from suder_bench.rewards.sampled import Sampled
from suder_bench.runs.jsonl import replace_file

FILE = "rewards.jsonl"


@dataclass(frozen=True)
class Kept:
    """A prompt with its pictures, or a picture with its captions; pictures are files, told from the comparison's folder.

    A picture made elsewhere is an absolute path. `rewards` holds a number of each sample by reward, `verdict` what the
    benchmark says of each, None where nobody judges. `regions` are those of each sample by rewards that know them.
    """

    part: Literal["pictures", "captions"]
    given: str
    made: tuple[str, ...]
    rewards: dict[str, tuple[float, ...]]
    verdict: tuple[float, ...] | None
    regions: dict[str, tuple[Regions, ...]] = field(default_factory=dict)


def write(out: Path, drawn: Sampled, written: Sampled | None) -> None:
    """rewards.jsonl in `out`, and the pictures that captions were written for below `out`/captions."""
    rows = [_row("pictures", drawn, i, str(drawn.given[i]), _relative(out, drawn.made[i])) for i in range(len(drawn.given))]
    for i in range(len(written.given) if written else 0):
        assert written is not None
        file, picture = f"captions/{i:05d}.png", written.given[i]
        assert isinstance(picture, Image.Image)
        content = io.BytesIO()
        picture.save(content, "PNG")
        replace_file(out / file, content.getvalue())
        rows.append(_row("captions", written, i, file, tuple(map(str, written.made[i]))))
    lines = [json.dumps(asdict(row)) + "\n" for row in rows]
    replace_file(out / FILE, "".join(lines).encode())


def read(out: Path) -> list[Kept]:
    """The rows of a comparison. Raises `UserError` where they cannot be read."""
    try:
        rows = [json.loads(line) for line in (out / FILE).read_text(encoding="utf-8").split("\n") if line]
        return [
            Kept(
                row["part"],
                row["given"],
                tuple(row["made"]),
                {name: tuple(values) for name, values in row["rewards"].items()},
                None if row["verdict"] is None else tuple(row["verdict"]),
                {name: tuple(map(_regions, found)) for name, found in row.get("regions", {}).items()},
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{out / FILE} is not readable ({error}); repeat the suder-bench reward compare that made it") from None


def _row(part: Literal["pictures", "captions"], sampled: Sampled, i: int, given: str, made: tuple[str, ...]) -> Kept:
    samples = sampled.samples
    return Kept(
        part,
        given,
        made,
        {name: tuple(values[i].tolist()) for name, values in samples.rewards.items()},
        None if samples.verdict is None else tuple(samples.verdict[i].tolist()),
        {name: tuple(found[i]) for name, found in sampled.regions.items()},
    )


def _regions(told: list[dict[str, Any]] | None) -> Regions:
    """As `asdict` writes them."""
    if told is None:
        return None
    found = []
    for one in told:
        left, top, right, bottom = map(int, one["box"])
        found.append(Region((left, top, right, bottom), float(one["score"])))
    return found


def _relative(out: Path, files: Sequence[Path] | Sequence[str]) -> tuple[str, ...]:
    """Below `out` where they lie there, so that the folder can be moved; absolute where the pictures were made elsewhere."""
    whole = [Path(file).resolve() for file in files]
    inside = out.resolve()
    return tuple((file.relative_to(inside) if file.is_relative_to(inside) else file).as_posix() for file in whole)
