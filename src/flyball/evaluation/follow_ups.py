"""Cases of several questions: each is asked after the model's own answer to the one before. I/O: calls a completer."""

from __future__ import annotations

from typing import Any

from flyball.evaluation.case_answers import Completed, Completer
from flyball.evaluation.suites.suite import FOLLOW_UPS


class FollowingUp:
    """A completer that asks a body's follow-ups in order and gives the last answer; an empty one ends the talk."""

    def __init__(self, completer: Completer) -> None:
        self._completer = completer

    def complete(self, body: dict[str, Any], /) -> Completed:
        """The answer to the last question."""
        request = {name: value for name, value in body.items() if name != FOLLOW_UPS}
        answer = self._completer.complete(request)
        for question in body.get(FOLLOW_UPS, ()):
            if not answer.text.strip():
                return answer
            said = [{"role": "assistant", "content": answer.text}, {"role": "user", "content": question}]
            request = {**request, "messages": [*request["messages"], *said]}
            answer = self._completer.complete(request)
        return answer
