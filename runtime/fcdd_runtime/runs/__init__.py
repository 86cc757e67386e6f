"""One call of fcdd-score: many inputs, one list of results."""
