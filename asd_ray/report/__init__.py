"""The results of a run: the report, the best configs and their detectors, rebuilt from the run folder alone.

It may import `search` and what stands above it; it never trains, and it never writes to the studies.
Start with `render.rebuild`, then read `reading.summarise`, which makes the `Summary` that every page shows.
"""
