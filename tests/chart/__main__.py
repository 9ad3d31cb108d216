"""What `make chart-docs` and `make chart-renders` run."""

from __future__ import annotations

import sys

from tests.chart.renders import write_renders
from tests.chart.values_table import write_table

if __name__ == "__main__":
    {"docs": write_table, "renders": write_renders}[sys.argv[1]]()
