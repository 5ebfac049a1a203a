"""What stands between coordinates and ink: the items of a picture, and what all pictures share of looks and charts."""
