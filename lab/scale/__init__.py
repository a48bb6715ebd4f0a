"""A thousand workers and ten thousand episodes through the product's own queue, on a real Redis.

Store, queue, messages, leases, heartbeats and reconciling are the product's; a run is a time of
waiting that leaves a manifest. Workers are threads, and die as processes do: without a word.
"""
