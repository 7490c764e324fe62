"""A web page for trying out trained runs; needs the extra ``mgm[demo]``."""
