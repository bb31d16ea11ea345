"""Files on a disk or in object storage: paths, writing files whole, locks on folders, strict reading of YAML.

It may import `errors` alone, so every other package can use it.
Start with `paths.place`, which takes what a user typed, and `writing.write_whole`.
"""
