"""Accounts, passwords and sign-ins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from review.accounts import FIRST_LEAD, AccountError, Accounts, SignInError
from review.database import open_database, reading
from review.records import Role
from tests.review.conftest import PASSWORD, QUICK, Desk


def test_the_first_start_makes_one_lead(url: str) -> None:
    engine = open_database(url)
    accounts = Accounts(engine, hasher=QUICK)
    with ThreadPoolExecutor(4) as pool:
        made = [account for account in pool.map(lambda _: accounts.first_lead(), range(4)) if account]
    assert [account.name for account in made] == [FIRST_LEAD]
    person = accounts.person(accounts.sign_in(FIRST_LEAD, made[0].password, "127.0.0.1"))
    assert person is not None
    assert person.leads
    assert accounts.first_lead() is None
    engine.dispose()


def test_a_sign_in_lasts_until_it_is_over(work: Desk) -> None:
    token = work.accounts.sign_in("Ana", PASSWORD, "127.0.0.1")
    assert work.accounts.person(token) == work.ana
    work.clock.forward(12 * 3600 - 1)
    assert work.accounts.person(token) == work.ana
    work.clock.forward(2)
    assert work.accounts.person(token) is None


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda work, token: work.accounts.sign_out(token), id="signed out"),
        pytest.param(lambda work, token: work.accounts.disable("ana"), id="disabled"),
        pytest.param(lambda work, token: work.accounts.set_password("ana", "another one 1"), id="a new password"),
    ],
)
def test_a_sign_in_can_be_revoked(work: Desk, end: Callable[[Desk, str], None]) -> None:
    token, other = (work.accounts.sign_in(name, PASSWORD, "127.0.0.1") for name in ("ana", "bo"))
    end(work, token)
    assert work.accounts.person(token) is None
    assert work.accounts.person(other) == work.bo


@pytest.mark.parametrize("token", [None, "", "x", "' OR 1=1 --", "é" * 50])
def test_no_other_token_signs_anyone_in(work: Desk, token: str | None) -> None:
    assert work.accounts.person(token) is None


def test_neither_password_nor_token_is_in_the_database(work: Desk, engine: Engine) -> None:
    token = work.accounts.sign_in("ana", PASSWORD, "127.0.0.1")
    with reading(engine) as session:
        tables = [session.execute(text(f"SELECT * FROM {name}")).all() for name in ("accounts", "sessions")]
    assert "$argon2id$" in str(tables)
    assert token not in str(tables)
    assert PASSWORD not in str(tables)


@pytest.mark.parametrize(("name", "password"), [("ana", "wrong password"), ("nobody", PASSWORD), ("ana", "x" * 10**6)])
def test_every_failure_gets_the_same_answer(work: Desk, name: str, password: str) -> None:
    with pytest.raises(SignInError, match="The name or the password is wrong"):
        work.accounts.sign_in(name, password, "127.0.0.1")


def fail(work: Desk, name: str, address: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(SignInError):
            work.accounts.sign_in(name, "wrong password", address)


def test_repeated_failures_are_slowed_down(work: Desk) -> None:
    fail(work, "ana", "10.0.0.1", 5)
    with pytest.raises(SignInError, match=r"Try again in \d s"):
        work.accounts.sign_in("ana", PASSWORD, "10.0.0.1")
    work.clock.forward(3)
    assert work.accounts.sign_in("ana", PASSWORD, "10.0.0.1")
    fail(work, "ana", "10.0.0.1", 5)  # a success takes back what came before


@pytest.mark.parametrize(
    ("name", "address"),
    [pytest.param("ana", "10.0.0.2", id="from elsewhere"), pytest.param("bo", "10.0.0.1", id="behind one proxy")],
)
def test_a_stranger_keeps_nobody_else_out(work: Desk, name: str, address: str) -> None:
    fail(work, "ana", "10.0.0.1", 9)
    assert work.accounts.sign_in(name, PASSWORD, address)


def test_guesses_from_many_addresses_are_slowed_down_in_the_end(work: Desk) -> None:
    for number in range(50):
        fail(work, "ana", f"10.0.1.{number}", 1)
    with pytest.raises(SignInError, match=r"Try again in \d s"):
        work.accounts.sign_in("ana", PASSWORD, "10.0.0.9")
    assert work.accounts.sign_in("bo", PASSWORD, "10.0.0.9")


def test_each_further_failure_doubles_the_wait_up_to_a_minute(work: Desk) -> None:
    fail(work, "ana", "10.0.0.1", 5)
    for doubled in range(8):
        work.clock.forward(2 * 2**doubled + 1)
        fail(work, "ana", "10.0.0.1", 1)
    work.clock.forward(1)
    with pytest.raises(SignInError, match="Try again in 59 s"):
        work.accounts.sign_in("ana", PASSWORD, "10.0.0.1")
    work.clock.forward(3600)
    assert work.accounts.sign_in("ana", PASSWORD, "10.0.0.1")


def test_tries_at_the_same_time_count_each(work: Desk) -> None:
    said: list[str] = []

    def guess() -> None:
        try:
            work.accounts.sign_in("ana", "wrong password", "10.0.0.1")
        except SignInError as problem:
            said.append(str(problem))

    guesses = [threading.Thread(target=guess) for _ in range(12)]
    for thread in guesses:
        thread.start()
    for thread in guesses:
        thread.join()
    assert sum("Too many" in text for text in said) == 7


@pytest.mark.parametrize(("name", "password"), [("ana", "\ud800" * 12), ("\ud800", PASSWORD), ("a\0na", PASSWORD)])
def test_half_characters_are_no_password_and_no_name(work: Desk, name: str, password: str) -> None:
    with pytest.raises(SignInError, match="is wrong"):
        work.accounts.sign_in(name, password, "10.0.0.1")


@pytest.mark.parametrize("name", ["", "a b", "<b>x</b>", "../x", "x" * 33, "Ana", "-x", "a\n"])
def test_names_that_are_refused(work: Desk, name: str) -> None:
    with pytest.raises(AccountError):
        work.accounts.add(name, PASSWORD)


def test_short_passwords_are_refused(work: Desk) -> None:
    with pytest.raises(AccountError, match="10 to 200 characters; this one has 9"):
        work.accounts.add("cy", "x" * 9)


def test_there_is_always_a_lead(work: Desk) -> None:
    with pytest.raises(AccountError, match="'lea' is the only lead"):
        work.accounts.disable("lea")
    with pytest.raises(AccountError, match="'lea' is the only lead"):
        work.accounts.set_role("lea", Role.ANNOTATOR)
    work.accounts.set_role("bo", Role.LEAD)
    work.accounts.disable("lea")
    assert [(a.person.name, a.person.role, a.disabled) for a in work.accounts.all()] == [
        ("ana", Role.ANNOTATOR, False), ("bo", Role.LEAD, False), ("lea", Role.LEAD, True),
    ]  # fmt: skip
    assert work.accounts.named("lea") is None
    work.accounts.enable("lea")
    assert work.accounts.named("lea") == work.lead


def test_an_unknown_account_is_said(work: Desk) -> None:
    with pytest.raises(AccountError, match="no account 'zoe'"):
        work.accounts.set_password("zoe", PASSWORD)
