"""The model: records in, predictions and explanations out."""

import os

# The library reads this when it is imported. Without it, onnxruntime 1.32 keeps a device id and a
# database of events below the home directory and sends them to its maker; a hospital's network
# is no place for that.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
