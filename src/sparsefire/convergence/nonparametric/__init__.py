"""Beyond linear models: functions of known smoothness, smoothers of known exponent, networks."""
