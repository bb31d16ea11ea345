"""Recordings on disk: reading and checking them, writing shards, and handing clips to the workers that train.

It may import `clip`, `config`, `cluster` and `files`; it knows nothing of networks, scores or searches.
Start with `prepare.prepare` (recordings become shards), then read `bank` (shards become clips in memory).
"""
