#!/bin/sh
# Runs a drill in a pipeline. Fails when the drill fails, and when it is worse than the run that was accepted last.
#
#   rehearse.sh DRILL ENVIRONMENT BASELINE REPORTS
#
# BASELINE is the report.json of the accepted run, kept with your code; the first run that passes becomes it. To accept another one, copy its
# report.json over it. REPORTS is a folder for this run's reports: keep it as an artifact of the pipeline, junit.xml is for its test view.
#
# Exits as `firedrill run` does when that is not 0, else as `firedrill compare`: 3 is a regression, 4 means that drill or environment have changed
# since the baseline, and that somebody must accept a new one.
set -eu
drill=$1 environment=$2 baseline=$3 reports=$4

# Nobody is there to confirm a manual step.
firedrill run "$drill" --env "$environment" --unattended=fail --report-dir "$reports"

if [ ! -e "$baseline" ]; then
    mkdir -p "$(dirname "$baseline")"
    cp "$reports/report.json" "$baseline"
    echo "accepted as the first baseline: $baseline"
    exit 0
fi
firedrill compare "$baseline" "$reports/report.json"
