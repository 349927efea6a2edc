import type { EndedSession } from '../proxy/exchange.ts';

/** Revisions that have sessions; clients choose what they say, so there must be an end to it. */
const versions: ReadonlySet<string> = new Set(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']);

/** Labels of a session as the OpenTelemetry conventions name them (`mcp.server.session.duration`). All from small sets. */
export function sessionLabels({ protocolVersion, errorType }: EndedSession): string {
  const version = protocolVersion === undefined || versions.has(protocolVersion) ? protocolVersion : '_OTHER';
  return [
    ...(version === undefined ? [] : [`mcp_protocol_version="${version}"`]),
    ...(errorType === undefined ? [] : [`error_type="${errorType}"`]),
  ].join(',');
}
