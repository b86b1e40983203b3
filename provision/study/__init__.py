"""A whole study: steps with records over the series of a BIDS dataset, on one machine or many."""
