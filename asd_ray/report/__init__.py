"""What a run folder says: the report, the best configs and their detectors, rebuilt from that folder alone.

It may import `search` and what stands above it; it never trains, and it never writes to the studies.
Start with `render.rebuild`, then read `reading.summarise`, which makes the `Summary` that every page shows.
"""
