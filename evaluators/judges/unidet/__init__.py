"""UniDet without detectron2: `UniDet.read(FILE).find(pictures)`."""

from suder_bench.evaluators.judges.unidet.judge import Found, UniDet, load

__all__ = ["Found", "UniDet", "load"]
