"""`python -m suder_bench`, the same as `suder-bench`."""

import sys

from suder_bench.cli import main

sys.exit(main())
