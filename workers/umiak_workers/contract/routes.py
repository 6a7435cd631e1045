"""HTTP paths, written once. `{}` parts are filled by `format`; servers use the same strings with named parts.

Edge server (loopback of the pod): OIP v2 and the image route. Router: photos in, answers out. Cloud: examples.
Hub: models, lines, signing, replay, reports, live settings, fleet.
"""

# every server
HEALTH_LIVE = "/healthz"
HEALTH_READY = "/readyz"
METRICS = "/metrics"

# edge server (Open Inference Protocol v2 paths are the protocol's own)
OIP_SERVER = "/v2"
OIP_LIVE = "/v2/health/live"
OIP_READY = "/v2/health/ready"
OIP_MODEL = "/v2/models/{name}"
OIP_MODEL_READY = "/v2/models/{name}/ready"
OIP_INFER = "/v2/models/{name}/infer"
PREDICT = "/v1/predict"
RELOAD = "/v1/reload"

# router
FRAMES = "/v1/frames"
"""POST a photo. Query `source` and `sequence` make a retry idempotent; `masks=all` returns edge and cloud masks too."""
ANSWERS = "/v1/answers"
"""GET `?after=<row>&limit=<n>`: the answer log, oldest first."""

# cloud
EXAMPLES = "/v1/examples"

# hub: models and lines
BLOB = "/v1/blobs/{digest}"
"""HEAD, GET (Range), PUT."""
MODEL = "/v1/models/{digest}"
"""GET its manifest; PUT the manifest once every blob is there."""
LINE = "/v1/lines/{namespace}/{name}"
"""GET the head: a signed Envelope, 404 while the line is empty."""
SIGNING = "/v1/signing"
"""GET the releases that wait for a signature: a JSON list of Release."""
SIGNED = "/v1/signing/{namespace}/{name}/{sequence}"
"""PUT the Envelope: the signature moves the head."""

# hub: replay, reports, settings
SAMPLE = "/v1/replay/{namespace}/{resource}/samples/{edge}/{source}/{sequence}"
"""PUT a sample (wire message); returns a Receipt, the same one for the same bytes."""
RECEIPT = "/v1/replay/{namespace}/{resource}/receipts/{edge}/{source}/{sequence}"
SAMPLES = "/v1/replay/{namespace}/{resource}/samples"
"""GET `?after=<position>&until=<position>&limit=<n>`: a SampleList."""
SAMPLE_BYTES = "/v1/replay/{namespace}/{resource}/samples/{position}/{part}"
"""GET, part = image | label."""
AGENT_STATE = "/v1/reports/{namespace}/{resource}/{edge}/agent"
ROUTER_STATE = "/v1/reports/{namespace}/{resource}/{edge}/router"
SETTINGS = "/v1/settings/{namespace}/{resource}"
ROUND = "/v1/rounds/{namespace}/{resource}/{round}"

# hub: the operator's side
OWNERS = "/v1/owners"
"""GET: the uids of every owner the hub holds."""
OWNER = "/v1/owners/{uid}"
"""PUT a FleetSpec, GET a FleetView, DELETE."""
CHANGES = "/v1/changes"
"""GET `?after=<cursor>&wait=<seconds>`: a Changes page; long-polls until something changed."""
