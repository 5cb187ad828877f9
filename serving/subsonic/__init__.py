"""The OpenSubsonic API, one module per chapter of its documentation."""
