"""How a network becomes INT8: ranges, rounding, and which layers stay out."""
