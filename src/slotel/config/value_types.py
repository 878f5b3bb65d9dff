"""Types of single values of slotel.yaml; `config/file/schema.py` has a parser for each."""

from typing import Annotated

Objective = Annotated[float, "objective"]
Limit = Annotated[float, "limit"]
Ratio = Annotated[float, "ratio"]
Seconds = Annotated[float, "seconds"]
Window = Annotated[float, "window"]
SliceLength = Annotated[float, "slice length"]
ScrapeInterval = Annotated[float, "scrape interval"]
LateWait = Annotated[float, "late wait"]
Name = Annotated[str, "name"]
Pattern = Annotated[str, "pattern"]
Url = Annotated[str, "url"]
Label = Annotated[str, "label"]
Tag = Annotated[str, "tag"]
MetricLabel = Annotated[str, "metric label"]
Count = Annotated[int, "count"]
Version = Annotated[int, "version"]
Values = Annotated[tuple[str, ...], "values"]
Kinds = Annotated[tuple[str, ...], "span kinds"]
Shapes = Annotated[tuple[str, ...], "shapes"]
