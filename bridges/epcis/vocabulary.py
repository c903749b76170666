"""PURE: the words of EPCIS 2.0 and of its Core Business Vocabulary (CBV 2.0): tables, nothing else.

Owns which words there are, which fields an event of a type has, and what a short word is in full.
"""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GS1_CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
CBV: Final = "https://ref.gs1.org/cbv/"
GS1_VOC: Final = "https://gs1.org/voc/"
PREFIXES: Final[dict[str, str]] = {
    "gs1": GS1_VOC,
    "cbv": CBV,
    "epcis": "https://ref.gs1.org/epcis/",
    "cbvmda": "urn:epcglobal:cbv:mda:",
}
"""What the standard's own JSON-LD context says."""
URNS: Final[dict[str, str]] = {
    "urn:epcglobal:cbv:bizstep:": f"{CBV}BizStep-",
    "urn:epcglobal:cbv:disp:": f"{CBV}Disp-",
    "urn:epcglobal:cbv:btt:": f"{CBV}BTT-",
    "urn:epcglobal:cbv:sdt:": f"{CBV}SDT-",
    "urn:epcglobal:cbv:er:": f"{CBV}ER-",
}
"""Words as they were written until CBV 1.2."""

ACTIONS: Final = ("ADD", "OBSERVE", "DELETE")
BIZ_STEPS: Final = _words(
    """accepting arriving assembling collecting commissioning consigning creating_class_instance
    cycle_counting decommissioning departing destroying disassembling dispensing encoding
    entering_exiting holding inspecting installing killing loading other packing picking receiving
    removing repackaging repairing replacing reserving retail_selling sampling sensor_reporting
    shipping staging_outbound stock_taking stocking storing transporting unloading unpacking
    void_shipping"""
)
DISPOSITIONS: Final = _words(
    """active available completeness_inferred completeness_verified conformant container_closed
    container_open damaged destroyed dispensed disposed encoded expired in_progress in_transit
    inactive mismatch_class mismatch_instance mismatch_quantity needs_replacement
    no_pedigree_match non_conformant non_sellable_other partially_dispensed recalled reserved
    retail_sold returned sellable_accessible sellable_not_accessible stolen unavailable
    unknown"""
)
TRANSACTION_TYPES: Final = _words(
    """bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt"""
)
PARTY_TYPES: Final = ("location", "owning_party", "possessing_party")
ERROR_REASONS: Final = ("did_not_occur", "incorrect_data")
ALERTS: Final = ("ALARM_CONDITION", "ERROR_CONDITION")
COMPONENTS: Final = _words(
    """altitude axial_distance azimuth easting elevation_angle height latitude longitude northing
    polar_angle spherical_radius x y z"""
)
MEASUREMENTS: Final = _words(
    """AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Altitude AmountOfSubstance
    AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area
    Capacitance Conductance Conductivity Count Density Dimensionless DoseEquivalent
    DoseEquivalentRate DynamicViscosity ElectricCharge ElectricCurrent ElectricCurrentDensity
    ElectricFieldStrength Energy Exposure Force Frequency Illuminance Inductance Irradiance
    KinematicViscosity Length LinearMomentum Luminance LuminousFlux LuminousIntensity MagneticFlux
    MagneticFluxDensity MagneticVectorPotential Mass MassConcentration MassFlowRate
    MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power
    Pressure RadiantFlux RadiantIntensity Radioactivity RelativeHumidity Resistance Resistivity
    SolidAngle SpecificVolume Speed SurfaceDensity SurfaceTension Temperature Time Torque Voltage
    Volume VolumeFlowRate VolumeFraction VolumetricFlux Wavenumber"""
)

UOMS: Final[dict[str, str]] = {
    "kg": "KGM", "g": "GRM", "mm": "MMT", "um": "4H", "m": "MTR", "degC": "CEL", "bar": "BAR",
    "kN": "B47", "N": "NEW", "Nm": "NU", "rpm": "RPM", "s": "SEC", "ms": "C26", "l": "LTR",
    "l/min": "L2", "A": "AMP", "kW": "KWT", "kWh": "KWH", "percent": "P1", "mm/s": "C16",
}  # fmt: skip
"""Our units of measure by their code of UN/ECE Recommendation 20; pieces have none in EPCIS."""
PIECES: Final = "pcs"
LOT_NUMBER: Final = "cbvmda:lotNumber"
"""Of a unit: the lot that it is one of, in `ilmd`."""
