"""Accuracy on labelled images, with intervals and paired changes."""
