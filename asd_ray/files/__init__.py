"""Files, local or in object storage: their paths, writing them whole, locks on folders, YAML read strictly.

May import `errors` alone. Start with `paths.place`, which takes what a user typed, and `writing.write_whole`.
"""
