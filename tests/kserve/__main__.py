"""`python -m tests.kserve`."""

from __future__ import annotations

import sys

from tests.kserve.cli import main

sys.exit(main(sys.argv[1:]))
