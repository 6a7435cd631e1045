"""Thin shells around the outside: files, MQTT, HTTP, clocks; honest in-memory twins live beside them."""
