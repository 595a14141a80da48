"""What measures are called, for gate rules. Pure, and light: settings read it."""

from __future__ import annotations

ALWAYS = ("errors",)
LATENCIES = ("latency_p50_ms", "latency_p99_ms")
MACRO = ("macro_f1", "macro_precision", "macro_recall", "micro_precision", "micro_f1")
CLASSES = (*MACRO, "precision", "recall", "f1")
"""What comes with accuracy; the last three with the label as slice."""
BRIER = "brier"
LABELLED = ("exact_match", "accuracy", *CLASSES, BRIER, *LATENCIES, *ALWAYS)
FREE = ("answered", "chrf", "token_f1", "rouge_l", "bleu", "exact_fields", "exact_match", *LATENCIES, *ALWAYS)
UNANSWERED = ("answered", *LATENCIES, *ALWAYS)
INVARIANCE = ("invariance",)
ELSEWHERE = "elsewhere"
"""The kind of suites whose scores another program made."""
