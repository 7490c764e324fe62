"""Readers of data sets in the formats in which they are distributed; see `mgm.data.open_source`."""
