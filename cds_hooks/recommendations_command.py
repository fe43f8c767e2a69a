"""``meam check-recommendations``: the faults of a site's next steps, and the list of all."""

from __future__ import annotations

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
    without it the shipped ones are checked. The exit code is 1 if there is a fault.
    """
    from cds_hooks.recommendations.check import check_folder
    from cds_hooks.recommendations.library import SHIPPED, read_folder, steps_of

    files, faults = check_folder(folder or SHIPPED)
    for fault in faults:
        click.echo(str(fault))
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise click.ClickException(f"{folder or 'The shipped library'} has {count}.")
    steps = steps_of([*read_folder(SHIPPED)[0], *files])
    own = {file.resource["id"] for file in files} if folder else set()
    for step in steps:
        click.echo(_row(step, own=step.id in own))
    click.echo(f"{len(steps)} steps, no fault.")


def _row(step: Step, *, own: bool) -> str:
    coding = step.activity["code"]["coding"][0]
    lines = [
        f"{step.id}{' (yours)' if own else ''}: {step.title}",
        f"  creates     {step.kind} {coding['system']}|{coding['code']}",
        *(f"  cites       {one.label} ({one.published}) {one.url}" for one in step.citations),
        *(f"  if          {one.description} {one.expression}".rstrip() for one in step.conditions),
        f"  addresses   {', '.join(sorted(step.variables | step.organ_systems))}",
    ]
    return "\n".join(lines) + "\n"
