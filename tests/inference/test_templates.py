"""Chat templates render as transformers renders them, in a sandbox."""

from __future__ import annotations

import pytest

from flyball.errors import InputError
from flyball.inference.templates import CHAT_TEMPLATE, render

TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]


def test_our_template_marks_every_turn_and_opens_the_answer():
    assert render(CHAT_TEMPLATE, TURNS, add_generation_prompt=False) == "<|user|>hi<|end|><|assistant|>yes<|end|>"
    assert render(CHAT_TEMPLATE, TURNS[:1], add_generation_prompt=True) == "<|user|>hi<|end|><|assistant|>"


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        "{{ bos_token }}\n{% for m in messages %}\n {% if loop.first %}\n{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m | tojson }}{% endfor %}",
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}{%- endfor -%}{{ ns.n }}",
    ],
)
def test_it_renders_as_transformers_does(template):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": "system", "content": "é <b>"}, *TURNS]
    (expected,), _ = render_jinja_template([messages], chat_template=template, bos_token="<s>")
    assert render(template, messages, add_generation_prompt=False, bos_token="<s>") == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "does not render"),
        ("{{ messages.append(1) }}", "does not render"),
        ("{{ ''.__class__.__mro__ }}", "does not render"),
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must alternate"),
    ],
)
def test_a_template_that_fails_or_reaches_out_is_refused(template, message):
    with pytest.raises(InputError, match=message):
        render(template, TURNS, add_generation_prompt=False)
