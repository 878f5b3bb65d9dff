"""Templates in the labels and annotations of alerts: refused where Prometheus would refuse the whole file."""

import json
import subprocess

import pytest

from slotel.config.foreign.formats import read_any
from slotel.config.foreign.templates import fault_of
from support.real import require_real

READ = r"""{{ $labels.job }}
{{- $labels.job -}}
{{ .Labels.job }} {{ .Value }} {{ . }} {{ $ }}
{{ $value | humanizePercentage }}%
{{ printf "%q %s" $labels.a (index $labels "b") }}
{{ with query "up{job='x'}" }}{{ . | first | value }}{{ else }}none{{ end }}
{{ if gt $value 0.5 }}a{{ else if lt $value 0.1 }}b{{ else }}c{{ end }}
{{ range $i, $e := query "up" }}{{ $i }} {{ $e.Labels.job }}{{ end }}
{{ $x := 1 }}{{ $x = 2 }}{{ $x }}
{{/* {{ a comment */}}x
{{ define "x" }}a{{ end }}{{ template "x" . }}
{{ "{{" }} {{ "}}" }} {{ `raw "x"` }} {{ 'a' }}
{{ 1.5e3 }} {{ -5 }} {{ 0x1F }} {{ true }} {{ nil }}
{{ (index (query "up") 0).Value }}
{{ reReplaceAll "(.*)" "$1" $labels.job | title }}
{{$labels.job}} }} and {
{ {{ $value }} } ${{ $value }}
{{ with printf "up{job='%s'}" $labels.job | query }}{{ . | first | value | humanize }}{{ end }}
{{ if eq 1 1 }}{{ if eq 2 2 }}x{{ end }}{{ end }}
plain"""
REFUSED = r"""{{ $label.job }}
{{ $labels.job }
{{ $labels.job
{{$labels.job-}}
{{ labels.job }}
{{ $labels.job | upper }}
{{ end }}
{{ if $value }}a
{{ else }}
{{}}
{{ $labels["job"] }}
{{ $labels.my-label }}
{{ "unclosed }}
{{ $value > 5 }}
{{ ($value }}
{{ $value) }}
{{ $1 }}
{{ range query "up" }}{{ end }}{{ end }}
{{{ $value }}}"""


@pytest.mark.parametrize("text", READ.splitlines())
def test_a_template_that_prometheus_reads_is_taken(text):
    assert fault_of(text) == ""


@pytest.mark.parametrize("text", REFUSED.splitlines())
def test_a_template_that_prometheus_refuses_is_refused(text):
    assert fault_of(text) != ""


@pytest.mark.real
def test_prometheus_reads_and_refuses_the_same(tmp_path):
    for texts, refused in ((READ.splitlines(), 0), (REFUSED.splitlines(), len(REFUSED.splitlines()))):
        groups = [
            {"name": str(index), "rules": [{"alert": "A", "expr": "up", "annotations": {"a": text}}]}
            for index, text in enumerate(texts)
        ]
        (tmp_path / "rules.yaml").write_text(json.dumps({"groups": groups}))
        command = [require_real("promtool"), "check", "rules", str(tmp_path / "rules.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr).count("rules.yaml: group ") == refused, done.stderr


SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99
    sli: {events: {error_query: 'sum(rate(e[{{.window}}]))', total_query: 'sum(rate(t[{{.window}}]))'}}
    alerting:
"""


@pytest.mark.parametrize("part", ["labels", "annotations"])
@pytest.mark.parametrize("of", ["      ", "      page_alert:\n        "])
def test_an_alert_with_such_a_template_is_refused_with_its_place(of, part):
    reading = read_any({}, f"{SLOTH}{of}{part}: {{told: '{{{{ $label.x }}}}'}}\n", "slo.yaml")
    (problem,) = reading.problems
    assert f"{part}.told" in problem.place
    assert "Prometheus refuses the template: there is no variable $label" in problem.expectation
