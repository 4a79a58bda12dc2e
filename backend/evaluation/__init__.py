"""How good a classifier is: metric modules, simple methods to compare with, and the run's report."""
