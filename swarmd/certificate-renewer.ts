/**
 * Keeps the node's certificate young: a new one at a random point between 50 and 80 % of its life, so that nodes that
 * joined together do not come together again, and at once when there is another reason.
 *
 * When it is due is a time of day, because a certificate's end is one. The clock may be set meanwhile, so that it is
 * looked at anew at least once an hour.
 */
import { Fault } from "#proto/fault.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import { parseCertificate, secondsText, validityOf } from "#proto/tls/certificate.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";

const backoffMsMin = 5_000;
const backoffMsMax = 3_600_000;
const lookMsMax = 3_600_000;
/** Of this much of its life a certificate has none left when it is issued: the authority dates it back for slow clocks. */
const backdatedMs = 3_600_000;
/** Of what is left, in thousandths. */
const renewFrom = 500;
const renewTo = 800;

export interface CertificateRenewerOptions {
  readonly identity: TlsIdentityHolder;
  /** Why the present certificate is not as it shall be, whatever its age; undefined: it is. */
  readonly misfit: (identity: TlsIdentity) => string | undefined;
  /** Gets a new one and replaces the holder's. */
  readonly renew: (signal: AbortSignal) => Promise<void>;
}

export class CertificateRenewer implements AsyncDisposable {
  readonly #options: CertificateRenewerOptions;
  readonly #ports: Ports;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #dueAtMs: number;
  #drawnFor: TlsIdentity;
  #problem: string | undefined;
  #wake: () => void = () => {};

  constructor(options: CertificateRenewerOptions, ports: Ports) {
    this.#options = options;
    this.#ports = ports;
    this.#drawnFor = options.identity.current;
    this.#dueAtMs = this.#drawDue();
    this.#running = this.#run(this.#stopping.signal);
  }

  /** Why the certificate could not be renewed the last time; undefined: nothing is wrong. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Asks for misfits again. */
  look(): void {
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    let backoffMs = backoffMsMin;
    while (!signal.aborted) {
      const reason = this.#reason();
      if (reason === undefined) {
        this.#problem = undefined;
        backoffMs = backoffMsMin;
        await this.#pause(Math.min(this.#dueAtMs - clock.now(), lookMsMax), signal);
        continue;
      }
      await this.#renew(reason);
      if (signal.aborted || this.#reason() === undefined) continue;
      // Managers that do not give what is wanted are not asked on and on; news may shorten the wait, but for its start.
      await clock.sleep(backoffMsMin, signal).catch(() => undefined);
      await this.#pause(backoffMs - backoffMsMin, signal);
      backoffMs = Math.min(backoffMs * 2, backoffMsMax);
    }
  }

  #reason(): string | undefined {
    const { identity, misfit } = this.#options;
    if (identity.current !== this.#drawnFor) {
      this.#drawnFor = identity.current;
      this.#dueAtMs = this.#drawDue();
    }
    const due = this.#ports.clock.now() >= this.#dueAtMs;
    return misfit(identity.current) ?? (due ? "it ages" : undefined);
  }

  async #renew(reason: string): Promise<void> {
    const { log } = this.#ports;
    log.info("renewing the node's certificate", { reason });
    try {
      await this.#options.renew(this.#stopping.signal);
      this.#problem = undefined;
    } catch (thrown) {
      this.#problem = `Cannot renew the node's certificate: ${Fault.from(thrown).message}${this.#advice()}`;
      log.warn(this.#problem);
    }
  }

  /** For one that has expired: managers do not know this node by it. */
  #advice(): string {
    const { notAfterMs } = validityOf(parseCertificate(this.#options.identity.current.certificate));
    const nowMs = this.#ports.clock.now();
    if (nowMs < notAfterMs) return "";
    return `; it expired at ${secondsText(notAfterMs)}, and this host's clock says ${secondsText(nowMs)}: if the clock is right, leave the cluster with --force and join it again; where those of all managers have expired, a backup comes first: see the handbook`;
  }

  #drawDue(): number {
    const { notBeforeMs, notAfterMs } = validityOf(parseCertificate(this.#drawnFor.certificate));
    const fromMs = Math.min(notBeforeMs + backdatedMs, notAfterMs);
    const share = renewFrom + this.#ports.random.int(renewTo - renewFrom + 1);
    return fromMs + ((notAfterMs - fromMs) * share) / 1000;
  }

  /** Until somebody looks, or the time is up. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || ms <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    using _timer = this.#ports.clock.timer(ms, resolve);
    await promise;
    this.#wake = () => {};
  }
}
