"""From one topology file to a running network, and back down."""
