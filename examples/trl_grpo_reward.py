"""A benchmark's verdict as the reward of TRL's GRPO, from judges that `suder-bench serve` holds in another environment.

    suder-bench serve --benchmark geneval --data official          # in one environment, on one GPU
    python examples/trl_grpo_reward.py --url http://127.0.0.1:8321 --images DIR     # in the trainer's

The second command asks for the rewards of pictures in GenEval's layout (00000/metadata.jsonl, 00000/samples/00000.png), as the
trainer would of those it has just drawn. In a training it is `reward_funcs=RemoteReward(URL)`, or a function of your own as the
one below; the data set's columns `tag`, `include` and `exclude` reach it by their names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from suder_bench.rewards.remote import RemoteReward


def reward_function(reward: RemoteReward) -> Any:
    """With TRL's signature: (prompts, completions, **columns) -> one number a completion. It logs why a picture is wrong."""

    def geneval(
        prompts: Sequence[str], completions: Sequence[Image.Image], metadata: Sequence[dict[str, Any]], **columns: Any
    ) -> list[float]:
        rows = reward.results(prompts, completions, metadata)
        if log := columns.get("log_extra"):  # TRL's table of completions
            log("reason", [row.get("reason", row.get("error")) for row in rows])
        return [row.get("score") for row in rows]  # None where a picture could not be judged: TRL leaves it out

    return geneval


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of suder-bench serve; its token is read from SUDER_BENCH_TOKEN")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="in GenEval's layout")
    given = parser.parse_args(argv)
    files = sorted(given.images.glob("*/samples/*.png"))
    records = [json.loads(file.parents[1].joinpath("metadata.jsonl").read_text(encoding="utf-8")) for file in files]
    reward = RemoteReward(given.url)
    rewards = reward_function(reward)(
        prompts=[record["prompt"] for record in records], completions=[Image.open(file) for file in files], metadata=records
    )
    for file, value in zip(files, rewards, strict=True):
        print(f"{file.relative_to(given.images)}\t{value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
