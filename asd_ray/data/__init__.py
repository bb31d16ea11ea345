"""Recordings on disk, checked, as shards and as the resident clips of a worker."""
