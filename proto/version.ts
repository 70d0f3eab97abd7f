/** The version of the product, as `version` and node descriptions show it. */
export const version = "0.1.0";
