"""What is done to every text before a model reads it: the same to rows, suites and requests. Pure.

`data` prepares rows with it, and the prompt path prepares requests by what the release says; personal data and
control tokens are taken out afterwards, on both sides.
"""

from flyball.inference.preparation.steps import PREPARATION, STEPS, TextPreparer, cut, prepare

__all__ = ["PREPARATION", "STEPS", "TextPreparer", "cut", "prepare"]
