/** The form of an image's name (distribution/reference): [HOST[:PORT]/]PATH[:TAG][@DIGEST]. */

const lengthMax = 512;

const host = String.raw`(?:[a-zA-Z0-9][a-zA-Z0-9.-]*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?`;
const component = String.raw`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`;
const tag = String.raw`[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`;
const digest = String.raw`sha256:[0-9a-f]{64}`;
const pattern = new RegExp(
  `^(?:${host}/)?${component}(?:/${component})*(?::${tag})?(?:@${digest})?$`,
);

export function isImageReference(text: string): boolean {
  return text.length <= lengthMax && pattern.test(text);
}
