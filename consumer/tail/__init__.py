"""`python -m consumer tail`: the routed topics in a terminal, as they fill."""
