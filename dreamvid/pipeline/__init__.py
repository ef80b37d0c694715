"""From a source to a film: the plan, the render loop, what is kept and how it is resumed."""
