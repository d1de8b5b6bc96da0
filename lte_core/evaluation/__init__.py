"""How good the verdicts, boxes and second looks are: predictions first, numbers from them."""
