"""For every test: no time limit for generated examples."""

from hypothesis import HealthCheck, settings

# A busy machine is no finding.
settings.register_profile("umiak", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("umiak")
