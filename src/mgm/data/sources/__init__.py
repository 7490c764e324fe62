"""Readers of data sets in the formats in which others give them out; see `mgm.data.open_source`."""
