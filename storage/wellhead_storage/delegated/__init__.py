"""What KServe's own library fetches for us: HDFS, ModelScope, Azure Files and Git."""
