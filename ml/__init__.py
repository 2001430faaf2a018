"""What looks at pictures: packs, preprocessing, inference, taxonomy, evaluation. It keeps nothing and knows no keys."""

import os

# From 1.29 on, ONNX Runtime's own builds report models and sessions to Microsoft, and keep an identifier of the device
# in the user's cache folder. Only this, set before the runtime is first imported, stops all of that; the call that
# turns its events off comes after the first report. An empty value would leave it on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
