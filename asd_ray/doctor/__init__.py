"""The checks behind `asd-ray doctor`: each one says what it found, and what to do where a search could not run.

It may import everything except `commands`; a check changes nothing on the machine.
Start with `finding.examine`, which runs one check; `commands/doctor.py` lists all of them.
"""
