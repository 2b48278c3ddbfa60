"""The main job, start to finish: on the real network, or on the in-process stand-ins."""
