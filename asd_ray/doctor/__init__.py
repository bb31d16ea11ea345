"""Whether a search can run here: every check says what it found, and what to do where that will not do."""
