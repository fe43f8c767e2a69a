"""``meam check-recommendations``: the faults of a site's next steps, and the list of all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_hooks.commands import in_one_sentence

if TYPE_CHECKING:
    from cds_hooks.recommendations.step import Step


@click.command("check-recommendations")
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False
)
@in_one_sentence
def check_recommendations_command(folder: Path | None) -> None:
    """Check a folder of next steps; print all steps with citations and conditions.

    FOLDER holds a site's own PlanDefinitions and ActivityDefinitions (see docs/next-steps.md);
    without it the shipped ones are checked. The exit code is 1 if there is a fault. A review that
    is a year old, and a guideline with a newer edition, give a warning.
    """
    from cds_hooks.recommendations.check import check_folder
    from cds_hooks.recommendations.library import SHIPPED, read_folder, steps_of
    from cds_hooks.recommendations.review import warnings

    files, faults = check_folder(folder or SHIPPED)
    for fault in faults:
        click.echo(str(fault))
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise click.ClickException(f"{folder or 'The shipped library'} has {count}.")
    if not files:
        raise click.ClickException(
            f"{folder} holds no PlanDefinition and no ActivityDefinition in a .json file."
        )
    steps = steps_of([*read_folder(SHIPPED)[0], *files])
    own = {file.resource["id"] for file in files} if folder else set()
    today, warned = datetime.now(UTC).date(), 0
    for step in steps:
        found = list(warnings(step, today))
        warned += len(found)
        click.echo(_row(step, found, own=step.id in own))
    said = "no warning" if not warned else "1 warning" if warned == 1 else f"{warned} warnings"
    click.echo(f"{len(steps)} steps, no fault, {said}.")


def _row(step: Step, warned: list[str], *, own: bool) -> str:
    coding = step.activity["code"]["coding"][0]
    lines = [
        f"{step.id}{' (yours)' if own else ''}: {step.title}",
        f"  creates     {step.kind} {coding['system']}|{coding['code']}",
        *(f"  cites       {one.label} ({one.published}) {one.url}" for one in step.citations),
        *(f"  if          {one.description} {one.expression}".rstrip() for one in step.conditions),
        f"  addresses   {', '.join(sorted(step.variables | step.organ_systems))}",
        f"  reviewed    {step.reviewed or 'never'}; approved: {step.approved or 'by nobody yet'}",
        *(f"  warning     {one}" for one in warned),
    ]
    return "\n".join(lines) + "\n"
