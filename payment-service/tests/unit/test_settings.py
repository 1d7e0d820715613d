import pytest
from pydantic import ValidationError

from settings import Settings


def test_without_a_word_the_settings_are_those_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_DELAYS_SECONDS", "SUCCESS_RATE", "DECLINE_RATE", "TIMEOUT_RATE"):
        monkeypatch.delenv(f"PAYMENT_{name}", raising=False)
    settings = Settings()
    assert settings.payment_retry_delays_seconds == (1, 2, 4)
    assert (settings.payment_success_rate, settings.payment_decline_rate, settings.payment_timeout_rate) == (0.8, 0, 0)


@pytest.mark.parametrize(("value", "delays"), [("1,2,4", (1, 2, 4)), (" 0.1 , 10", (0.1, 10)), ("5", (5,))])
def test_retry_delays_are_a_list(monkeypatch: pytest.MonkeyPatch, value: str, delays: tuple[float, ...]) -> None:
    monkeypatch.setenv("PAYMENT_RETRY_DELAYS_SECONDS", value)
    assert Settings().payment_retry_delays_seconds == delays


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMENT_RETRY_DELAYS_SECONDS", "1,,2"),
        ("PAYMENT_RETRY_DELAYS_SECONDS", "1,-2"),
        ("PAYMENT_RETRY_DELAYS_SECONDS", "soon"),
        ("PAYMENT_SUCCESS_RATE", "1.1"),
        ("PAYMENT_TIMEOUT_RATE", "-0.1"),
        ("PAYMENT_DECLINE_RATE", "0.3"),  # with the usual 0.8 that is more than all
    ],
)
def test_settings_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
