/** What the network driver and the node's description need of encryption; wireguard.ts is it. */

/** A node as the encrypted link must know it. */
export interface EncryptionNode {
  readonly id: string;
  readonly number: number;
  /** The end of its data path, where it takes WireGuard's packets. */
  readonly address: string;
  /** Its public key, base64; empty: it carries no encrypted networks. */
  readonly encryptionKey: string;
}

export interface EncryptionState {
  readonly self: Pick<EncryptionNode, "number">;
  readonly peers: readonly EncryptionNode[];
  /** Whether an encrypted network is on this host. Without, nothing of the link stands. */
  readonly wanted: boolean;
  /** Of the interface that holds the data-path address. */
  readonly underlayMtu: number;
}

/** What the VXLAN device of encrypted networks stands on. */
export interface EncryptionLink {
  readonly device: string;
  /** This node's end of the VXLAN; a peer's is `encryptedAddress` of its number. */
  readonly address: string;
  readonly mtu: number;
}

export interface Encryption {
  /** To be told to all nodes, base64; empty: this host carries no encrypted networks. */
  readonly publicKey: string;
  /**
   * Resolves when the link is as wanted, with undefined where none is. Rejects where this host cannot have one; plain
   * networks do not need it. Calling it again with the same state costs nothing.
   */
  apply(state: EncryptionState): Promise<EncryptionLink | undefined>;
  /** Looks at what stands and puts back what a stranger changed. */
  repair(): Promise<void>;
}
