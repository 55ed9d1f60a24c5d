/** The authorities that a connection over TLS trusts: `authorities` (PEM) besides Node's own. */
import * as tls from "node:tls";

const contexts = new Map<string | null, tls.SecureContext>();

/** Kept, as reading some hundred certificates takes longer than a handshake. */
export function trusting(authorities: string | null): tls.SecureContext {
  const context = contexts.get(authorities) ?? newContext(authorities);
  contexts.set(authorities, context);
  return context;
}

function newContext(authorities: string | null): tls.SecureContext {
  // Of newer Nodes: with NODE_EXTRA_CA_CERTS and --use-system-ca. Older ones have it in `authorities` (hub/authorities.ts).
  const { getCACertificates } = tls as { getCACertificates?: (type: "default") => readonly string[] };
  const usual = getCACertificates?.("default") ?? tls.rootCertificates;
  return tls.createSecureContext(authorities === null ? {} : { ca: [...usual, authorities] });
}
