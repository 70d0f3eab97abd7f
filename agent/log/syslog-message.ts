/** Log lines as syslog messages, in the forms that Docker writes (RFC 3164 and RFC 5424). Pure. */
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import type { SyslogTarget } from "#proto/log-driver.ts";
import { piecesOf } from "./docker-pieces.ts";
import type { LogLine } from "./k8s-file.ts";

const severityError = 3;
const severityInfo = 6;

export interface SyslogHead extends Pick<SyslogTarget, "format" | "facility"> {
  readonly hostname: string;
  readonly tag: string;
}

export function syslogMessages(line: LogLine, head: SyslogHead): Buffer[] {
  const begin = Buffer.from(headOf(line, head));
  return piecesOf(line.data).map((piece) => Buffer.concat([begin, piece]));
}

export function priorityOf({ stream }: Pick<LogLine, "stream">, facility: number): number {
  return facility * 8 + (stream === LogStream.STDERR ? severityError : severityInfo);
}

function headOf(line: LogLine, { format, facility, hostname, tag }: SyslogHead): string {
  const priority = `<${priorityOf(line, facility)}>`;
  const name = printable(tag) || "-";
  const time = new Date(Number(line.timestampNs / 1_000_000n));
  if (format === "rfc3164") return `${priority}${stampOf(time)} ${hostname} ${name}: `;
  const iso = time.toISOString();
  const micros = String((line.timestampNs / 1000n) % 1_000_000n).padStart(6, "0");
  const at = format === "rfc5424" ? iso.replace(/\.\d+/, "") : iso.replace(/\.\d+/, `.${micros}`);
  return `${priority}1 ${at} ${hostname} ${name} - ${name} - `;
}

/** What stands in a header is printable ASCII without spaces. */
function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]/g, "_").slice(0, 48);
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** "Jan  2 15:04:05", in the host's own time, as RFC 3164 wants it. */
function stampOf(time: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${months[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${clock}`;
}
