"""Print the lowest versions that ``pyproject.toml`` declares, as requirements."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
needed = [*project["dependencies"]]
for name in ("cosmics", "remote", "stars", "zarr"):
    needed += extras[name]
print("\n".join(requirement.replace(">=", "==") for requirement in needed))
