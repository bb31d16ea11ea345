"""Ray and the machines that it runs on: start it, join a cluster, place work, send jobs, wrap its private names.

It may import `config`, `files` and what stands above them; it knows nothing of clips, trials or studies.
Start with `runtime.local_ray`; `ray_internals` is the only file that touches private names of Ray.
"""
