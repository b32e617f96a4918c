"""Rewards that ask a judge: the usual back-end of its role for the model that is rewarded."""

from __future__ import annotations

from huggingface_hub import constants

from suder_bench.benchmark import Judge
from suder_bench.models.protocols import Model, TellsItsWorld
from suder_bench.runs import judges


def seated(role: str, model: Model) -> Judge:
    """The judge of `role`: the world's for a model of the world, the official one for any other.

    Raises `JudgeError` where its weights cannot be had, or it gets known answers wrong.
    """
    world = isinstance(model, TellsItsWorld) and model.world
    chosen = judges.choose([role], {}, world=world)
    panel = judges.seat(chosen, device="auto", dtype="auto", offline=constants.HF_HUB_OFFLINE)
    for missing in panel.missing.values():
        raise missing
    return panel.judges[role]
