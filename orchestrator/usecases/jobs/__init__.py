"""From a plan to a finished job: submit, settle, sync, control, adopt."""
