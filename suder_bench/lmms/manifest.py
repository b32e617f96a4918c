"""What lmms-eval finds under its entry point group `lmms_eval.models`, and reads at every start."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest

MANIFEST = ModelManifest("suder_bench", simple_class_path="suder_bench.lmms.model.SuderBench", aliases=("suder-bench",))
