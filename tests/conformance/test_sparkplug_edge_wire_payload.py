"""What our edge node sends, as read from the line: births, values, templates, properties."""

import pytest

from tests.conformance.edge_recording import (
    BIRTHS,
    DATA,
    REBIRTH,
    Recording,
    metric,
    read,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.payload import parse
from uns.sparkplug.values import DataSet, Template


@pytest.mark.tck(
    "topics-nbirth-metric-reqs",
    "topics-nbirth-metrics",
    "topics-dbirth-metric-reqs",
    "topics-dbirth-metrics",
    "operational-behavior-data-publish-nbirth",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth",
    "operational-behavior-data-publish-dbirth-values",
    "message-flow-edge-node-birth-publish-nbirth-payload",
    "message-flow-device-birth-publish-dbirth-payload",
    "payloads-metric-datatype-req",
    "payloads-metric-datatype-value",
    "payloads-metric-datatype-value-type",
    "payloads-name-requirement",
    "payloads-alias-birth-requirement",
    "payloads-alias-uniqueness",
)
def test_births_declare_all_that_is_sent_with_name_alias_type_and_value(
    recording: Recording,
) -> None:
    births = recording.of(*BIRTHS)[:3]
    declared = [each for birth in births for each in read(birth).metrics]
    for each in declared:
        assert each.name
        assert each.datatype
        assert (each.alias is None) is (each.name in ("bdSeq", REBIRTH))
    aliases = [each.alias for each in declared if each.alias is not None]
    assert len(aliases) == len(set(aliases))
    for wire in (one for birth in births for one in parse(birth.payload).metrics):
        assert wire.is_null is (wire.WhichOneof("value") is None)
    assert {m.alias for each in recording.of(*DATA) for m in read(each).metrics} <= set(aliases)


@pytest.mark.tck(
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
    "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value",
)
def test_the_node_can_be_asked_for_its_births(recording: Recording) -> None:
    for birth in recording.of("NBIRTH"):
        control = metric(birth, REBIRTH)
        assert (control.datatype, control.value, control.alias) == (DataType.BOOLEAN, False, None)


@pytest.mark.tck(
    "payloads-alias-data-cmd-requirement",
    "payloads-metric-datatype-not-req",
    "topics-ndata-payload",
    "topics-ddata-payload",
    "operational-behavior-data-publish-nbirth-change",
    "operational-behavior-data-publish-dbirth-change",
    "principles-rbe-recommended",
)
def test_data_is_what_changed_by_alias_without_name_and_type(recording: Recording) -> None:
    for message in recording.of(*DATA):
        for wire in parse(message.payload).metrics:
            assert wire.HasField("alias")
            assert not wire.HasField("name")
            assert not wire.HasField("datatype")
    told = [[m.value for m in read(each).metrics] for each in recording.of(*DATA)]
    written = 2**32 - 7  # Int32 in two's complement
    assert told == [[1], [2], [3], [0, 1, 2], [written], [4], [5], [6]]


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_values_are_in_order_of_time(recording: Recording) -> None:
    for message in recording.of(*BIRTHS, *DATA):
        live = [m.timestamp_ms or 0 for m in read(message).metrics if not m.is_historical]
        assert live == sorted(live)


@pytest.mark.tck(
    "topics-nbirth-templates",
    "payloads-template-definition-nbirth",
    "payloads-template-definition-nbirth-only",
    "payloads-template-definition-is-definition",
    "payloads-template-definition-ref",
    "payloads-template-definition-members",
    "payloads-template-definition-parameters",
    "payloads-template-instance-is-definition",
    "payloads-template-instance-ref",
    "payloads-template-instance-members",
    "payloads-template-instance-members-birth",
    "payloads-template-is-definition",
    "payloads-template-is-definition-definition",
    "payloads-template-is-definition-instance",
    "payloads-template-ref-definition",
    "payloads-template-ref-instance",
    "payloads-template-version",
    "payloads-template-parameter-name-required",
    "payloads-template-parameter-name-type",
    "payloads-template-parameter-value-type",
    "payloads-template-parameter-type-value",
    "payloads-template-parameter-type-req",
    "payloads-template-parameter-value",
)
def test_templates_are_defined_in_the_node_birth_and_used_by_name(recording: Recording) -> None:
    node, *devices = recording.of(*BIRTHS)[:3]
    definition = metric(node, "Machine").value
    assert isinstance(definition, Template)
    assert (definition.is_definition, definition.template_ref) == (True, None)
    for birth in devices:
        instance = metric(birth, "Motor").value
        assert isinstance(instance, Template)
        assert (instance.is_definition, instance.template_ref) == (False, "Machine")
        assert [(m.name, m.datatype) for m in instance.metrics] == [
            (m.name, m.datatype) for m in definition.metrics
        ]
        assert [(p.name, p.datatype) for p in instance.parameters] == [
            (p.name, p.datatype) for p in definition.parameters
        ]
        assert instance.version == definition.version == "1"
        templates = [w.template_value for w in parse(birth.payload).metrics if w.datatype == 19]
        assert all(each.HasField("is_definition") for each in templates)
        assert not any(each.is_definition for each in templates)


@pytest.mark.tck(
    "payloads-dataset-column-size",
    "payloads-dataset-column-num-headers",
    "payloads-dataset-types-def",
    "payloads-dataset-types-num",
    "payloads-dataset-types-type",
    "payloads-dataset-types-value",
    "payloads-dataset-parameter-type-req",
    "payloads-template-dataset-value",
)
def test_a_table_has_as_many_types_as_columns(recording: Recording) -> None:
    birth = recording.of("DBIRTH")[0]
    (wire,) = [w.dataset_value for w in parse(birth.payload).metrics if w.name == "Table"]
    assert wire.num_of_columns == len(wire.columns) == len(wire.types) == 2
    assert [DataType(number) for number in wire.types] == [DataType.UINT32, DataType.STRING]
    assert {cell.WhichOneof("value") for row in wire.rows for cell in row.elements} == {
        "long_value",
        "string_value",
    }
    assert isinstance(metric(birth, "Table").value, DataSet)


@pytest.mark.tck(
    "payloads-propertyset-keys-array-size",
    "payloads-propertyset-values-array-size",
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req",
    "payloads-propertyset-quality-value-type",
    "payloads-propertyset-quality-value-value",
)
def test_properties_have_types_and_quality_is_an_int32_of_three(recording: Recording) -> None:
    birth, bad = recording.of("DBIRTH")[0], recording.of("DDATA")[-1]
    (ranged,) = [w.properties for w in parse(birth.payload).metrics if w.name == "Temperature"]
    (judged,) = [w.properties for w in parse(bad.payload).metrics]
    for wire in (ranged, judged):
        assert len(wire.keys) == len(wire.values) > 0
        assert all(value.HasField("type") for value in wire.values)
    quality = judged.values[list(judged.keys).index("Quality")]
    assert DataType(quality.type) is DataType.INT32
    assert quality.int_value in (0, 192, 500)


READ_ALIKE = {
    DataType.INT16: "int_value",
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.DATASET: "dataset_value",
    DataType.TEMPLATE: "template_value",
}
"""Types whose field no version of the public kit doubts; UInt32 is not among them."""


@pytest.mark.tck(
    "payloads-metric-datatype-value",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth-values",
)
def test_births_hold_only_types_that_every_version_of_the_kit_reads_alike(
    recording: Recording,
) -> None:
    metrics = [wire for birth in recording.of(*BIRTHS) for wire in parse(birth.payload).metrics]
    for wire in metrics:
        field = READ_ALIKE[DataType(wire.datatype)]
        assert wire.WhichOneof("value") == (None if wire.is_null else field)
        assert {value.type for value in wire.properties.values} <= set(range(3, 11))
        assert "Quality" not in wire.properties.keys
    definitions = [wire.template_value for wire in metrics if wire.HasField("template_value")]
    assert {p.type for each in definitions for p in each.parameters} == {DataType.INT32}
