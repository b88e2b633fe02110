"""From interactions to a bundle: options, stages and what they leave behind."""
