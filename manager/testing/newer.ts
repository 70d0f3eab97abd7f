/**
 * Objects as a newer version would write them: with fields, values of enums, parts of oneofs and words that this one does not
 * know. What must not stop a manager is tried on all of them.
 */
import { clone, type DescField, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { WireType } from "@bufbuild/protobuf/wire";

/** Field 1000, a varint: one that no version has had so far. */
const newField = { no: 1000, wireType: WireType.Varint, data: Uint8Array.of(7) };

/** A text that no version understands. */
const newWord = "newer=~1";

const newEnumValue = 99;

/** Each field that the object has set, changed alone, with what it is called. */
export function newerOnes<D extends DescMessage>(
  schema: D,
  object: MessageShape<D>,
): readonly { readonly field: string; readonly object: MessageShape<D> }[] {
  const count = pathsOf(reflect(schema, object)).length;
  return Array.from({ length: count }, (_, at) => {
    const copy = clone(schema, object);
    const change = pathsOf(reflect(schema, copy))[at];
    change?.make();
    return { field: change?.field ?? "", object: copy };
  });
}

/** The object with a field that is not known yet in it and in all messages that it holds. */
export function withNewFields<D extends DescMessage>(
  schema: D,
  object: MessageShape<D>,
): MessageShape<D> {
  const copy = clone(schema, object);
  for (const message of messagesIn(reflect(schema, copy))) message.setUnknown([newField]);
  return copy;
}

/** How many messages the object consists of that have the new field, and how many there are. */
export function countNewFields<D extends DescMessage>(
  schema: D,
  object: MessageShape<D>,
): { readonly having: number; readonly all: number } {
  const all = messagesIn(reflect(schema, object));
  const having = all.filter((one) => (one.getUnknown() ?? []).some(({ no }) => no === newField.no));
  return { having: having.length, all: all.length };
}

function messagesIn(message: ReflectMessage): readonly ReflectMessage[] {
  return [
    message,
    ...message.fields.flatMap((field) => childrenOf(message, field).flatMap(messagesIn)),
  ];
}

function childrenOf(message: ReflectMessage, field: DescField): readonly ReflectMessage[] {
  if (!message.isSet(field)) return [];
  if (field.fieldKind === "message") return [message.get(field)];
  if (field.fieldKind === "list" && field.listKind === "message") {
    return [...message.get(field)] as ReflectMessage[];
  }
  return [];
}

interface NewerPart {
  readonly field: string;
  readonly make: () => void;
}

function pathsOf(message: ReflectMessage, path = ""): readonly NewerPart[] {
  return message.fields.flatMap((field) => {
    if (!message.isSet(field)) return [];
    const here = path === "" ? field.name : `${path}.${field.name}`;
    const deeper = childrenOf(message, field).flatMap((child) => pathsOf(child, here));
    const cleared: NewerPart = {
      field: `${here} that is another`,
      make: () => message.clear(field),
    };
    const own = changeOf(message, field);
    return [
      ...deeper,
      ...(field.oneof === undefined ? [] : [cleared]),
      ...(own === undefined ? [] : [{ field: here, make: own }]),
    ];
  });
}

function changeOf(message: ReflectMessage, field: DescField): (() => void) | undefined {
  switch (field.fieldKind) {
    case "enum":
      return () => message.set(field, newEnumValue);
    case "scalar":
      if (typeof message.get(field) !== "string") return undefined;
      return () => message.set(field, newWord);
    case "list":
      if (field.listKind !== "scalar" || typeof message.get(field).get(0) !== "string")
        return undefined;
      return () => message.get(field).add(newWord);
    default:
      return undefined;
  }
}
