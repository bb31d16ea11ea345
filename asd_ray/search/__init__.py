"""A search: its space, its run folder, the studies that propose trials, and Ray Tune, which runs them on lanes.

It may import `lanes`, `training` and what stands above them; reports and terminals only hear its events.
Start with `driver.run_search`, then read `searcher`, where Tune's trials and the studies meet.
"""
