"""A web page on which trained runs are tried out; needs the extra ``mgm[demo]``."""
