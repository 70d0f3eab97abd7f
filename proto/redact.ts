/**
 * Takes secrets out of texts that leave their host: of names that sound like one, the value; and whatever has the form of a
 * key, a token or a password wherever it stands. It errs on the safe side. Who shows a text to others reads it all the same.
 */

export const redacted = "[redacted]";

const secretName =
  /pass|pwd|secret|token|credential|auth|private|cookie|session|salt|signature|connection_?string|dsn|(^|[-_.])(api|access|encryption|signing|license|unlock|ssh)?[-_.]?keys?($|[-_.])|[a-z]Key$|(api|access|secret)key/i;

/** Of an environment variable, an option, a label. */
export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Each takes time in proportion to the text, whatever it is: logs are large, and others write into them. */
const forms: readonly (readonly [form: RegExp, instead: string])[] = [
  // To its end, or to where the text was cut off.
  [
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^]*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)/g,
    redacted,
  ],
  [/SWMTKN-1-[0-9a-z-]+/g, redacted],
  [/SWMKEY-1-[\w-]+/g, redacted],
  // The user and the password of a URL, which may have an @ of its own.
  [/([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/"']{1,1000}@/gi, `$1${redacted}@`],
  [/\b(bearer|basic) [\w.~+/=-]{8,}/gi, `$1 ${redacted}`],
  // A JSON web token.
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, redacted],
  // NAME=VALUE and "name": "value".
  [
    /((?:password|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|credential)[\w.-]{0,40}["']?\s?[:=]\s?)("(?:[^"\\]|\\.)+"|'[^']+'|["']?[^\s"']+)/gi,
    `$1${redacted}`,
  ],
];

/** What has the form of a secret is gone; a text that has none stays as it is. */
export function redactText(text: string): string {
  return forms.reduce((rest, [form, instead]) => rest.replace(form, instead), text);
}
