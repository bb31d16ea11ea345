"""Ray itself: a local one, a cluster, what its nodes have, jobs on it, and its private names.

May import `files` and `config`; knows nothing of clips, trials or studies. Start with `runtime.local_ray`.
"""
