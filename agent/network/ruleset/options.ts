/** What of a host the rules' text depends on; all else is in sets. */
export interface RulesetOptions {
  /** UDP port of the VXLAN devices. */
  readonly port: number;
  /** This node's source address towards tasks, where a client's own cannot be kept. */
  readonly address: string;
  readonly address6: string | undefined;
}
