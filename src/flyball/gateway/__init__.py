"""The serve plane's front door: OpenAI's API in, engines out, everything recorded."""
