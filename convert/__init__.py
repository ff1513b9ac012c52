"""From a trained network to the bundle that runs on the device, or a refusal."""
