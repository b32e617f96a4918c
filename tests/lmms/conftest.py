"""What runs lmms-eval for real needs the extra `lmms`; CI has it in an environment of its own."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "evaluators"))
