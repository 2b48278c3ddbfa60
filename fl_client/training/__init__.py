"""The user's Keras model and data, and what a client makes of them: an update and a report.

Importing this package does not import TensorFlow; building a Trainer does.
"""
