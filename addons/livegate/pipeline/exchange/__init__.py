"""The record of one request, and what its failures become."""
