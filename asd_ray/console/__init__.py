"""What a person sees on the terminal: the live view or the lines of a running search, and the table at its end.

It may import `report` and what stands above it. It shows what happens, but decides nothing.
Start with `live.open_view`, which receives the events of `asd_ray.search.events`.
"""
