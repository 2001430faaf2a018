"""One module for each revision; none is ever edited after a release."""
