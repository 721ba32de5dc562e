"""A release goes its way, and a bad one goes back."""

from collections.abc import Callable

from app import App


def test_a_good_release_takes_every_step_and_a_bad_one_is_aborted(make_app: Callable[..., App]) -> None:
    app = make_app()
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    second = app.deploy("1.1.0")
    app.serve(second)
    app.until_new(second)
    app.until_healthy(second)
    assert app.weights() == [0, 20, 60, 100, 0]
    third = app.deploy("1.2.0")
    app.serve(third, errors=0.5)
    app.until_aborted()
