/** Reads the keys of one entry of a stack file; what a parser refuses is named by its place in the file. */
import { Fault } from "#proto/fault.ts";
import type { ComposeFile } from "../compose/compose-file.ts";
import type { Path } from "#proto/yaml/node.ts";

/** What the parts of a stack need to become specs. */
export interface StackContext extends ComposeFile {
  readonly name: string;
}

export class Reader {
  readonly context: StackContext;
  readonly path: Path;

  constructor(context: StackContext, path: Path) {
    this.context = context;
    this.path = path;
  }

  under(...path: Path): Reader {
    return new Reader(this.context, [...this.path, ...path]);
  }

  /** What `parse` makes of the value of a key; undefined where the key is not there. */
  one<T, R>(key: string, value: T | undefined, parse: (value: T) => R): R | undefined {
    return value === undefined ? undefined : this.under(key).parsed(() => parse(value));
  }

  each<T, R>(key: string, values: readonly T[] | undefined, parse: (value: T) => R): R[] {
    return (values ?? []).map((value, index) =>
      this.under(key, String(index)).parsed(() => parse(value)),
    );
  }

  parsed<R>(parse: () => R): R {
    try {
      return parse();
    } catch (thrown) {
      throw this.fault(`is refused: ${Fault.from(thrown).message}`);
    }
  }

  fault(complaint: string): Fault {
    return this.context.document.fault(this.path, complaint);
  }
}

/** What is made of two entries of one name would be two things, where a cluster has one. */
export function refuseSharedNames(
  context: StackContext,
  section: "networks" | "secrets" | "configs",
  entries: readonly { readonly key: string; readonly name: string; readonly isMade: boolean }[],
): void {
  for (const [name, sharers] of Map.groupBy(entries, (entry) => entry.name)) {
    const [first, second] = sharers;
    if (second === undefined || !sharers.some(({ isMade }) => isMade)) continue;
    throw new Reader(context, [section, second.key]).fault(
      `is called "${name}", as ${section}.${first?.key} is: give it another name`,
    );
  }
}

export function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}

/** Keeps the text when it holds. */
export function checkedBy(check: (text: string) => unknown): (text: string) => string {
  return (text) => {
    check(text);
    return text;
  };
}
