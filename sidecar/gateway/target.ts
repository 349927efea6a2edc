import type { ServerRef } from '../contract/lease.ts';
import { wellKnownPath } from '../proxy/protected-resource.ts';

/** What a request to a proxy of many servers is for. */
export interface Target {
  readonly server: ServerRef;
  /** `/namespace/name`: what stands before the path in the URL of each server. */
  readonly prefix: string;
  /** Without the prefix, as a sidecar of that server would see it. */
  readonly path: string;
}

/** A DNS label; then the name of an McpServer, which is at most 46 characters. Neither `%` nor `.`: there is one way to write each. */
const form =
  /^(\/\.well-known\/oauth-protected-resource)?(\/([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\/([a-z](?:[-a-z0-9]{0,44}[a-z0-9])?))(\/.+)$/;

/** Pure. `undefined` for a path that is no server's. */
export function targetOf(path: string): Target | undefined {
  const [, wellKnown, prefix, namespace, name, rest] = form.exec(path) ?? [];
  if (prefix === undefined || namespace === undefined || name === undefined || rest === undefined) return undefined;
  return { server: { namespace, name }, prefix, path: wellKnown === undefined ? rest : `${wellKnownPath}${rest}` };
}
