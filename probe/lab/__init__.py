"""The emulated censor: rules, presets, and the engines that carry them out."""
