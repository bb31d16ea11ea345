"""Search spaces, studies and the driver of a search."""
