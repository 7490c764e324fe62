"""Stateless tensor functions: losses, masked means, statistics over processes."""
