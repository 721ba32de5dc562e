"""Engines: the controllers that move traffic. One folder each behind the same functions.

An engine has `check(spec, …) -> issues`, `render(inputs) -> objects` and `validate(objects)`.
"""
