"""The parts of the pages that are made of the code: variables, exit codes, annotations, commands.

`make reference` writes them between their markers (`python -m tests.reference`), and `tests/unit/test_reference.py`
holds the pages to it. What they say stands beside the code that reads it: in the fields of `Settings`, the errors'
docstrings, the options of the commands.
"""
