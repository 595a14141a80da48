"""Every objective by its name: a new one is a file of this package, a line here and its name in `config.py`."""

from __future__ import annotations

from typing import Any, Final

from flyball.training.objectives.distillation import Distillation
from flyball.training.objectives.dpo import Dpo
from flyball.training.objectives.objective import Objective
from flyball.training.objectives.supervised import Supervised
from flyball.training.objectives.text import Text

OBJECTIVES: Final[dict[str, type[Objective[Any]]]] = {kind.name: kind for kind in (Supervised, Text, Dpo, Distillation)}
