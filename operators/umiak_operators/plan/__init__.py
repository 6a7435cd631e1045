"""Pure decisions: desired(resource, seen) -> Plan."""
