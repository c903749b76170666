// What a board's JSON has to be, by Grafana's own types: v1 JSON, the options of each kind of panel
// included. Options and custom fields may be left out, Grafana has defaults for them.
import type {
  AnnotationQuery,
  Dashboard,
  FieldConfigSource,
  Panel,
} from "@grafana/schema";
import type * as BarChart from "@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen";
import type * as BarGauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type * as NodeGraph from "@grafana/schema/dist/esm/raw/composable/nodegraph/panelcfg/x/NodeGraphPanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has texts where the types have enums.
type Plain<T> = T extends string
  ? `${T}`
  : T extends (infer U)[]
    ? Plain<U>[]
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;
type Some<T> = T extends (infer U)[]
  ? Some<U>[]
  : T extends object
    ? { [K in keyof T]?: Some<T[K]> }
    : T;

interface Query {
  refId: string;
  datasource: { type: "grafana-postgresql-datasource"; uid: string };
  editorMode: "code";
  format: "table" | "time_series";
  rawQuery: true;
  rawSql: string;
}

type Defaults<Custom> = Omit<Plain<FieldConfigSource["defaults"]>, "custom"> & {
  custom?: Some<Plain<Custom>>;
};
type Of<Kind, Options, Custom> = Omit<
  Plain<Panel>,
  "type" | "options" | "fieldConfig" | "targets"
> & {
  type: Kind;
  options: Some<Plain<Options>>;
  targets: Query[];
  fieldConfig: Omit<Plain<FieldConfigSource>, "defaults"> & { defaults: Defaults<Custom> };
};
type Known =
  | Of<"barchart", BarChart.Options, BarChart.FieldConfig>
  | Of<"bargauge", BarGauge.Options, never>
  | Of<"nodeGraph", NodeGraph.Options, never>
  | Of<"stat", Stat.Options, never>
  | Of<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>
  | Of<"table", Table.Options, Table.FieldConfig>
  | Of<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>;

export type Board = Omit<Plain<Dashboard>, "panels" | "annotations" | "uid" | "title"> & {
  uid: string;
  title: string;
  panels: Known[];
  annotations: { list: (Omit<Plain<AnnotationQuery>, "target"> & { target: Query })[] };
};
