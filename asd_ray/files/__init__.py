"""Files, on a disk or in object storage: their paths, writing them whole, locks on folders, YAML read strictly.

It may import `errors` alone, so every other package can use it.
Start with `paths.place`, which takes what a user typed, and `writing.write_whole`.
"""
