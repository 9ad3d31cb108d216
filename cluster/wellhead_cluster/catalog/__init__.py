"""Models of a bucket, written down for catalogs of models: Kubeflow Hub's, and Backstage."""
