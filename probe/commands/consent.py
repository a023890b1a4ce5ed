"""``probe consent``: read what the probe does, agree, or take it back."""

from __future__ import annotations

import click

from probe import consent as record
from probe.exits import Status


@click.command()
@click.option("--yes", is_flag=True, help="Agree without being asked.")
@click.option("--withdraw", is_flag=True, help="Take consent back; no run starts without it.")
def consent(*, yes: bool, withdraw: bool) -> int:
    """Read what the probe does, and agree or take it back."""
    folder = record.default_folder()
    if withdraw:
        had = record.withdraw(folder)
        click.echo("Consent is withdrawn." if had else "There was no consent to withdraw.")
        return Status.DONE
    given = record.read(folder)
    if given:
        click.echo(record.TEXT)
        click.echo(f"You agreed on {given.day}. To take it back: probe consent --withdraw")
        return Status.DONE
    if yes or record.ask_at_terminal():
        record.record(folder, "option" if yes else "question")
        click.echo("Consent is recorded. To take it back: probe consent --withdraw")
    else:
        click.echo("Nothing is recorded and nothing will be measured.")
    return Status.DONE
