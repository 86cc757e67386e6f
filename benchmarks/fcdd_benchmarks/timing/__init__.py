"""Times taken fairly: in turns, in fresh processes, by stage, and what they were taken on."""
