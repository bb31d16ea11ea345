"""What a finished search says, rebuilt from its run folder alone."""
