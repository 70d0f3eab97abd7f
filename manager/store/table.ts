/** All objects of one noun in memory: by ID, by unique name, and by the noun's indexes. Knows nothing of versions. */
import type { Kind, Noun, Objects } from "./objects.ts";

export class Table<K extends Kind> {
  readonly #noun: Noun<K>;
  readonly #byId = new Map<string, Objects[K]>();
  readonly #idByName = new Map<string, string>();
  readonly #indexes: ReadonlyMap<string, Map<string, Map<string, Objects[K]>>>;

  constructor(noun: Noun<K>) {
    this.#noun = noun;
    this.#indexes = new Map(Object.keys(noun.indexes).map((name) => [name, new Map()]));
  }

  get(id: string): Objects[K] | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Objects[K] | undefined {
    const id = this.#idByName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /** In order of creation. */
  list(): readonly Objects[K][] {
    return [...this.#byId.values()];
  }

  /** The objects whose index has this value. */
  by(index: string, value: string): readonly Objects[K][] {
    return [...(this.#indexes.get(index)?.get(value)?.values() ?? [])];
  }

  uniqueName(object: Objects[K]): string | undefined {
    return this.#noun.uniqueName(object);
  }

  put(object: Objects[K]): void {
    const before = this.#byId.get(object.id);
    if (before !== undefined) this.#unindex(before);
    this.#byId.set(object.id, object);
    const name = this.#noun.uniqueName(object);
    if (name !== undefined) this.#idByName.set(name, object.id);
    for (const [index, valueOf] of Object.entries(this.#noun.indexes)) {
      const values = this.#indexes.get(index);
      const value = valueOf(object);
      const members = values?.get(value);
      if (members === undefined) values?.set(value, new Map([[object.id, object]]));
      else members.set(object.id, object);
    }
  }

  remove(id: string): void {
    const before = this.#byId.get(id);
    if (before === undefined) return;
    this.#unindex(before);
    this.#byId.delete(id);
  }

  #unindex(object: Objects[K]): void {
    const name = this.#noun.uniqueName(object);
    if (name !== undefined) this.#idByName.delete(name);
    for (const [index, valueOf] of Object.entries(this.#noun.indexes)) {
      const values = this.#indexes.get(index);
      const value = valueOf(object);
      const members = values?.get(value);
      members?.delete(object.id);
      if (members?.size === 0) values?.delete(value);
    }
  }
}
