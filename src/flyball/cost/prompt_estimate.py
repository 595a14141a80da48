"""How many tokens a request's prompt has where its server does not say: texts by script, the rest by rules. Pure.

Pictures as OpenAI says for GPT-4o (https://platform.openai.com/docs/guides/images-vision): 85 tokens at low detail;
else 85, and 170 for each tile of 512 pixels, which makes 765 of a square, the size that is taken for any. Audio: ten
tokens a second (https://platform.openai.com/docs/guides/realtime-costs). Never their base64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

PICTURE: Final = 765
PICTURE_LOW: Final = 85
AUDIO_PER_S: Final = 10
SPEECH_PER_S: Final = 20
"""Audio that a model says (the same source)."""
AUDIO_UNKNOWN_S: Final = 60
"""Of audio behind an address."""
VIDEO: Final = 16_000
"""A minute of video at 258 tokens a second (https://ai.google.dev/gemini-api/docs/video-understanding)."""
FILE_BYTES_PER_TOKEN: Final = 32
"""Of a document such as a PDF: 50 kB a page, which is 1,500 tokens as text and picture."""
FILE_UNKNOWN: Final = 4_000
MESSAGE: Final = 4
"""What a template puts around a message."""
_BYTES_PER_S: Final = {"wav": 48_000, "pcm16": 48_000, "flac": 24_000, "opus": 4_000}
_MP3_BYTES_PER_S: Final = 16_000

Part = tuple[str, int]
"""A text to estimate, and tokens beside it."""


def prompt_parts(body: Mapping[str, Any]) -> Iterator[Part]:
    """Everything in a request's body that a model reads."""
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            yield "", MESSAGE
            yield from _message(message)
    for name in ("prompt", "input", "suffix"):
        yield from _input(body.get(name))
    for name in ("tools", "functions", "response_format"):
        if body.get(name):
            yield _as_json(body[name]), 0


def _message(message: Any) -> Iterator[Part]:
    if not isinstance(message, dict):
        return
    for name in ("content", "reasoning_content", "name"):
        yield from _content(message.get(name))
    for name in ("tool_calls", "function_call"):
        if message.get(name):
            yield _as_json(message[name]), 0


def _content(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        yield content, 0
    elif isinstance(content, list):
        for part in content:
            yield from _part(part)
    elif isinstance(content, dict):
        yield from _part(content)


def _part(part: Any) -> Iterator[Part]:
    if isinstance(part, str):
        yield part, 0
    if not isinstance(part, dict):
        return
    kind = str(part.get("type", "text"))
    if "image" in kind:
        yield "", _picture(part)
    elif "audio" in kind:
        yield "", _audio(part)
    elif "video" in kind:
        yield "", VIDEO
    elif "file" in kind or "document" in kind:
        yield "", _file(part)
    else:
        for name in ("text", "refusal", "content"):
            yield from _content(part.get(name))


def _picture(part: Mapping[str, Any]) -> int:
    picture = part.get("image_url")
    detail = picture.get("detail") if isinstance(picture, dict) else part.get("detail")
    return PICTURE_LOW if detail == "low" else PICTURE


def _audio(part: Mapping[str, Any]) -> int:
    audio = part.get("input_audio", part.get("audio"))
    data = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(data, str):
        return AUDIO_UNKNOWN_S * AUDIO_PER_S
    form = audio.get("format") if isinstance(audio, dict) else None
    return audio_tokens(len(data), form, AUDIO_PER_S)


def audio_tokens(base64_size: int, form: Any, per_s: int) -> int:
    """Tokens of audio in base64, by its length in the format that is named (without a name: MP3)."""
    per_second = _BYTES_PER_S.get(form, _MP3_BYTES_PER_S) if isinstance(form, str) else _MP3_BYTES_PER_S
    return base64_size * 3 // 4 * per_s // per_second + per_s


def _file(part: Mapping[str, Any]) -> int:
    file = part.get("file", part)
    data = file.get("file_data") if isinstance(file, dict) else None
    return len(data) * 3 // 4 // FILE_BYTES_PER_TOKEN if isinstance(data, str) else FILE_UNKNOWN


def _input(value: Any) -> Iterator[Part]:
    """A prompt or an embedding's input: a text, tokens, or many of either."""
    if isinstance(value, str):
        yield value, 0
    elif isinstance(value, list):
        if value and isinstance(value[0], int):
            yield "", len(value)
        else:
            for item in value:
                yield from _input(item) if isinstance(item, (str, list)) else _part(item)


def _as_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return str(value)
