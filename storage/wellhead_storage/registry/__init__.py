"""Kubeflow Hub (Model Registry): from a model's name to the URI of its weights."""
