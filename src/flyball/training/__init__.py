"""The training stage: rows and a recipe in, a Hugging Face model folder and a TrainingRun out."""
