"""One trial in plain torch: its step, its epochs, its checkpoint, and the messages that the processes exchange.

It may import `scoring`, `models`, `losses`, `data` and what stands above them; it never imports ray.
Start with `loop.fit`, then read `trial.Trial`, which adds the files; `messages` defines what the processes say.
"""
