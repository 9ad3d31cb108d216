"""What a platform team asks before a pod exists: it knows KServe's objects, and uses the initializer and the server."""
