/** Pages for man(1), in the macros that every man has. Pure. */

export interface PageHead {
  /** "swarmctl-service-create". */
  readonly name: string;
  readonly section: 1 | 5 | 8;
  readonly summary: string;
}

export interface PageOrigin {
  readonly version: string;
  /** In seconds since 1970. */
  readonly epoch: number;
}

export interface Item {
  readonly term: string;
  readonly text: string;
}

/** `parts` are those that the functions below make. */
export function page(head: PageHead, origin: PageOrigin, parts: readonly string[]): string {
  const date = new Date(origin.epoch * 1000).toISOString().slice(0, 10);
  const { name, section: number, summary } = head;
  const title = [name.toUpperCase(), String(number), date, `swarm ${origin.version}`, "swarm"];
  const words = title.map((word) => `"${escape(word)}"`).join(" ");
  const purpose = `${escape(name)} \\- ${escape(lowerFirst(summary))}\n`;
  // Without hyphenation and filled margins: flags and paths are to be copied.
  return [`.TH ${words}\n.nh\n.ad l\n`, section("name", purpose), ...parts].join("");
}

export function section(title: string, body: string): string {
  return body === "" ? "" : `.SH ${escape(title.toUpperCase())}\n${body}`;
}

export function subsection(title: string, body: string): string {
  return title === "" ? body : `.SS ${escape(title.replace(/:$/, ""))}\n${body}`;
}

export function paragraph(text: string): string {
  return `.PP\n${line(text)}\n`;
}

/** `command` stands out; what follows it is as it is. */
export function synopsis(command: string, rest: string): string {
  return `.B ${escape(command)}\n${rest === "" ? "" : `${line(rest)}\n`}`;
}

export function items(list: readonly Item[]): string {
  return list.map(({ term, text }) => `.TP\n.B ${escape(term)}\n${line(text)}\n`).join("");
}

/** As it is written: an example. */
export function verbatim(text: string): string {
  const lines = text.trimEnd().split("\n").map(line);
  return `.PP\n.RS 4\n.nf\n${lines.join("\n")}\n.fi\n.RE\n`;
}

export function seeAlso(pages: readonly string[]): string {
  const words = pages.map((name) => escape(name).replace(/\(/, "\\fR("));
  return section("see also", `${words.map((word) => `\\fB${word}`).join(", ")}\n`);
}

/** A point or an apostrophe at the beginning of a line would be a request. */
function line(text: string): string {
  const plain = escape(text);
  return /^[.']/.test(plain) ? `\\&${plain}` : plain;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq");
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? `${text.charAt(0).toLowerCase()}${text.slice(1)}` : text;
}
