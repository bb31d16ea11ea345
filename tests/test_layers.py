"""Imports point one way, and ray and torchaudio stay where they belong."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (  # a module imports from its own layer and from those above it
    ("errors", "invocation", "shipped", "interrupts", "deadline"),
    ("files",),
    ("clip",),
    ("config",),
    ("cluster",),
    ("data",),
    ("losses",),
    ("models",),
    ("scoring",),
    ("training",),
    ("lanes",),
    ("search",),
    ("report",),
    ("console", "tracking"),
    ("api", "doctor"),
    ("commands", "__main__"),
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
ALLOWED = {
    "ray": {
        "cluster/runtime.py",
        "cluster/placement.py",
        "cluster/jobs.py",
        "cluster/ray_internals.py",
        "data/bank.py",
        "data/prepare.py",
        "lanes/lane.py",
        "lanes/controller.py",
        "lanes/link.py",
        "lanes/serve.py",
        "lanes/pool.py",
        "lanes/sizes.py",
        "search/trial_runner.py",
        "search/searcher.py",
        "search/tuner.py",
    },
    "torchaudio": {"models/mel_filters.py"},
}
MOST_MODULES = 18  # in a folder
MAY_USE_RUNTIME = ALLOWED["ray"] | {"search/driver.py", "search/train_one.py", "doctor/cluster.py"}


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Every module that a file imports, at any depth, with its dots; `package` is where the file lies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_private_of_ray(module: str) -> bool:
    """Ray promises nothing about these names."""
    top, *rest = module.split(".")
    return top == "ray" and any(part.startswith("_") or part == "experimental" for part in rest)


def offences(package: Path) -> list[str]:
    """One line for every import that is not allowed in the package at this folder."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        own = path.relative_to(package).with_suffix("").parts[0]
        parents = (package.name, *path.relative_to(package).parent.parts)
        if own not in (*LAYER_OF, "__init__"):
            found.add(f"{name} is in no layer")
        for module in imported(ast.parse(path.read_text(encoding="utf-8")), parents):
            top, *rest = module.split(".")
            if name not in ALLOWED.get(top, {name}):
                found.add(f"{name} imports {top}")
            if is_private_of_ray(module) and name != "cluster/ray_internals.py":
                found.add(f"{name} imports a private name of Ray: {module}")
            if top != package.name or not rest:
                continue
            if rest[:2] == ["cluster", "runtime"] and name not in MAY_USE_RUNTIME:
                found.add(f"{name} imports runtime")
            if LAYER_OF.get(rest[0], -1) > LAYER_OF.get(own, -1):
                found.add(f"{name} imports {rest[0]}")
    return sorted(found)


def test_imports_point_up_the_list_of_layers_and_ray_stays_where_it_is_allowed() -> None:
    assert offences(ROOT / "asd_ray") == []


def test_every_file_that_may_import_ray_exists_and_does() -> None:
    for top, names in ALLOWED.items():
        for name in names:
            tree = ast.parse((ROOT / "asd_ray" / name).read_text())
            assert any(module.split(".")[0] == top for module in imported(tree, ())), f"{name} has no {top}"


def test_planted_offenders_are_found_and_named(tmp_path: Path) -> None:
    package = tmp_path / "asd_ray"
    planted = {
        "__init__.py": "__version__ = '0'\n",
        "clip.py": "import asd_ray.config\n",
        "config.py": "from asd_ray.errors import InputError\nfrom asd_ray import __version__\n",
        "errors.py": "",
        "commands/tune.py": "from asd_ray.api import search\n",
        "api.py": "from asd_ray.commands import tune\n",
        "models/__init__.py": "",
        "models/tgram.py": "def f():\n    import ray.data\n    return ray\n",
        "models/mel_filters.py": "def f():\n    import torchaudio\n    return torchaudio\n",
        "models/sgram.py": "from asd_ray.losses.margin import MarginHead\n",
        "losses/margin.py": "if True:\n    from ..models import tgram\n",
        "data/audio.py": "import torchaudio.functional\nfrom asd_ray import search\n",
        "lanes/pool.py": "from ray.data._internal import stats\nfrom ray.experimental import internal_kv\n",
        "data/bank.py": "import ray\nfrom asd_ray.cluster.runtime import local_ray\n",
        "search/space.py": "from asd_ray.cluster.runtime import local_ray\n",
        "helpers.py": "import raymond\n",
    }
    for name, text in planted.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert offences(package) == [
        "api.py imports commands",
        "clip.py imports config",
        "data/audio.py imports search",
        "data/audio.py imports torchaudio",
        "helpers.py is in no layer",
        "lanes/pool.py imports a private name of Ray: ray.data._internal.stats",
        "lanes/pool.py imports a private name of Ray: ray.experimental.internal_kv",
        "losses/margin.py imports models",
        "models/tgram.py imports ray",
        "search/space.py imports runtime",
    ]


def imported_at_once(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    """The modules that a file imports while it is itself imported: not within functions, nor for type checkers."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.If | ast.With | ast.Try | ast.ClassDef):
            waiting += node.body
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node, package)


def circles(package: Path) -> list[list[str]]:
    """Modules that cannot be imported without each other."""
    modules = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }
    needs: dict[str, set[str]] = {}
    for name, path in modules.items():
        parents = (package.name, *path.relative_to(package).parent.parts)
        found = imported_at_once(ast.parse(path.read_text(encoding="utf-8")), parents)
        needs[name] = {
            module if module in modules else module.rpartition(".")[0] for module in found if "." in module
        } & set(modules) - {name}
    reached = {name: set(direct) for name, direct in needs.items()}
    for middle in modules:
        for name in modules:
            if middle in reached[name]:
                reached[name] |= reached[middle]
    together = {
        frozenset({name, *(other for other in reached[name] if name in reached[other])}) for name in modules
    }
    return sorted(sorted(one) for one in together if len(one) > 1)


def test_no_modules_import_each_other_in_a_circle(tmp_path: Path) -> None:
    assert circles(ROOT / "asd_ray") == []
    package = tmp_path / "asd_ray"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "clip": "from asd_ray import config\n",
        "config": "import asd_ray.api\n",
        "api": "if True:\n    from asd_ray.clip import Clip\n",
        "errors": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asd_ray.api\n",
        "files": "def f():\n    import asd_ray.files\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    assert circles(package) == [["asd_ray.api", "asd_ray.clip", "asd_ray.config"]]


def test_no_folder_holds_more_modules_than_one_can_look_over() -> None:
    counts = Counter(path.parent for path in (ROOT / "asd_ray").rglob("*.py"))
    assert {folder.name: count for folder, count in counts.items() if count > MOST_MODULES} == {}
