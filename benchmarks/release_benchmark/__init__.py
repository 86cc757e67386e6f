"""What `make bench` runs, and README's figures from the reports that it leaves; in a checkout, not in the wheel."""
