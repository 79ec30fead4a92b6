"""`sat3d success`: which share of edits arrives, by a judge in other views (StyleAE, arXiv 2412.20164, §4)."""
