"""What a person who runs a search sees of it: a live view or lines while it runs, a table at its end."""
