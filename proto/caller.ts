/** Who calls, as far as the transport can tell. What each may do is in manager/ca/authorize.ts. */
export type Caller =
  /** On a unix socket that only root can open. */
  | { readonly kind: "local" }
  /** Over TLS without a certificate, or with one that the cluster's authority did not sign. */
  | { readonly kind: "anonymous"; readonly problem: string }
  | {
      readonly kind: "node";
      readonly nodeId: string;
      readonly role: "manager" | "worker";
      readonly clusterId: string;
    }
  /** A person with a client certificate. */
  | { readonly kind: "user"; readonly name: string; readonly clusterId: string };
