"""The command that compares variants of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, json_option, say, show, table, with_project
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.workflows.optimise import Comparison


@click.command(
    "optimise",
    epilog="\b\nExamples:\n  flyball optimise 3f9c2a71b0de --target latency\n"
    "  flyball optimise teacher student --target cost --form gguf:q8_0",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL [OTHER]...")
@click.option("--target", type=click.Choice(["latency", "cost", "size"]), required=True, help="What is to be small.")
@click.option(
    "--form", "forms", multiple=True, help="A form to try, several times. Default: gguf:f16, gguf:q8_0, gguf:q4_k_m."
)
@json_option
@with_project
def optimise_command(
    project: Project, models: tuple[str, ...], target: Any, forms: tuple[str, ...], as_json: bool
) -> None:
    """Measure MODEL in smaller forms, and other models beside it, on validation rows in their engines.

    Nothing is released: it prints what gates and deploys the variant of your choice. What was measured is kept.
    """
    from flyball.workflows.optimise import FORMS, optimise

    found = optimise(project, models, target=target, forms=forms or FORMS, progress=ProgressLine(), say=say)
    emit(document_of(project, found), as_json=as_json, text=optimise_text)


def document_of(project: Project, found: Comparison) -> dict[str, Any]:
    """The comparison for programs; its page is written beside what was measured."""
    import msgspec

    from flyball.whole_files import replace_file
    from flyball.workflows.optimise_page import commands, optimise_page

    page = project.places.state / "optimise" / f"{found.variants[0].model[:12]}-{found.target}.html"
    replace_file(page, optimise_page(found).encode(), durable=False)
    return {
        "target": found.target,
        "measured_by": f"{found.suite}.{found.measure}",
        "variants": [
            {
                **msgspec.to_builtins(one),
                "usd_per_1000_good": found.usd_per_1000_good(one),
                "pareto": one.name in found.front,
            }
            for one in found.variants
        ],
        "left_out": found.left_out,
        "suggested": found.suggested.name,
        "commands": list(commands(found)),
        "page": str(page),
    }


def optimise_text(document: dict[str, Any]) -> str:
    """The comparison for people."""
    rows: list[dict[str, Any]] = [
        {
            "variant": one["name"],
            "quality": f"{show(one['quality'])} [{show(one['lower'])}, {show(one['upper'])}]",
            "n": one["n"],
            "median ms": one["latency_ms"],
            "answers/s": one["answers_per_s"],
            "memory MB": one["memory_mb"],
            "size MB": one["size_bytes"] / 1e6,
            "usd/1,000 good": one["usd_per_1000_good"],
            "pareto": "yes" if one["pareto"] else "",
            "release": one["release"][:12],
        }
        for one in document["variants"]
    ]
    lines = [table(rows, tuple(rows[0])), *(f"left out: {name}: {why}" for name, why in document["left_out"].items())]
    lines += [f"quality: {document['measured_by']}", f"page: {document['page']}"]
    if document["commands"]:
        lines += [f"suggested by {document['target']}: {document['suggested']}", *document["commands"]]
    else:
        lines.append(f"none is better by {document['target']} within the interval of the model as it is")
    return "\n".join(lines)
