/**
 * For tests: images of any odd but meaningful shape. A layer is generated as wishes, which are then fitted to what the
 * tree holds at that point, so that every reader has to come to the same tree.
 */
import * as fc from "fast-check";
import { type TestEntry, tarOf } from "./test-tar.ts";

type Kind = "folder" | "file" | "link" | "fifo" | "device";

interface Wish {
  readonly kind: Kind | "hard-link" | "whiteout" | "opaque";
  readonly path: readonly string[];
  /** Where a link leads, which path a hard link is to. */
  readonly other: readonly string[];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: string;
  readonly content: string;
  readonly attribute: boolean;
  /** Whether missing folders above it get entries of their own. */
  readonly announced: boolean;
}

const longest = "n".repeat(255);
const names = fc.constantFrom("a", "b", "c", "d-é", "raw-\xff\xfe", longest, " sp ace", "-x", "#m");
const path = fc.array(names, { minLength: 1, maxLength: 4 });

const wish: fc.Arbitrary<Wish> = fc.record({
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<Wish["kind"]>("folder", "file") },
    {
      weight: 3,
      arbitrary: fc.constantFrom<Wish["kind"]>(
        "link",
        "hard-link",
        "whiteout",
        "opaque",
        "fifo",
        "device",
      ),
    },
  ),
  path,
  other: path,
  mode: fc.constantFrom(0o644, 0o4755, 0o2755, 0o1777, 0o000, 0o600, 0o555),
  uid: fc.constantFrom(0, 1000, 4_000_000_000),
  gid: fc.constantFrom(0, 7, 70_000),
  mtime: fc.constantFrom("0", "1000000000", "1234567890.123456789", "1.5", "4294967297"),
  content: fc.string({ maxLength: 2000 }),
  attribute: fc.boolean(),
  announced: fc.boolean(),
});

/** The layers of an image, base first. */
export const nastyLayers: fc.Arbitrary<readonly (readonly TestEntry[])[]> = fc
  .array(fc.array(wish, { maxLength: 25 }), { minLength: 1, maxLength: 5 })
  .map(fitLayers);

export function packLayers(layers: readonly (readonly TestEntry[])[]): readonly Buffer[] {
  return layers.map((entries) => tarOf(entries));
}

interface Node {
  readonly kind: Kind;
  /** Since which layer. */
  readonly layer: number;
  /** How many names the file has. */
  links: number;
  /** Of a folder: readers differ on whether a second entry in its layer takes its attributes away. */
  readonly attribute: boolean;
}

function fitLayers(layers: readonly (readonly Wish[])[]): readonly (readonly TestEntry[])[] {
  const tree = new Map<string, Node>();
  return layers.map((wishes, layer) => new LayerFitter(tree, layer).fit(wishes));
}

/** One layer, while it is made. Whiteouts are about the layers below, so they come first. */
class LayerFitter {
  readonly #tree: Map<string, Node>;
  readonly #layer: number;
  readonly #entries: TestEntry[] = [];
  readonly #removed: string[] = [];

  constructor(tree: Map<string, Node>, layer: number) {
    this.#tree = tree;
    this.#layer = layer;
  }

  fit(wishes: readonly Wish[]): readonly TestEntry[] {
    const isRemoval = ({ kind }: Wish) => kind === "whiteout" || kind === "opaque";
    for (const wanted of wishes.filter(isRemoval)) this.#remove(wanted);
    for (const wanted of wishes.filter((each) => !isRemoval(each))) this.#add(wanted);
    return this.#entries;
  }

  #remove({ kind, path: parts }: Wish): void {
    const name = parts.join("/");
    const there = this.#tree.get(name);
    if (there === undefined || there.layer === this.#layer) return;
    // Of what is in a folder that goes as well, readers think differently.
    if (this.#removed.some((other) => other.startsWith(`${name}/`))) return;
    this.#removed.push(name);
    if (kind === "opaque") {
      if (there.kind !== "folder") return;
      this.#entries.push({ name: "opaque", pax: { path: `${name}/.wh..wh..opq` } });
      this.#forgetBelow(name);
      return;
    }
    const folder = parts.slice(0, -1).map((part) => `${part}/`);
    const last = parts.at(-1) ?? "";
    if (last.length > 251) return;
    this.#entries.push({ name: "gone", pax: { path: `${folder.join("")}.wh.${last}` } });
    this.#forgetBelow(name);
    this.#tree.delete(name);
  }

  #add(wanted: Wish): void {
    const name = wanted.path.join("/");
    if (!this.#hasFolders(wanted)) return;
    const there = this.#tree.get(name);
    // Within one layer nothing takes the place of a folder that has something in it.
    const isReplaced = there?.kind === "folder" && wanted.kind !== "folder";
    if (isReplaced && this.#isOurs(name)) return;
    // Nor does a folder take the place of a file, which took that of a folder below: its things would come back.
    const isFile = there !== undefined && there.kind !== "folder";
    if (wanted.kind === "folder" && isFile && there.layer === this.#layer) return;
    if (wanted.kind === "hard-link") return this.#link(wanted, name);
    const kind = wanted.kind as Kind;
    if (kind !== "folder" || there?.kind !== "folder") this.#forgetBelow(name);
    this.#announceFolders(wanted);
    const isAgain = there?.kind === "folder" && there.layer === this.#layer;
    const attribute = isAgain ? there.attribute : wanted.attribute;
    this.#entries.push(entryOf({ ...wanted, attribute }, name));
    this.#tree.set(name, { kind, layer: this.#layer, links: 1, attribute });
  }

  /** Whether this layer has an entry of the path or of something below it. */
  #isOurs(name: string): boolean {
    return [...this.#tree].some(
      ([path, { layer }]) =>
        layer === this.#layer && (path === name || path.startsWith(`${name}/`)),
    );
  }

  /** Of files of the layers below only those with one name: overlayfs cannot keep their groups together. */
  #link(wanted: Wish, name: string): void {
    const target = wanted.other.join("/");
    const file = this.#tree.get(target);
    if (target === name || file === undefined || file.kind === "folder") return;
    if (file.kind === "device" || this.#tree.has(name)) return;
    if (file.layer !== this.#layer && file.links > 1) return;
    this.#announceFolders(wanted);
    this.#entries.push({
      name: "hard",
      type: "1",
      linkName: "t",
      pax: { path: name, linkpath: target },
    });
    file.links += 1;
    const linked = { ...file, layer: this.#layer, links: 2 };
    this.#tree.set(name, linked);
    this.#tree.set(target, linked);
  }

  #hasFolders({ path: parts, other, kind }: Wish): boolean {
    const length = parts.join("/").length + (kind === "link" ? other.join("/").length : 0);
    if (length > 3000) return false;
    return parts.slice(0, -1).every((_, index) => {
      const node = this.#tree.get(parts.slice(0, index + 1).join("/"));
      return node === undefined || node.kind === "folder";
    });
  }

  #announceFolders(wanted: Wish): void {
    for (let depth = 1; depth < wanted.path.length; depth += 1) {
      const name = wanted.path.slice(0, depth).join("/");
      if (this.#tree.has(name)) continue;
      if (wanted.announced) {
        this.#entries.push(entryOf({ ...wanted, kind: "folder", mode: 0o755 }, name));
      }
      const attribute = wanted.announced && wanted.attribute;
      this.#tree.set(name, { kind: "folder", layer: this.#layer, links: 1, attribute });
    }
  }

  #forgetBelow(name: string): void {
    for (const other of this.#tree.keys())
      if (other.startsWith(`${name}/`)) this.#tree.delete(other);
  }
}

const typeOf = { folder: "5", file: "0", link: "2", fifo: "6", device: "3" } as const;

/** Version 2, cap_net_bind_service permitted (linux/capability.h). */
const capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

function entryOf(wanted: Wish & { readonly kind: string }, name: string): TestEntry {
  const kind = wanted.kind as Kind;
  const { mode, uid, gid, mtime, content, attribute } = wanted;
  const attributes =
    attribute && (kind === "file" || kind === "folder")
      ? {
          "SCHILY.xattr.user.note": "v=1\n\xff",
          ...(kind === "file" ? { "SCHILY.xattr.security.capability": capability } : {}),
        }
      : {};
  return {
    name: "x",
    type: typeOf[kind],
    // What is made in a set-group-ID folder without an entry would be so as well, or not.
    mode: kind === "folder" ? mode & ~0o2000 : mode,
    ...(kind === "file" ? { content } : {}),
    ...(kind === "link" ? { linkName: "t" } : {}),
    ...(kind === "device" ? { device: [7, 300] as const } : {}),
    pax: {
      path: kind === "folder" ? `${name}/` : name,
      uid: String(uid),
      gid: String(gid),
      mtime,
      ...(kind === "link" ? { linkpath: wanted.other.join("/") } : {}),
      ...attributes,
    },
  };
}
