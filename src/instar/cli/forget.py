"""`instar forget`: erase a person, and prove it."""

from __future__ import annotations

import click

from instar.cli.frame import Frame, command
from instar.core.errors import HomeError, StoreCorrupt
from instar.core.ids import PersonId
from instar.stores.erasure import Receipt


@click.command(epilog="Example: instar forget ada --dry-run")
@click.argument("person")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@command
async def forget(frame: Frame, *, person: str, dry_run: bool) -> None:
    """Erase everything of PERSON from every store and print the receipt."""
    async with frame.open_home(create=False) as home:
        receipt = await home.forget(PersonId(person), dry_run=dry_run)
    frame.document(receipt, receipt_text(receipt))
    if not receipt.verified_absent and not dry_run:
        raise _still_there(receipt)


def receipt_text(receipt: Receipt) -> str:
    """A receipt for people."""
    records = ", ".join(f"{count} in {port}" for port, count in receipt.records.items())
    if receipt.dry_run:
        return f"would erase: {records}"
    proof = "none of it is left" if receipt.verified_absent else "SOME OF IT IS STILL THERE"
    return (
        f"erased: {records}\n"
        f"searched {receipt.bytes_scanned:,} bytes for {receipt.needles} of the erased texts: {proof}\n"
        f"receipt {receipt.receipt_id}"
    )


def _still_there(receipt: Receipt) -> HomeError:
    return StoreCorrupt(
        f"the byte search of receipt {receipt.receipt_id} still found erased text",
        why="another person's live message may quote it word for word, or a file escaped the purge",
        next="`instar doctor` names what is there; run `instar forget` again after it is mended",
    )
