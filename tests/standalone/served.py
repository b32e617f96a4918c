"""`suder-bench model-server` in a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL = Path(__file__).with_name("small_script.py")
START = "import sys; from suder_bench.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def serving(script: Path = SMALL, *words: str, **environment: str) -> Iterator[str]:
    """The reference `openai:NAME@URL` that the server prints."""
    command = [sys.executable, "-c", START, "model-server", "--script", str(script), "--port", "0", *words]
    told = {**os.environ, **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=told) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            found = next((match for line in lines if (match := re.search(r"openai:\S+", line))), None)
            assert found is not None, server.stderr.read() if server.stderr else ""
            yield found[0]
        finally:
            server.terminate()
            server.communicate(timeout=20)
