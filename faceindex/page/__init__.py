"""The page to look at, name and correct faces: HTML, style and script, for `review` and for galleries."""
