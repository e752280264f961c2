"""How the dashboard's panels look, kind by kind."""

from collections.abc import Mapping, Sequence
from typing import Self

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "text"
# Those of the default routes; other urgencies get other colours.
URGENCIES = {"high": RED, "medium": ORANGE, "low": BLUE}

# A colour for each value, from there on; None is the lowest.
Steps = Sequence[tuple[float | None, str]]
Links = list[Builder[dashboard.DashboardLink]]


def query(expression: str, legend: str = "") -> Dataquery:
    """A query at every moment of the dashboard's time range; `legend` names each of its series."""
    return Dataquery().expr(expression).legend_format(legend).range().datasource(SOURCE).ref_id("A")


def now(expression: str) -> Dataquery:
    """A query for the values at the end of the time range, as a table."""
    return Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE).datasource(SOURCE).ref_id("A")


def runbook(title: str, section: str = "") -> DashboardLink:
    """A link to the runbook, or to the section of an alert."""
    url = "${runbook}" + (f"#{section.lower()}" if section else "")
    return DashboardLink(title).type(DashboardLinkType.LINK).icon("doc").url(url).target_blank(True)


def to_do(alert: str) -> Links:
    """What a panel links to, whose subject an alert watches."""
    return [runbook(f"Runbook: {alert}", alert)]


class Number(stat.Panel):
    """The newest value, large, on what it has been; six are in a row."""

    def __init__(self, title: str, what: str, unit: str, asked: Dataquery, steps: Steps) -> None:
        super().__init__()
        self.title(title).description(what).datasource(SOURCE).with_target(asked).unit(unit)
        self.thresholds(_thresholds(steps))
        self.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        self.reduce_options(build.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        self.graph_mode(common.BigValueGraphMode.AREA).color_mode(common.BigValueColorMode.VALUE)
        self.text_mode(common.BigValueTextMode.VALUE).justify_mode(common.BigValueJustifyMode.AUTO)
        self.orientation(common.VizOrientation.AUTO).no_value("none").height(4).span(4)


class Lines(timeseries.Panel):
    """Values over time; three are in a row."""

    def __init__(self, title: str, what: str, unit: str, *asked: Dataquery) -> None:
        super().__init__()
        self.title(title).description(what).datasource(SOURCE).unit(unit).min(0)
        for place, one in zip("ABC", asked, strict=False):
            self.with_target(one.ref_id(place))
        self.draw_style(common.GraphDrawStyle.LINE).line_width(1).fill_opacity(8)
        self.show_points(common.VisibilityMode.NEVER).span_nulls(False)
        self.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        self.legend(_legend())
        shared = build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
        self.tooltip(shared.sort(common.SortOrder.DESCENDING).hide_zeros(True))
        self.no_value("none").height(8).span(8)

    def stacked(self) -> Self:
        """Draw each series on top of the one before."""
        stack = build.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        return self.stacking(stack).fill_opacity(30)

    def bars(self) -> Self:
        """Draw what happened as bars, on top of each other."""
        return self.stacked().draw_style(common.GraphDrawStyle.BARS).fill_opacity(60)

    def logarithmic(self) -> Self:
        """Give each power of ten the same height."""
        return self.scale_distribution(
            build.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        )

    def limits(self, steps: Steps) -> Self:
        """Draw a dashed line at each step."""
        drawn = build.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        return self.thresholds(_thresholds(steps)).thresholds_style(drawn)

    def coloured(self, colours: Mapping[str, str]) -> Self:
        """Give series their colours, by name."""
        for name, colour in colours.items():
            self.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": colour})])
        return self

    def dashed(self, names: str) -> Self:
        """Draw the series whose names match this regular expression as dashed lines."""
        line = _value("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
        return self.override_by_regexp(names, [line, _value("custom.fillOpacity", 0)])


class Heat(heatmap.Panel):
    """A histogram over time, of a query by `le`."""

    def __init__(self, title: str, what: str, unit: str, asked: Dataquery) -> None:
        super().__init__()
        self.title(title).description(what).datasource(SOURCE)
        self.with_target(asked.format(PromQueryFormat.HEATMAP).legend_format("{{le}}")).calculate(False)
        scheme = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        self.color(scheme.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("dark-orange"))
        self.y_axis(heatmap.YAxisConfig().unit(unit)).cell_gap(1)
        self.filter_values(heatmap.FilterValueRange().le(1e-9)).hide_legend()
        self.tooltip(heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).show_color_scale(True))
        self.height(8).span(8)


class States(statetimeline.Panel):
    """What each of several was, and when; `names` gives each value its word and colour."""

    def __init__(self, title: str, what: str, asked: Dataquery, names: Mapping[str, tuple[str, str]]) -> None:
        super().__init__()
        self.title(title).description(what).datasource(SOURCE).with_target(asked)
        words = {
            value: ValueMappingResult(text=word, color=colour) for value, (word, colour) in names.items()
        }
        self.mappings([ValueMap(words)]).thresholds(_thresholds([(None, GREY)]))
        self.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        self.show_value(common.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
        self.fill_opacity(70).line_width(0).legend(_legend())
        self.tooltip(build.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE)).height(8).span(8)


class Rows(table.Panel):
    """A table of what is now."""

    def __init__(self, title: str, what: str, asked: Dataquery, *shaped: DataTransformerConfig) -> None:
        super().__init__()
        self.title(title).description(what).datasource(SOURCE).with_target(asked)
        self.show_header(True).cell_height(common.TableCellHeight.SM).no_value("none").height(8).span(8)
        for transformation in shaped:
            self.with_transformation(transformation)


def columns(*names: str, without: Sequence[str]) -> DataTransformerConfig:
    """Which columns of a table to show, in this order, and which not."""
    options = {
        "indexByName": {name: place for place, name in enumerate(names)},
        "excludeByName": dict.fromkeys(without, True),
        "renameByName": {},
    }
    return DataTransformerConfig(id_val="organize", options=options)


def matrix(row: str, column: str) -> DataTransformerConfig:
    """Make of a table of two labels and a value one with a row and a column for each label."""
    options = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "zero"}
    return DataTransformerConfig(id_val="groupingToMatrix", options=options)


def _legend() -> build.VizLegendOptions:
    listed = build.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return listed.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs([])


def _thresholds(steps: Steps) -> ThresholdsConfig:
    drawn = [Threshold(value=value, color=colour) for value, colour in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(drawn)


def _value(name: str, value: object) -> DynamicConfigValue:
    return DynamicConfigValue(id_val=name, value=value)
