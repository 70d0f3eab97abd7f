/** The processors that there are packages for, by the names that Node and the tarballs use. */
export const architectures = ["x64", "arm64"] as const;

export type Architecture = (typeof architectures)[number];

/** Debian's names of them. */
export const debianNames: Readonly<Record<Architecture, string>> = { x64: "amd64", arm64: "arm64" };
