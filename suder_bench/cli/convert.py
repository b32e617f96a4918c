"""`suder-bench convert`: a checkpoint in transformers' layout, for other tools; suder-bench reads every layout as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError

DTYPES = ("stored", "float32", "bfloat16", "float16")


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "convert",
        "Write a checkpoint anew as transformers' save_pretrained would: safetensors, config, tokenizer, image processor. "
        "SRC may be in the layout of Janus' authors (model_type multi_modality), in shards, or a pytorch_model.bin.",
    )
    parser.add_argument("source", metavar="SRC", help="a checkpoint folder or hub id")
    parser.add_argument("target", metavar="DST", type=Path, help="a new folder")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="stored", help="precision of the weights (default: as they are stored)"
    )
    options.add_model_arguments(parser)
    parser.add_argument("--offline", action="store_true", help="never use the network")
    arguments = parser.parse_args(argv)
    options.prepare(offline=arguments.offline, rehash=arguments.rehash)
    chosen = options.choose_model(arguments, arguments.source)
    if chosen.adapter != "janus":
        raise UserError(
            f"model '{chosen.name}' is of the family '{chosen.adapter}', which has one layout; there is nothing to convert"
        )
    if arguments.target.exists():
        raise UserError(f"'{arguments.target}' is there already; choose a new folder")
    chosen.check()
    from suder_bench.models.janus.files import convert

    rounded = convert(chosen.reference, arguments.target, None if arguments.dtype == "stored" else arguments.dtype)
    same = f"--model {arguments.target} gives the same responses"
    told = (
        same if rounded is None else f"its weights are rounded to {str(rounded).removeprefix('torch.')}, so that responses differ"
    )
    print(f"{chosen.name} is in {arguments.target}, in transformers' layout; {told}")
    return 0
