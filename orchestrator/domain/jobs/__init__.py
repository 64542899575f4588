"""Jobs and what belongs to them: states and moves, recipe, data, spec, model life cycles, deployments."""
