"""The service that is left alone beside the microscope."""
