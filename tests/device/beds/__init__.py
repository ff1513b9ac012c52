"""Machines of one's own to try the service on: a container, a virtual machine, an Arm tree."""
