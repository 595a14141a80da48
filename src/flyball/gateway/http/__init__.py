"""The gateway's HTTP side: connections, exchanges, errors as OpenAI's clients expect them, CORS."""
