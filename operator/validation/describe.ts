import type { KeyCheck } from '#cli/contract/responses.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';

import type { Tried } from './prober.ts';
import { messageCharsMax, probeReasons } from './verdict.ts';

/** What a user is told of a key that was tried: the verdict in words, and what the administrator says of the key to make. */
export function describeTried({ finding, probe }: Tried, server: McpServer): KeyCheck {
  const { verdict, reason } = finding;
  const message = sentenceOf({ finding, probe }, server);
  if (verdict === undefined) return { reason, message };
  const help = server.spec.authentication.headers.flatMap((header) => header.help ?? []);
  return { verdict, reason, message, ...(verdict === 'Accepted' || help.length === 0 ? {} : { help: help.join(' ') }) };
}

/** At most as long as a status takes. */
export function sentenceOf({ finding, probe: { probe } }: Tried, { metadata, spec }: McpServer): string {
  const what = probe.tool?.name ?? placeOf(probe.http?.url ?? '');
  return probeReasons[finding.reason].sentence(spec.title ?? metadata.name, what).slice(0, messageCharsMax);
}

/** Without the query, which is nobody's business. */
function placeOf(url: string): string {
  if (!URL.canParse(url)) return 'it';
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
