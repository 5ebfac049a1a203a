"""The explorer: the data of a page in which a person plays, cuts and changes the gradient's way. `explore` makes it."""
