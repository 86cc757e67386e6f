"""Every precision on every GPU backend that is here."""
