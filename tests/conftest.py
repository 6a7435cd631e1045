"""For every test: generated examples have no time limit of their own (a busy machine is no finding)."""

from hypothesis import HealthCheck, settings

settings.register_profile("umiak", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("umiak")
