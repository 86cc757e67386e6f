"""What every benchmark's report is made of: estimates, the machine, report.json, its page and plots."""
