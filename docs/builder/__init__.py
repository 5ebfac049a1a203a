"""What the site needs beyond Sphinx: extensions that docs/conf.py names, and the check of the links."""
