"""What a shell offers on <Tab>."""

import re
import subprocess
from pathlib import Path


def completed(command: str, name: str, words: tuple[str, ...], *, cwd: Path) -> list[str]:
    """What bash offers for the last of these words of `name ...`, by what `command` prints for it."""
    ask = (
        f'eval "$({command} --print-completion bash)"; COMP_WORDS=({name} "$@"); COMP_CWORD=$#; '
        f"_shtab_{re.sub('[^a-z]', '_', name)}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", ask, name, *words], capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout.split()
