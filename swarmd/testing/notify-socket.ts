/** A socket in systemd's place: Node can make none of datagrams, perl is on every Debian. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { untilSeen } from "#proto/testing/until.ts";

const receiver = `
  socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, pack_sockaddr_un($ARGV[0])) or die;
  open(O, ">>", $ARGV[1]) or die;
  while (defined recv(S, $said, 65536, 0)) { syswrite(O, "$said\\n") }
`;

export class NotifySocket implements Disposable {
  readonly path: string;
  readonly #told: string;
  readonly #child: ReturnType<typeof spawn>;

  static async listen(folder: string): Promise<NotifySocket> {
    const socket = new NotifySocket(folder);
    await untilSeen(() => readFileSync("/proc/net/unix", "utf8").includes(socket.path));
    return socket;
  }

  /** For `listen`. */
  constructor(folder: string) {
    this.path = join(folder, "notify");
    this.#told = join(folder, "told");
    writeFileSync(this.#told, "");
    const args = ["-MSocket", "-e", receiver, this.path, this.#told];
    this.#child = spawn("perl", args, { stdio: ["ignore", "ignore", "inherit"] });
  }

  /** What systemd would have been told. */
  get told(): string {
    return readFileSync(this.#told, "utf8");
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
