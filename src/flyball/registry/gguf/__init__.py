"""GGUF files: read, and written from Hugging Face folders and PEFT adapters."""
