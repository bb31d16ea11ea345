"""The checks behind `asd-ray doctor`: each reports what it found, and how to mend what would stop a search.

It may import everything except `commands`; a check changes nothing on the machine.
Start with `finding.examine`, which runs one check; `commands/doctor.py` lists all of them.
"""
