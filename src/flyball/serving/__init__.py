"""Engines: started, found again, watched and ended; on this machine or anywhere that speaks the OpenAI API."""
