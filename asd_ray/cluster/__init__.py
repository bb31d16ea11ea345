"""Ray and its machines: start Ray, join a cluster, place work, send jobs, and wrap Ray's private names.

It may import `config`, `files` and what stands above them; it knows nothing of clips, trials or studies.
Start with `runtime.local_ray`; `ray_internals` is the only file that touches private names of Ray.
"""
