"""How often the analysis is right: measured on labelled data, with counts and intervals."""
