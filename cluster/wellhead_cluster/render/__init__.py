"""`wellhead render`: a service for KServe, ready to apply, with sizes that say where they come from."""
