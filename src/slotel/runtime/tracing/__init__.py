"""The span processor, the sampler and the provider that slotel adopts."""
