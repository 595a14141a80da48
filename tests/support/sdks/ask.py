"""What a Python SDK reads of one answer. Reads lines {"sdk", "url", "stream"}; prints a line of JSON for each."""

from __future__ import annotations

import json
import sys
from typing import Any

QUESTION = [{"role": "user", "content": "Where is my parcel?"}]


def langchain(url: str, stream: bool) -> Any:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="shop", base_url=url, api_key="none", max_retries=0, timeout=10, stream_usage=True)
    if stream:
        return [[piece.content, piece.tool_call_chunks] for piece in model.stream("Where is my parcel?")]
    found = model.invoke("Where is my parcel?")
    return [found.content, found.tool_calls]


def litellm(url: str, stream: bool) -> Any:
    from litellm import completion

    more: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0, "timeout": 10}
    if stream:
        more["stream_options"] = {"include_usage": True}
    answer = completion(model="openai/shop", messages=QUESTION, stream=stream, **more)
    if stream:
        return [[choice.delta.content for choice in piece.choices] for piece in answer]
    return [[choice.message.content, str(choice.message.tool_calls)] for choice in answer.choices]


SDKS = {"langchain": langchain, "litellm": litellm}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        read: dict[str, Any] = {"read": SDKS[asked["sdk"]](asked["url"], asked["stream"])}
    except Exception as error:
        read = {"error": type(error).__name__, "status": getattr(error, "status_code", None)}
    print("read " + json.dumps(read, default=str), flush=True)
