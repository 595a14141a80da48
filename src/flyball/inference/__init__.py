"""The prompt path: how a request becomes what an engine gets, the same in evaluation as in production."""
