"""Adapters for frameworks. Each needs its extra, such as ``arl-wrapper[inspect]``; ``arl`` imports none of them."""
