"""Questions of our own to a model that has no rows yet: they are asked, and nobody says what the answer should be."""

from __future__ import annotations

from pathlib import Path

import msgspec

QUESTIONS = (
    "What is the difference between a lake and a sea?",
    "Write one sentence that makes a stranger smile.",
    "How do I boil an egg so that the yolk stays soft?",
    "Name three things that float on water.",
    "Explain to a child why the sky is blue.",
    "What should I check before I buy a used bicycle?",
    "Give me a short name for a shop that sells tea.",
    "Why do leaves change their colour in autumn?",
    "Write a polite note to a neighbour whose music is too loud.",
    "How many minutes are there in two and a half hours?",
    "What is a good question to ask at the end of a job interview?",
    "Suggest a warm dinner that needs one pot only.",
    "Which months have thirty days?",
    "What does the word 'frugal' mean?",
    "Describe the taste of a lemon in two sentences.",
    "How can I remember the names of people I have just met?",
    "Turn this into a question: the train leaves at nine.",
    "What are the steps to plant a tree?",
    "Write a headline for a story about a lost cat that came home.",
    "What is the opposite of 'generous'?",
    "How do I stop a door from squeaking?",
    "List three reasons to read a book before going to sleep.",
    "What happens when ice melts?",
    "Write two lines of a poem about rain.",
    "Why is it useful to keep a diary?",
    "What would you pack for a weekend at the sea?",
    "Explain what a map is without using the word 'map'.",
    "How long does it take to learn to swim?",
    "Which tool would you use to measure the length of a room?",
    "Give one piece of advice to somebody who moves to a new town.",
    "What is a synonym for 'quick'?",
    "How do bees make honey?",
    "Write a short thank-you message to a colleague.",
    "What is the capital of France?",
    "How do I remove a coffee stain from a shirt?",
    "Name two animals that sleep in winter.",
    "Why do we yawn?",
    "Write the numbers from one to five in words.",
    "What makes a good apology?",
    "How can I save water at home?",
)


def write_questions(path: Path) -> None:
    """One JSON object with a `text` a line."""
    path.write_bytes(b"".join(msgspec.json.encode({"text": question}) + b"\n" for question in QUESTIONS))
