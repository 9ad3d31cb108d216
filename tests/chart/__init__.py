"""The Helm chart, rendered by Helm's own engine without a cluster.

    python -m tests.chart docs      writes the table of values into the chart's README
    python -m tests.chart renders   writes servingruntimes/chart/renders

kustomize (`servingruntimes/{base,components,llm}`) is the source of truth, and test_kustomize.py holds the chart to it.
"""
