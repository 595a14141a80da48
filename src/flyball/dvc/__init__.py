"""The build as a DVC pipeline in a git repository: stages, objects, processes."""
