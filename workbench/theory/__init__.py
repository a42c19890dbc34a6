"""The laboratory of notebooks 02 and 03: exact answers, nothing trained."""
