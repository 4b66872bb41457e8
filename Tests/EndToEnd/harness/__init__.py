"""Drives a built Bulkhead from outside, as a kubelet and an operator would."""
