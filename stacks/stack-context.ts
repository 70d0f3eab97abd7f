/** What the parts of a stack need to become specs, and how they say what is wrong with a part of the file. */
import { Fault } from "#proto/fault.ts";
import type { ComposeFile } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";

export interface StackContext extends ComposeFile {
  readonly name: string;
  /** To which relative paths in the file are relative. */
  readonly folder: string;
}

/** Names the place of what a parser refuses. */
export function at<T>({ document }: StackContext, path: Path, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw document.fault(path, `is refused: ${Fault.from(thrown).message}`);
  }
}
