"""A user's arrays become items, and items arrays again."""
