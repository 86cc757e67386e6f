"""Two reports of one kind against each other."""
