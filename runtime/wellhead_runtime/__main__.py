"""`python -m wellhead_runtime` is `wellhead`."""

from wellhead_runtime.cli import main

main()
