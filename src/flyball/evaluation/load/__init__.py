"""Open-loop load on any OpenAI-compatible server: when requests leave is planned ahead, whatever becomes of them."""
