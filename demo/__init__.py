"""The Detection tab: what a visitor sees while one picture is scanned, zoomed into and judged."""
