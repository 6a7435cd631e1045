"""`umiak doctor`: what is wrong with an installation, why it matters, and the next command. It only ever reads.

`gather` (cluster) and `local` (this machine) read facts; the `check_...` modules are pure functions from facts to
findings; `picture` and `finding` say them to a person or a machine.
"""
