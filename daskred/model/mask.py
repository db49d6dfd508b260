"""The bits of a mask, and what they mean."""

BAD, SATURATED, COSMIC, NO_DATA, INTERPOLATED, HOT, UNSTABLE, NONLINEAR = (1 << n for n in range(8))
LEGEND = {
    BAD: "bad pixel",
    SATURATED: "saturated",
    COSMIC: "cosmic ray",
    NO_DATA: "no data",
    INTERPOLATED: "interpolated",
    HOT: "hot",
    UNSTABLE: "unstable",
    NONLINEAR: "not linear",
}
