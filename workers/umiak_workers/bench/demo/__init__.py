"""`make demo`: the whole loop on one machine, as a client of the public commands and HTTP routes.

It starts `umiak up` as a process of its own, pushes photos to the routers like a camera would, and scores the answers
against labels that no worker ever sees.
"""
